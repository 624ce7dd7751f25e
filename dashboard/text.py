"""Names and numbers as text: what a column is called, and other people's names made harmless.

Model names can be anything that somebody uploaded. Streamlit's markdown and Plotly's labels both understand markup, so
a name goes through `code` or `label` before it reaches either. Tables and selection boxes show plain text and need
neither.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from dashboard.quantities import QUANTITIES
from resources.addresses import address
from resources.settings import load_settings
from resources.warehouse import summaries

DECAY = "A uniform alpha below 1 is also what plain weight decay leaves."

NULL = (
    "over what noise of the same size would give (1 = noise): by first-order formula, unless draws were asked for. No "
    "verdict is read off it; whether left and right changed together is said by their agreement."
)
"""What NF is divided by, after the words that say what NF is."""

_LABELS = {
    "model_id": "Model", "base_id": "Compared with", "family": "Family", "method": "Method", "role": "Role",
    "status": "Status", "status_reason": "Reason", "alpha": "α", "n_layers": "Layers", "hidden_size": "Width",
    "n_heads": "Heads", "n_kv_heads": "KV heads", "n_parameters": "Parameters", "content_hash": "Content hash",
    "run_id": "Run", "code_version": "Code version", "materialized_at": "Made at", "subject_id": "Subject",
    "reference_id": "Reference", "p_value": "p", "rank_p": "Rank p", "stderr": "Std. error", "n": "n", "value": "Score",
    "weight_error": "Weight error", "is_control": "Control", "cka": "CKA", "dtype": "Format",
    "q_difference": "q, difference", "q_no_worse": "q, no worse", "n_edges": "Edges", "model_a": "One model",
    "model_b": "The other", "circuit_model_id": "Circuit of", "f": "f", "f_counterfactual": "f (counterfactual)",
}  # fmt: skip


def title(column: str) -> str:
    """What a column is called on a page."""
    if column in _LABELS:
        return _LABELS[column]
    quantity = QUANTITIES.get(column)
    if quantity is not None and quantity.column == column:  # a key may be the name of another table's column
        return quantity.label
    return column.replace("_", " ").capitalize()


def short(name: Any, length: int = 44) -> str:
    """A name cut in its middle, so that both its start and its end stay readable, and without line breaks."""
    text = " ".join(str(name).split())
    if len(text) <= length:
        return text
    head = (length - 1) * 2 // 3
    return f"{text[:head]}…{text[head + 1 - length :]}"


def label(name: Any, length: int = 44) -> str:
    """A name for Plotly: shortened, and with markup shown instead of obeyed."""
    return html.escape(short(name, length), quote=False)


def code(name: Any, length: int = 80) -> str:
    """A name for Streamlit's markdown: a code span that nothing in the name can leave."""
    text = short(name, length)
    fence = "`"
    while fence in text:
        fence += "`"
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}" if text else "``\u200b``"


_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")


def plain(words: Any) -> str:
    """Words for Streamlit's markdown that nothing in them can mark up: signs are escaped, line breaks are blanks."""
    return _MARKUP.sub(r"\\\1", " ".join(str(words).split()))


def sentence(words: str | None) -> str:
    """A column's explanation as a sentence: a capital first, a full stop last."""
    words = (words or "").strip()
    return words and words[0].upper() + words[1:] + ("" if words[-1] in ".!?" else ".")


def number(value: Any, digits: int = 3) -> str:
    """A number for reading: fixed digits near 1, scientific when tiny or huge, a dash when there is none."""
    if value is None or isinstance(value, str):
        return "–" if not value else str(value)
    try:
        x = float(value)
    except (TypeError, ValueError):
        return "–"
    if math.isnan(x):
        return "–"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if x == 0:
        return "0"
    if 10**-digits <= abs(x) < 1e5:
        return f"{x:.{digits}f}"
    return f"{x:.{max(digits - 1, 1)}e}"


def percent(share: Any) -> str:
    """A share as the stored sentences write it: `12.3 %`, `0.0123 %`; a dash when there is none."""
    return "–" if number(share) in ("–", "∞", "−∞") else summaries.percent(float(share))


SMALLEST_P = 1e-299
"""A p below it is not told apart from 0: the smallest doubles are near, and the tests of lineage clip at 1e-300."""

_P_VALUES = re.compile(r"(^|_)[pq](_|$)")


def is_p_value(column: str) -> bool:
    """Whether a column of the warehouse holds p values, raw or corrected, by its name: p_value, q_together, rank_p."""
    return bool(_P_VALUES.search(column))


def p_value(p: Any) -> str:
    """A p, raw or corrected (q), in two digits; one that is too small for a number is said to be below, never 0."""
    if number(p) == "–":
        return "–"
    return f"< {SMALLEST_P:.0e}" if float(p) < SMALLEST_P else f"{float(p):.2g}"


def brief(value: float) -> str:
    """A number beside a mark: three digits, and whole numbers written out up to six digits."""
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"


def place(source: Any) -> str:
    """Where a checkpoint comes from as it may be shown to others: of a local folder only its own name."""
    known = source if isinstance(source, str) else ""
    return PurePath(known).name if PurePath(known).is_absolute() else known


def with_error(value: Any, stderr: Any, digits: int = 2) -> str:
    """A score with its standard error, both to the error's first digit and to no fewer than `digits` decimals."""
    shown = number(value, digits)
    if number(stderr, digits) in ("–", "0", "∞", "−∞") or shown == "–":
        return shown
    digits = decimals(float(stderr), digits)
    return f"{number(value, digits)} ± {number(stderr, digits)}"


def decimals(error: float, least: int = 2, most: int = 6) -> int:
    """How many decimals are known of a number with this error: up to the error's first digit."""
    return min(most, max(least, math.ceil(-math.log10(abs(error))))) if error and math.isfinite(error) else least


def big(value: Any) -> str:
    """A count of parameters or bytes: 1.54 B, 26.1 M."""
    try:
        x = float(value)
    except (TypeError, ValueError):
        return "–"
    if not math.isfinite(x):
        return "–"
    for size, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if abs(x) >= size:
            return f"{x / size:.3g}{unit}"
    return f"{x:.0f}"


# ----------------------------------------------------------------------------------------------- links into Dagster


def dagster() -> str:
    """Address of the Dagster UI."""
    return address(load_settings().data, "dagster")


def run_link(run_id: Any) -> str | None:
    """Address of the Dagster run that made a row."""
    return run_links([run_id])[0]


def run_links(run_ids: Iterable[Any]) -> list[str | None]:
    """Addresses of Dagster runs; where Dagster answers is looked up once, which takes longer than all the rest."""
    at = dagster()
    return [f"{at}/runs/{quote(str(run), safe='')}" if isinstance(run, str) and run else None for run in run_ids]


def asset_link(asset: str, model_id: Any) -> str:
    """Address of an asset's partition in the Dagster UI."""
    return asset_links([(asset, model_id)])[0]


def asset_links(partitions: Iterable[tuple[str, Any]]) -> list[str]:
    """Addresses of partitions (asset, model) in the Dagster UI."""
    at = dagster()
    return [
        f"{at}/assets/{quote(asset, safe='/')}?partition={quote(str(model), safe='')}" for asset, model in partitions
    ]
