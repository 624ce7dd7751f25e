"""The verdict on a pair: the rules, in one place, written down before the numbers were looked at.

docs/methods.md, section 5, has them in words, and what changed since version 1. A changed rule gets another version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rotoscale.lineage.result import RELATED, UNDECIDED, UNRELATED

RULE_VERSION = "2"

CERTAIN = 1e-6
"""A test below this says related."""

NOTHING = 0.01
"""Two tests whose smaller p, doubled, is at least this have shown nothing."""

CONTROL_LEVEL = 1e-4
"""A control says that p_match means nothing here if its smallest p, times their number, is below this."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the verdict is read from.

    control: p_match of pairs of layers known to be unrelated. merged_exact, merged_match: p of one model against a
    half-and-half merge of both. same_depth: whether both models have as many layers. obstacles: why a test could not
    be made.
    """

    p_exact: float | None
    p_match: float | None
    control: Sequence[float]
    merged_exact: float | None
    merged_match: float | None
    same_depth: bool
    obstacles: Sequence[str] = ()


def control_holds(control: Sequence[float]) -> bool:
    """Whether p_match behaves as a p on unrelated layers of this shape, as far as these few can show."""
    return bool(control) and min(control) * len(control) >= CONTROL_LEVEL


def judge(measured: Measured) -> tuple[str, str]:
    """The verdict and its reason, a sentence.

    related: p_exact below 1e-6; or p_match below 1e-6 while its control holds. unrelated: both tests were made, the
    smaller p doubled is at least 0.01, the control holds, either test finds a half-and-half merge of this very pair
    below 1e-6, and the models have as many layers. undecided: anything else. docs/methods.md, section 5.
    """
    exact, match = measured.p_exact, measured.p_match
    holds = control_holds(measured.control)
    if exact is not None and exact < CERTAIN:
        return RELATED, f"The neurons stand in the same order (p_exact {_p(exact)}): the two share an initialisation."
    if match is not None and match < CERTAIN and holds:
        return RELATED, (
            f"Two separate matchings of the neurons agree (p_match {_p(match)}; {_p(min(measured.control))} or more in "
            f"{len(measured.control)} unrelated pairs of layers), in another order than the neurons stand in: the two "
            "share an initialisation."
        )
    if match is not None and match < CERTAIN:
        return UNDECIDED, f"p_match is {_p(match)}, but {_failed(measured.control)}, so that it is not counted."
    shown = ", ".join(f"{name} {_p(p)}" for name, p in (("p_exact", exact), ("p_match", match)) if p is not None)
    if exact is None or match is None:
        why = "; ".join(measured.obstacles) or "a test could not be made"
        return UNDECIDED, f"{why}{f' ({shown})' if shown else ''}."
    if min(1.0, 2 * min(exact, match)) < NOTHING:
        return UNDECIDED, f"Something is there, but not beyond doubt ({shown}; below {CERTAIN:.0e} would be related)."
    if not holds:
        return UNDECIDED, f"Neither test shows anything ({shown}), but {_failed(measured.control)}."
    merged = [p for p in (measured.merged_exact, measured.merged_match) if p is not None]
    if len(merged) < 2 or max(merged) >= CERTAIN:
        found = f"only at p {_p(max(merged))}" if merged else "not at all"
        return UNDECIDED, (
            f"Neither test shows anything ({shown}), but a half-and-half merge of these matrices would have been found "
            f"{found}: too few neurons, or too much alike."
        )
    if not measured.same_depth:
        return UNDECIDED, f"Neither test shows anything ({shown}), but which layer would be which is not known."
    return UNRELATED, (
        f"Neither the order of the neurons nor their matchings show a common initialisation ({shown}); a half-and-half "
        f"merge of these matrices would have been found (p {_p(max(merged))})."
    )


def _failed(control: Sequence[float]) -> str:
    if not control:
        return "p_match has no control here"
    return f"p_match is {_p(min(control))} in one of {len(control)} unrelated pairs of layers too"


def _p(p: float) -> str:
    return f"{p:.2g}"
