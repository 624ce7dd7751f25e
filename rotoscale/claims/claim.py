"""What a claim of the papers is, the evidence that it is held against, and the verdict on it.

Evidence is plain rows, mappings by column name, of tables by name: from the warehouse, from a file, or made up in a
test. Light on purpose: arithmetic that needs numpy or scipy loads them inside functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Row = Mapping[str, Any]
Word = Literal["supported", "refuted", "undecided", "not tested"]

SUPPORTED: Word = "supported"
REFUTED: Word = "refuted"
UNDECIDED: Word = "undecided"
NOT_TESTED: Word = "not tested"
WORDS: tuple[Word, ...] = (SUPPORTED, REFUTED, UNDECIDED, NOT_TESTED)

LEVEL = 0.05
"""Of every test, after Benjamini and Hochberg's correction where a claim makes several."""


@dataclass(frozen=True)
class Rows:
    """Rows that a verdict rests on: those of `table` whose columns have the values of `where`."""

    table: str
    where: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on one claim with the numbers that it was made of; None where there is no such number.

    statistic: what `estimate` is, in words. control: the same statistic of the control. p_value: of the test that the
    statistic names; q_value: the same after correction over the claim's tests. power: the chance to have seen what the
    claim says (or, where it says that nothing happens, to have shown that), were it so.
    """

    verdict: Word
    reason: str
    statistic: str = ""
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    control: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    n: int | None = None
    power: float | None = None
    rests_on: tuple[Rows, ...] = ()


def not_tested(reason: str, rests_on: Sequence[Rows] = ()) -> Verdict:
    """The claim was not put to the test, and why."""
    return Verdict(verdict=NOT_TESTED, reason=reason, rests_on=tuple(rests_on))


@dataclass(frozen=True)
class Evidence:
    """Rows by table about one descendant, or about a whole family (`model_id` is empty then).

    Rows of the base and of unrelated models stand beside those of the descendant; each says whose it is. `models` says
    which is which: model_id, base_id, role, method.
    """

    family: str
    model_id: str = ""
    base_id: str = ""
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)

    def rows(self, table: str, **equal: Any) -> list[Row]:
        """Rows of a table whose columns have these values; none of a table that is not there."""
        found = self.tables.get(table, ())
        return [row for row in found if all(row.get(name) == value for name, value in equal.items())]

    def of_model(self, table: str, **equal: Any) -> list[Row]:
        """Rows about the model, and, in tables of comparisons, about the model against its base."""
        found = self.rows(table, model_id=self.model_id, **equal)
        return [row for row in found if "base_id" not in row or row["base_id"] == self.base_id]

    @property
    def unrelated(self) -> list[str]:
        """Ids of the unrelated models that are compared with the same base."""
        return [row["model_id"] for row in self.rows("models", role="unrelated", base_id=self.base_id)]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the papers, and the rule by which it is judged, written down before the numbers.

    sentence: what the paper says. evidence, control: what is looked at, and what it is held against. supported_by,
    refuted_by: the rule's two sides; anything else is undecided. otherwise: what makes it `not tested`, or undecided
    whatever the numbers. rule_version: changed with the rule. scope: whether it is judged of each descendant or of a
    family. tables: what the evidence is read from; those in `needs` have to hold rows about the subject, and those in
    `of_others` are read of the base and of unrelated models as well.
    """

    name: str
    sentence: str
    evidence: str
    control: str
    supported_by: str
    refuted_by: str
    otherwise: str
    rule_version: str
    tables: tuple[str, ...]
    needs: tuple[str, ...]
    rule: Callable[[Evidence], Verdict]
    of_others: tuple[str, ...] = ()
    scope: Literal["model", "family"] = "model"

    def judge(self, evidence: Evidence) -> Verdict:
        """The verdict on this evidence; `not tested`, with the reason, where a table that it needs has no rows."""
        for table in self.needs:
            if not any(self._is_about(row, evidence) for row in evidence.rows(table)):
                return not_tested(_sentence(f"there are no rows of {table} yet"))
        found = self.rule(evidence)
        return replace(found, reason=_sentence(found.reason))

    def _is_about(self, row: Row, evidence: Evidence) -> bool:
        """Whether a row is about the subject; one that names a pair of models may be."""
        return self.scope == "family" or row.get("model_id", evidence.model_id) == evidence.model_id


def number(row: Row, name: str) -> float | None:
    """A column's value as a finite number; None for anything else."""
    value = row.get(name)
    if value is None or isinstance(value, bool | str):
        return None
    return float(value) if math.isfinite(value) else None


def numbers(rows: Sequence[Row], name: str) -> list[float]:
    """The finite values of a column."""
    found = (number(row, name) for row in rows)
    return [value for value in found if value is not None]


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
