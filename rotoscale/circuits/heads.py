"""The words of a circuit: a head, the four groups, and where in a prompt each group works."""

from __future__ import annotations

from typing import NamedTuple

from rotoscale.errors import RotoscaleError

QUERY_LABEL, PREVIOUS_LABEL, LAST = "query_label", "previous_query_label", "last"
POSITIONS = (PREVIOUS_LABEL, QUERY_LABEL, LAST)
"""Named positions at which a circuit has heads, in the order in which they stand in a prompt."""

LOGITS = "logits"


class CircuitError(RotoscaleError):
    """A task, a model or a pair of models in which no circuit can be looked for."""


class Head(NamedTuple):
    """One attention head (both numbers from 0): its slice of the input of the attention output projection."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}"


class Step(NamedTuple):
    """One step of path patching: a group of senders at a position, and what receives."""

    group: str
    """A, B, C or D."""
    title: str
    position: str
    receivers: str
    """An earlier group, or the logits."""
    via: str
    """`q`, `k` or `v` of the receivers, or `logits`."""


STEPS: tuple[Step, ...] = (
    Step("A", "value fetcher", LAST, LOGITS, LOGITS),
    Step("B", "position transmitter", LAST, "A", "q"),
    Step("C", "position detector", QUERY_LABEL, "B", "v"),
    Step("D", "structure reader", PREVIOUS_LABEL, "C", "v"),
)
"""The four steps (EP section 4; docs/methods.md, section 4)."""

DIRECT: tuple[Step, ...] = (
    Step("K", "key writer", PREVIOUS_LABEL, "A", "k"),
    Step("V", "value writer", PREVIOUS_LABEL, "A", "v"),
)
"""Two steps of ours for models whose chain of four ends early: the value fetchers may read the queried label itself,
if earlier heads have written onto it which letter it is and which object came before (docs/methods.md, section 4)."""

EVERY_STEP = STEPS + DIRECT
STEP_OF: dict[str, Step] = {step.group: step for step in EVERY_STEP}
POSITION_OF: dict[str, str] = {step.group: step.position for step in EVERY_STEP}

Groups = dict[str, tuple[Head, ...]]
"""Heads by group, strongest first."""


class Component(NamedTuple):
    """A head at a named position: what a circuit is made of."""

    position: str
    head: Head


def components(groups: Groups) -> frozenset[Component]:
    """Every head of a circuit at the position where its group works."""
    return frozenset(Component(POSITION_OF[group], head) for group, heads in groups.items() for head in heads)
