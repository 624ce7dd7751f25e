"""The verdict on a checkpoint, from those on its tensors, by written rules (docs/methods.md, section 5b)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from rotoscale.audit.scales import Way
from rotoscale.audit.tensor import State, TensorVerdict

MERGED = "merged exactly"
ROUNDED = "merged and rounded"
SCALED = "merged with another scale"
MISSING = "layers or parts missing"
SCRAMBLED = "norm right but values scrambled"
NOT_MERGED = "not merged at all"
BESIDES = "something else changed besides"
ANOTHER_BASE = "made from another base, or trained further"
CANNOT_TELL = "too small a change to tell"

SAME = "equal"
SAME_ROUNDED = "equal up to rounding"
DIFFERENT = "different"

_NAMED = 4
"""Tensors that a sentence names."""

_PRESENT = (State.EXACT, State.ROUNDED, State.SCALED, State.PARTIAL, State.BENEATH)


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One tensor of an audit."""

    tensor: str
    """Its name where it is stored."""
    targeted: bool = False
    """Whether the adapter changes it."""
    presence: str = "both"
    """both, or only the first checkpoint or the second: `first`, `second`; or `shape`, where shapes differ."""
    note: str = ""
    verdict: TensorVerdict | None = None
    """None where there is nothing to compare."""
    is_matrix: bool = True

    @property
    def is_right(self) -> bool:
        """Whether the tensor is what it should be, up to one rounding."""
        return self.presence == "both" and self.verdict is not None and self.verdict.is_right

    @property
    def changed(self) -> bool:
        """Whether more happened to it than the change that should be there, at whatever scale and rounding."""
        if self.presence != "both" or self.verdict is None:
            return self.presence in ("second", "shape") or not self.targeted
        if self.verdict.outside or self.verdict.state in (State.BENEATH, State.UNEXPLAINED):
            return True
        return not self.targeted and self.verdict.state not in (State.EXACT, State.ROUNDED)


@dataclass
class Summary:
    """What an audit found of a whole checkpoint."""

    verdicts: list[str] = field(default_factory=list)
    """One or several of the words above, the gravest first."""
    sentences: list[str] = field(default_factory=list)
    scale_low: float | None = None
    scale_high: float | None = None
    """Limits of the one scale at which every tensor that has the change has it; None where there is no such scale."""

    def add(self, verdict: str, sentence: str) -> None:
        """Add a verdict with its sentence."""
        if verdict not in self.verdicts:
            self.verdicts.append(verdict)
        self.sentences.append(sentence)

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong but rounding."""
        return set(self.verdicts) <= {MERGED, ROUNDED, SAME, SAME_ROUNDED}


def summarize_merge(rows: Sequence[AuditRow], scale_hints: Iterable[tuple[float, str]] = ()) -> Summary:
    """The verdict on a merge. `scale_hints`: scales that known mistakes leave, and the words for each."""
    found = Summary()
    targeted = [row for row in rows if row.targeted]
    of = {state: [row for row in targeted if row.verdict and row.verdict.state is state] for state in State}
    alike = [] if _one_scale(of[State.BENEATH]) else of[State.BENEATH]
    present = [row for state in _PRESENT for row in of[state] if row not in alike]
    lost = [row for row in targeted if row.presence == "first"]
    absent = [*of[State.ABSENT], *lost, *of[State.UNEXPLAINED], *alike]
    if _another_base(found, rows) and present:  # beneath the differences of two bases a change may be there unseen
        absent = [*of[State.ABSENT], *lost]
    _scrambled(found, of[State.MISPLACED])
    if absent and not present and not of[State.MISPLACED]:
        _not_merged(found, of[State.ABSENT], of[State.UNEXPLAINED], alike, targeted)
    else:
        _missing(found, [*absent, *of[State.PARTIAL]], targeted)
    _scale(found, present, of[State.SCALED], list(scale_hints))
    _besides(found, rows)
    _rounded(found, [row for row in rows if row.verdict and row.verdict.state is State.ROUNDED])
    if of[State.BELOW]:
        sentence = (
            f"In {_count(len(of[State.BELOW]), len(targeted))} the adapter's change is below the rounding of the "
            f"stored format: merged or not, the values are the same ({_names(of[State.BELOW])})."
        )
        found.add(CANNOT_TELL, sentence) if not present else found.sentences.append(sentence)
    if not found.verdicts and not targeted:
        found.add(CANNOT_TELL, "The adapter changes nothing: its product is zero in every tensor.")
    if not found.verdicts:
        exact = of[State.EXACT]
        text = f"the base plus the adapter's change, rounded once to {_formats(exact)}."
        found.add(MERGED, f"Merged exactly: {_count(len(exact), len(targeted))} are {text}")
        others = [row for row in rows if not row.targeted]
        found.sentences.append(f"The other tensors ({len(others)}) are the base's, bit for bit.")
    return found


def summarize_copies(rows: Sequence[AuditRow]) -> Summary:
    """The verdict on two checkpoints that should be equal."""
    found = Summary()
    misplaced = [row for row in rows if row.verdict and row.verdict.state is State.MISPLACED]
    _scrambled(found, misplaced, "the first checkpoint's")
    scaled = [row for row in rows if row.verdict and row.verdict.state is State.SCALED]
    if scaled:
        found.add(
            DIFFERENT,
            f"In {_count(len(scaled), len(rows))} the second is a multiple of the first: {_names(scaled, _scale_of)}.",
        )
    _only_in_one(found, rows, DIFFERENT)
    rest = [row for row in rows if row.presence == "both" and row.changed and row not in misplaced + scaled]
    if rest:
        found.add(
            DIFFERENT, f"In {_count(len(rest), len(rows))} values differ by more than rounding: {_names(rest, _off)}."
        )
    _rounded(found, [row for row in rows if row.verdict and row.verdict.state is State.ROUNDED], SAME_ROUNDED)
    if not found.verdicts:
        found.add(SAME, f"Equal: {_count(len(rows), len(rows))} hold the same numbers, bit for bit.")
    return found


def _scrambled(found: Summary, rows: Sequence[AuditRow], whose: str = "the adapter's") -> None:
    if rows:
        found.add(
            SCRAMBLED, f"In {_tensors(len(rows))} {whose} values are there in other places: {_names(rows, _how)}."
        )


def _one_scale(rows: Sequence[AuditRow]) -> bool:
    """Whether scales found beneath other changes are one.

    A merge has one, a model trained alike another in each tensor. Held to five standard errors; a tensor's limits are
    two.
    """
    limits = [(v.scale_low, v.scale_high) for row in rows if (v := row.verdict)]
    wide = [
        (1.75 * low - 0.75 * high, 1.75 * high - 0.75 * low)
        for low, high in limits
        if low is not None and high is not None
    ]
    return not wide or max(low for low, _ in wide) <= min(high for _, high in wide)


def _not_merged(
    found: Summary,
    absent: Sequence[AuditRow],
    changed: Sequence[AuditRow],
    alike: Sequence[AuditRow],
    targeted: Sequence[AuditRow],
) -> None:
    if absent:
        text = (
            f"{_count(len(absent), len(targeted))} that the adapter changes hold the base's values: {_names(absent)}."
        )
        found.add(NOT_MERGED, f"Not merged: {text}")
    if changed:
        text = (
            f"In {_count(len(changed), len(targeted))} most elements changed, and the adapter's change is not found: "
        )
        found.add(NOT_MERGED, text + f"{_names(changed)}.")
    if alike:
        scales = [v.scale for row in alike if (v := row.verdict) and v.scale is not None]
        found.add(
            NOT_MERGED,
            f"In {_count(len(alike), len(targeted))} a larger change goes partly the adapter's way, "
            f"times {_range(min(scales), max(scales))}: not one scale for all, as of a merge, but as of a model "
            "trained alike.",
        )


def _missing(found: Summary, rows: Sequence[AuditRow], targeted: Sequence[AuditRow]) -> None:
    if rows:
        found.add(
            MISSING, f"The adapter's change is missing in {_count(len(rows), len(targeted))}: {_names(rows, _how)}."
        )


def _scale(
    found: Summary, present: Sequence[AuditRow], scaled: Sequence[AuditRow], hints: Sequence[tuple[float, str]]
) -> None:
    limits = [(v.scale_low, v.scale_high) for row in present if (v := row.verdict) and v.scale_low is not None]
    if limits:
        low, high = max(low for low, _ in limits), min(high for _, high in limits if high is not None)
        if low <= high:
            found.scale_low, found.scale_high = low, high
    if not scaled:
        return
    if found.scale_low is not None and found.scale_high is not None:
        known = [text for scale, text in hints if found.scale_low <= scale <= found.scale_high]
        guess = f": {known[0]}" if known and found.scale_high - found.scale_low < 0.1 * abs(found.scale_high) else ""
        text = (
            f"Merged with another scale: the adapter's change times {_range(found.scale_low, found.scale_high)}{guess}."
        )
    else:
        text = f"The adapter's change has another scale in {_count(len(scaled), len(present))}, not one for all: " + (
            f"{_names(scaled, _scale_of)}."
        )
    found.add(SCALED, text)


def _another_base(found: Summary, rows: Sequence[AuditRow]) -> bool:
    """Whether most matrices that the adapter leaves alone differ in most of their elements."""
    untargeted = [row for row in rows if not row.targeted and row.presence == "both" and row.verdict]
    judged = [row for row in untargeted if row.is_matrix] or untargeted
    strange = [row for row in judged if row.verdict and row.verdict.outside > row.verdict.elements / 2]
    if not judged or 2 * len(strange) <= len(judged):
        return False
    text = f"{_count(len(strange), len(judged))} that the adapter leaves alone ({_names(strange)})"
    found.add(ANOTHER_BASE, f"Made from another base, or trained further: most elements differ in {text}.")
    return True


def _besides(found: Summary, rows: Sequence[AuditRow]) -> None:
    changed = [row for row in rows if row.presence == "both" and row.changed]
    if changed:
        found.add(BESIDES, f"Something else changed in {_count(len(changed), len(rows))}: {_names(changed, _off)}.")
    _only_in_one(found, rows, BESIDES)


def _only_in_one(found: Summary, rows: Sequence[AuditRow], verdict: str) -> None:
    words = {
        "first": "not in the second checkpoint",
        "second": "only in the second checkpoint",
        "shape": "another shape",
    }
    for presence, text in words.items():
        there = [row for row in rows if row.presence == presence]
        if there:
            found.add(verdict, f"{_count(len(there), len(rows))}, {text}: {_names(there, lambda row: row.note)}.")


def _rounded(found: Summary, rows: Sequence[AuditRow], verdict: str = ROUNDED) -> None:
    words = {
        Way.ONCE: "rounded to",
        Way.MERGED: "computed in, and so rounded more than once to,",
        Way.COPIED: "rounded, but not to the nearest number, to",
    }
    for way, text in words.items():
        there = [row for row in rows if row.verdict and row.verdict.way is way]
        if there:
            back = next((f" ({row.verdict.how})" for row in there if row.verdict and row.verdict.how), "")
            were = "was" if len(there) == 1 else "were"
            found.add(verdict, f"{_tensors(len(there))} {were} {text} {_formats(there)}{back}: {_names(there)}.")


def _formats(rows: Iterable[AuditRow]) -> str:
    return " and ".join(sorted({row.verdict.format for row in rows if row.verdict}))


def _count(n: int, of: int) -> str:
    return f"all {of} tensors" if n == of > 1 else f"{n} of {_tensors(of)}"


def _tensors(n: int) -> str:
    return f"{n} tensor{'' if n == 1 else 's'}"


def _names(rows: Sequence[AuditRow], detail: Callable[[AuditRow], str] = lambda row: "") -> str:
    named = [f"{row.tensor} ({text})" if (text := detail(row)) else row.tensor for row in rows[:_NAMED]]
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return ", ".join(named) + more


def _how(row: AuditRow) -> str:
    return row.verdict.how if row.verdict else "not there"


def _scale_of(row: AuditRow) -> str:
    v = row.verdict
    return (
        f"times {_range(v.scale_low, v.scale_high)}"
        if v and v.scale_low is not None and v.scale_high is not None
        else ""
    )


def _off(row: AuditRow) -> str:
    v = row.verdict
    if v is None or not v.outside:
        return _scale_of(row) or _how(row)
    where = f", largest {v.largest:.3g} at {list(v.place)}" if v.place else ""
    beneath = (
        f"; the adapter's change is beneath, {_scale_of(row)}" if v.state is State.BENEATH and row.targeted else ""
    )
    return f"{v.outside} of {v.elements} elements in {v.outside_rows} rows{where}{beneath}"


def _range(low: float, high: float) -> str:
    """A scale by its limits, or as one number where they agree to three digits."""
    texts = f"{low:.3g}", f"{high:.3g}"
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)
