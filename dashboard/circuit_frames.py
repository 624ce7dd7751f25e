"""From answers about circuits to what is drawn: what changed, which groups are empty, dots with their controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from dashboard import text

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS = {
    "A": "A value fetchers",
    "B": "B position transmitters",
    "C": "C position detectors",
    "D": "D structure readers",
    "K": "K key writers (direct)",
    "V": "V value writers (direct)",
}
"""Groups of heads by letter (docs/circuits.md)."""

EDGE = ["circuit_group", "sender_layer", "sender_head", "receiver_layer", "receiver_head", "via"]
LEAST_CHANGE, STANDARD_ERRORS = 0.02, 2.0


def kept(heads: pd.DataFrame, model_id: str) -> pd.DataFrame:
    """Heads of a model's circuit, groups in the order of the steps, strongest first."""
    mine = heads[(heads["model_id"] == model_id) & heads["kept"].fillna(False).astype(bool)]
    return mine.sort_values(["circuit_group", "score"], kind="stable")


def memberships(heads: pd.DataFrame, model_id: str) -> dict[tuple[int, int], list[str]]:
    """Groups of each head of a model's circuit, by (layer, head)."""
    found: dict[tuple[int, int], list[str]] = {}
    for row in kept(heads, model_id).itertuples():
        found.setdefault((int(row.layer), int(row.head)), []).append(str(row.circuit_group))
    return found


def empty_groups(steps: pd.DataFrame, model_id: str) -> Iterator[str]:
    """A line for each step that found no head, with its best rejected score; then the reasons, each once."""
    empty = steps[(steps["model_id"] == model_id) & ~(steps["n_kept"] > 0)]
    for row in empty.itertuples():
        name = GROUPS.get(row.circuit_group, text.code(row.circuit_group))
        best = (
            "none can reach the receivers, or the chain ends before"
            if pd.isna(row.best_score)
            else f"the best rejected score is {text.number(row.best_score)}"
        )
        yield f"No head is kept of {name}: {best}."
    for reason in dict.fromkeys(empty["reason"].dropna()):
        if reason:
            yield f"Why: {text.plain(text.short(reason, 240))}."


def compared(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Patched edges of a circuit in a model with the base's score (`before`) and what became of them (`change`)."""
    patched = ~after["screened"].fillna(False).astype(bool)
    both = after[patched].merge(
        before[[*EDGE, "probability_score", "stderr"]], on=EDGE, how="left", suffixes=("", "_b")
    )
    both = both.rename(columns={"probability_score_b": "before", "stderr_b": "before_stderr"})
    difference = both["probability_score"] - both["before"]
    error = (both["stderr"].fillna(0) ** 2 + both["before_stderr"].fillna(0) ** 2) ** 0.5
    sure = (difference.abs() >= LEAST_CHANGE) & (difference.abs() > STANDARD_ERRORS * error)
    both["change"] = "same"
    both.loc[sure & (difference < 0), "change"] = "stronger"  # scores of edges that count are negative
    both.loc[sure & (difference > 0), "change"] = "weaker"
    return both


def faithfulness_dots(data: pd.DataFrame, base_id: str) -> pd.DataFrame:
    """Whole model, circuit and random circuits as rows of a dot plot: the base's circuit in every model."""
    mine = data[data["circuit_model_id"] == base_id]
    return pd.concat(
        [
            _dots(mine, "accuracy", mine["model_id"], "model", "accuracy_full"),
            _dots(mine, "accuracy", mine["model_id"], "circuit", "accuracy_circuit"),
            _dots(mine, "accuracy", mine["model_id"], "control", "accuracy_random"),
        ],
        ignore_index=True,
    )


def mask_dots(data: pd.DataFrame, model_id: str, base_id: str) -> pd.DataFrame:
    """Masks of base and descendant and the random masks as rows of a dot plot: a tile per desideratum."""
    found = []
    for name, kind in dict([(base_id, "base"), (model_id, "base" if model_id == base_id else "post")]).items():
        mine = data[data["model_id"] == name]
        found += [
            _dots(mine, mine["desideratum"], _named(mine["circuit_group"]), kind, "accuracy"),
            _dots(mine, mine["desideratum"], _named(mine["circuit_group"]), "control", "accuracy_random"),
        ]
    return pd.concat(found, ignore_index=True)


def exchange_dots(data: pd.DataFrame, base_id: str) -> pd.DataFrame:
    """Each model alone, with the other's groups of heads, and with random heads: a tile per recipient."""
    found = []
    for recipient, mine in data.groupby("recipient_id", sort=False):
        donor = mine["donor_id"].iloc[0]
        tile = f"{text.short(recipient, 18)} with heads of {text.short(donor, 18)}"
        first = mine.head(1)
        kinds = ("base", "post") if recipient == base_id else ("post", "base")
        found += [
            _dots(first, tile, "recipient alone", kinds[0], "accuracy_recipient"),
            _dots(first, tile, "donor alone", kinds[1], "accuracy_donor"),
            _dots(mine, tile, _named(mine["component"]), "patched", "accuracy_patched"),
            _dots(mine, tile, _named(mine["component"]), "control", "accuracy_random"),
        ]
    return pd.concat(found, ignore_index=True)


def _named(groups: pd.Series) -> pd.Series:
    """Groups by their names instead of their letters."""
    return groups.map(GROUPS).fillna(groups)


def _dots(rows: pd.DataFrame, panel: pd.Series | str, name: pd.Series | str, kind: str, value: str) -> pd.DataFrame:
    """Rows of a dot plot: a 95 % interval of an accuracy that has one, the middle 95 % of a control's draws."""
    ends = {end: rows.get(f"{value}_{end}") for end in ("low", "high")}
    return pd.DataFrame({"panel": panel, "name": name, "kind": kind, "value": rows[value], **ends})
