"""Desiderata-based component masking (DCM): which heads of a group carry which kind of information (EP section 5).

A mask m in [0, 1] per head mixes the head's own output with its output on an alternate prompt; it is learned so that
the model names what would follow if one kind of information came from the alternate.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.circuits.patching import heads_at, patch_heads
from resources.circuits.recording import Recording, record, record_heads
from resources.circuits.runs import run_positions
from rotoscale.circuits.controls import other_sets
from rotoscale.circuits.heads import Head

if TYPE_CHECKING:
    import torch

    from resources.circuits.model import HeadModel
    from resources.circuits.prompts import Paired

RATE, EPOCHS, BATCH, SPARSITY = 0.1, 2, 32, 0.01
"""EP's: Adam's rate, epochs, batch size, and the price of a patched head in logits."""


@dataclass
class Part:
    """Pairs whose patched position is one number, with their clean run and what the heads get."""

    index: torch.Tensor
    pairs: Paired
    position: int
    recorded: Recording
    source: list[torch.Tensor]


@dataclass(frozen=True)
class Mask:
    """What a group carries of one desideratum, on prompts that the mask was not learned on."""

    heads: tuple[Head, ...]
    """Heads that the mask takes from the alternate."""
    right: torch.Tensor
    """Whether the target was named (test prompts,)."""
    random: list[float]
    """Accuracy of random masks of as many heads."""
    in_layers: bool | None
    """Whether these have as many heads in each layer; None where there are none."""


def prepared(model: HeadModel, pairs: Paired, positions: Collection[str]) -> dict[str, list[Part]]:
    """Run pairs once and cut them up for patching at each of several named positions.

    Heads get the alternate's output at the alternate's own position of that name.
    """
    import torch

    made: dict[str, list[Part]] = {position: [] for position in positions}
    length = pairs.clean.tokens.shape[1]
    with torch.no_grad():
        for index in torch.arange(len(pairs)).split(model.prompts_per_batch(length)):
            some = pairs.take(index)
            recorded, heads = record(model, some.clean.tokens), record_heads(model, some.alternate.tokens)
            for position, parts in made.items():
                source = heads_at(heads, some.alternate, position)
                for piece in some.clean.batches(len(some), position):
                    mine = some.take(piece)
                    at = int(mine.clean.position(position)[0])
                    whole = len(piece) == len(some)
                    run = recorded if whole else recorded.take(piece)
                    given = source if whole else [one[piece] for one in source]
                    parts.append(Part(index[piece.cpu()], mine, at, run, given))
    return made


def learn_mask(
    model: HeadModel, group: Sequence[Head], train: list[Part], validation: list[Part], seed: int = 0
) -> tuple[Head, ...]:
    """Heads of a group that the learned mask, rounded, takes from the alternate.

    Loss: minus the mean target logit plus 0.01 for each head's share that is patched. After each epoch the rounded
    mask is validated, at the end the whole group too, and the best is kept, the earliest of equals (choice). The whole
    group is tried because behind a sharp attention pattern the gradient at a mask of ones vanishes, and a pointer that
    works would read as none.
    """
    import torch

    if len(group) < 2:  # one head leaves nothing to learn but whether it carries anything
        return max([(), tuple(group)], key=lambda heads: _accuracy(model, validation, heads)) if group else ()
    mask = torch.ones(len(group), device=model.device, requires_grad=True)
    optimizer = torch.optim.Adam([mask], lr=RATE)
    rng = random.Random(f"mask {seed}")
    tried: dict[tuple[Head, ...], float] = {}
    for _ in range(EPOCHS):
        pieces = [(part, piece) for part in train for piece in _shuffled(len(part.pairs), rng)]
        rng.shuffle(pieces)
        for part, piece in pieces:
            logits = _mixed_logits(model, group, mask, part, piece)
            target = logits.gather(-1, part.pairs.targets[piece][:, None]).mean()
            loss = -target + SPARSITY * (1 - mask).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                mask.clamp_(0, 1)
        heads = tuple(head for head, value in zip(group, mask.tolist(), strict=True) if value < 0.5)
        if heads not in tried:
            tried[heads] = _accuracy(model, validation, heads)
    if tuple(group) not in tried:
        tried[tuple(group)] = _accuracy(model, validation, tuple(group))
    return max(tried, key=tried.__getitem__)


def _accuracy(model: HeadModel, parts: list[Part], heads: tuple[Head, ...]) -> float:
    return float(named(model, parts, [heads])[0].double().mean())


def named(model: HeadModel, parts: list[Part], sets: Sequence[Sequence[Head]]) -> torch.Tensor:
    """Whether the target is the most likely token with each of several sets of heads patched: (sets, pairs)."""
    import torch

    right = torch.zeros(len(sets), sum(len(part.pairs) for part in parts), dtype=torch.bool)
    for part in parts:
        found = patch_heads(model, part.recorded, part.pairs.clean, part.position, part.source, sets)
        right[:, part.index.cpu()] = found.predicted == part.pairs.targets.cpu()
    return right


def desideratum_mask(
    model: HeadModel,
    group: Sequence[Head],
    train: list[Part],
    validation: list[Part],
    test: list[Part],
    draws: int,
    seed: int = 0,
) -> Mask:
    """Learn a mask and hold it against random ones of as many of the model's heads (`controls.other_sets`)."""
    heads = learn_mask(model, group, train, validation, seed)
    rng = random.Random(f"random masks {seed}")
    drawn, in_layers = other_sets(heads, model.n_layers, model.n_heads, draws, rng)
    right = named(model, test, [heads, *drawn])
    return Mask(heads, right[0], right[1:].double().mean(1).tolist(), in_layers if drawn else None)


def _shuffled(n: int, rng: random.Random) -> list[torch.Tensor]:
    import torch

    order = list(range(n))
    rng.shuffle(order)
    return list(torch.tensor(order).split(BATCH))


def _mixed_logits(
    model: HeadModel, group: Sequence[Head], mask: torch.Tensor, part: Part, piece: torch.Tensor
) -> torch.Tensor:
    """Logits at the last token of some pairs, each head of the group mixed by its mask."""
    import torch

    recorded = part.recorded.take(piece)
    shape = (model.n_heads, model.head_size)

    def edit(layer: int, z: torch.Tensor) -> torch.Tensor:
        mine = [i for i, head in enumerate(group) if head.layer == layer]
        if not mine:
            return z
        heads = [group[i].head for i in mine]
        share = mask[mine][None, :, None].to(z.dtype)
        alternate = part.source[layer][piece].unflatten(-1, shape)[:, heads]
        first = z[0, :, 0].clone()
        first[:, heads] = share * first[:, heads] + (1 - share) * alternate
        return torch.cat([first[None, :, None], z[:, :, 1:]], 2)

    where = range(part.position, recorded.length)
    final = run_positions(model, recorded, where, min(head.layer for head in group), edit_heads=edit)
    return model.logits(final[0]).float()
