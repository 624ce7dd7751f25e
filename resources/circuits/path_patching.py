"""Path patching, exactly: what a head's output does to the answer along one kind of path (EP section 4.2).

Senders go through the frozen first run. For the logits that is all; otherwise the q, k or v vectors that the receivers
would get are put into a second, otherwise unfrozen clean run, of which only what can change is computed: the positions
from the sender's on, from the lowest receiver up (docs/methods.md, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from resources.circuits.frozen import Seen, run_frozen
from resources.circuits.runs import EditVectors, run_positions
from rotoscale.circuits.heads import LOGITS, Head, Step
from rotoscale.circuits.scores import Measured, logit_change, relative_change

if TYPE_CHECKING:
    import torch

    from resources.circuits.batches import Batch, Batches, Means
    from resources.circuits.model import HeadModel


@dataclass(frozen=True)
class Path:
    """A sender, and the receivers through which it may act; none of them for the logits."""

    sender: Head
    receivers: frozenset[Head] = frozenset()


@dataclass(frozen=True)
class PathScores:
    """Scores of paths, per prompt (paths, prompts): most negative is most important."""

    paths: tuple[Path, ...]
    probability: torch.Tensor
    """`(p_patched - p_clean) / p_clean` of the right object."""
    logit: torch.Tensor
    """Change of the logit difference."""


def head_paths(model: HeadModel, receivers: Sequence[Head]) -> tuple[Path, ...]:
    """A path for every head: to the logits, or through all receivers that lie above it."""
    if not receivers:
        return tuple(map(Path, model.heads))
    paths = [Path(head, frozenset(one for one in receivers if one.layer > head.layer)) for head in model.heads]
    return tuple(path for path in paths if path.receivers)


def edge_paths(senders: Sequence[Head], receivers: Sequence[Head]) -> tuple[Path, ...]:
    """A path for every pair of a sender and a receiver above it."""
    return tuple(
        Path(sender, frozenset((receiver,)))
        for sender in senders
        for receiver in receivers
        if receiver.layer > sender.layer
    )


def patch_paths(
    model: HeadModel,
    batches: Batches,
    step: Step,
    paths: Sequence[Path],
    means: Means | None = None,
    progress: Callable[[float], None] | None = None,
) -> PathScores:
    """Score paths of a step on all prompts, by the counterfactual's head outputs or, if given, by their means."""
    import torch

    paths = tuple(paths)
    shape = (len(paths), len(batches.prompts))
    probability, logit = torch.zeros(shape), torch.zeros(shape)
    if paths:
        order = sorted(range(len(paths)), key=lambda i: paths[i].sender)
        ordered = [paths[i] for i in order]
        with torch.no_grad():
            for done, batch in enumerate(batches, 1):
                found = _patched(model, batch, step, ordered, means)
                at = torch.tensor(order)[:, None], batch.index.cpu()
                probability[at] = relative_change(found, batch.clean).cpu()
                logit[at] = logit_change(found, batch.clean).cpu()
                if progress:
                    progress(done / len(batches))
    return PathScores(paths, probability, logit)


def _patched(model: HeadModel, batch: Batch, step: Step, paths: Sequence[Path], means: Means | None) -> Measured:
    source, position = batch.source(step.position, means), batch.at(step.position)
    n = len(batch.prompts)
    finals = []
    if step.receivers == LOGITS:
        for part in _parts(paths, model.rows(1) // n):
            run = run_frozen(model, batch.recorded, position, [path.sender for path in part], source)
            assert run.final is not None
            finals.append(model.measure(run.final, batch.prompts))
    else:
        for part in _parts(paths, model.rows(1) // n):
            finals += list(_through_receivers(model, batch, position, source, part, step.via))
    return _joined(finals)


def _through_receivers(
    model: HeadModel,
    batch: Batch,
    position: int,
    source: Sequence[torch.Tensor],
    paths: Sequence[Path],
    via: str,
) -> Iterator[Measured]:
    """Second runs of paths (ascending by sender), in their order."""
    senders = sorted({path.sender for path in paths})
    see = sorted({(receiver.layer, via) for path in paths for receiver in path.receivers})
    seen = run_frozen(model, batch.recorded, position, senders, source, see).seen
    where = range(position, batch.recorded.length)
    n = len(batch.prompts)
    found: dict[int, tuple[Measured, int]] = {}
    by_start = sorted(range(len(paths)), key=lambda i: _start(paths[i]))
    for start, group in groupby(by_start, key=lambda i: _start(paths[i])):
        for part in _parts(list(group), model.rows(len(where)) // n):
            mine = [paths[i] for i in part]
            edits = _received(model, mine, senders, seen, via)
            final = run_positions(model, batch.recorded, where, start, variants=len(mine), edit_vectors=edits)
            measured = model.measure(final, batch.prompts)
            found.update({i: (measured, row) for row, i in enumerate(part)})
    for i in range(len(paths)):
        measured, row = found[i]
        yield Measured(
            measured.log_probability[row : row + 1],
            measured.logit_difference[row : row + 1],
            measured.predicted[row : row + 1],
        )


def _start(path: Path) -> int:
    return min(receiver.layer for receiver in path.receivers)


def _received(
    model: HeadModel, paths: Sequence[Path], senders: Sequence[Head], seen: Seen, via: str
) -> dict[tuple[int, str], EditVectors]:
    """For each layer with receivers, what puts the vectors that they received into the first computed position."""
    return {
        key: _replacing(vectors, *_who(model, paths, senders, key[0], via))
        for key, vectors in seen.items()
        if any(receiver.layer == key[0] for path in paths for receiver in path.receivers)
    }


def _who(
    model: HeadModel, paths: Sequence[Path], senders: Sequence[Head], layer: int, via: str
) -> tuple[list[int], list[int], torch.Tensor]:
    """Row of each path's sender, the vectors that any path replaces, and which path replaces which of them."""
    import torch

    rows = [senders.index(path.sender) for path in paths]
    mine = [{model.vector_index(via, one.head) for one in path.receivers if one.layer == layer} for path in paths]
    vectors = sorted(set().union(*mine))
    active = torch.tensor([[index in own for index in vectors] for own in mine], device=model.device)
    return rows, vectors, active


def _replacing(seen: torch.Tensor, rows: list[int], vectors: list[int], active: torch.Tensor) -> EditVectors:
    below = len(seen) - 1  # senders from that layer on have no row: nothing of theirs arrives there
    new = seen[[min(row, below) for row in rows]][:, :, vectors]

    def edit(view: torch.Tensor) -> None:
        import torch

        view[:, :, 0, vectors] = torch.where(active[:, None, :, None], new, view[:, :, 0, vectors])

    return edit


def _parts(items: Sequence, at_once: int) -> Iterator[Sequence]:
    at_once = max(1, at_once)
    for first in range(0, len(items), at_once):
        yield items[first : first + at_once]


def _joined(parts: Sequence[Measured]) -> Measured:
    import torch

    names = ("log_probability", "logit_difference", "predicted")
    return Measured(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
