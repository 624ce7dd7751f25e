"""The MLP neurons of a checkpoint, one matrix at a time: which layers can be laid beside which, norms, matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.checkpoints import MatrixKey
from rotoscale.lineage.invariant import GATED, UNGATED
from rotoscale.lineage.matching import spread

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint

MOST_LAYERS = 4

_NORMS_BEFORE = (
    "pre_feedforward_layernorm.weight", "post_attention_layernorm.weight", "ffn_norm.weight", "ln_2.weight",
    "final_layer_norm.weight", "input_layernorm.weight", "ln_1.weight",
)  # fmt: skip
"""Names of the norm before the MLP; the last two where attention and MLP stand side by side."""

_NORM_AFTER = "post_feedforward_layernorm.weight"
"""Models with this one and none before the MLP normalise what comes out of it (OLMo 2)."""

_ONE_PLUS = ("gemma", "vaultgemma", "qwen3_next")
"""Architectures whose norms multiply by one plus the stored weight."""


@dataclass(frozen=True)
class Neurons:
    """The neurons of one layer of one checkpoint; experts by the first of them."""

    checkpoint: Checkpoint
    layer: int
    expert: int

    def key(self, part: str) -> MatrixKey:
        """The key of `gate`, `up` or `down`."""
        return MatrixKey(self.layer, part, self.expert)

    @property
    def shape(self) -> tuple[int, int]:
        """(neurons, hidden size)."""
        return self.checkpoint.shape(self.key("up"))

    @property
    def parts(self) -> tuple[str, str]:
        """The matrices that hold its two vectors."""
        return GATED if self.key("gate") in self.checkpoint.structure.parts else UNGATED

    def vectors(self, part: str) -> torch.Tensor:
        """One vector per neuron (neurons x hidden size), float32: the rows of gate or up, the columns of down."""
        W = self.checkpoint.read(self.key(part))
        return W.T.contiguous() if part == "down" else W

    def gain(self, part: str) -> torch.Tensor | None:
        """The gain (hidden size,) of the norm before gate and up, where it is known; `down` has none."""
        if part == "down":
            return None
        others = set(self.checkpoint.others())
        stem = self.checkpoint.layout.layer.format(layer=self.layer)
        names = [stem + name for name in _NORMS_BEFORE]
        if stem + _NORM_AFTER in others and names[0] not in others:
            return None
        name = next((name for name in names if name in others), None)
        if name is None:
            return None
        gain = self.checkpoint.read_other(name).double()
        return gain + 1 if self.checkpoint.architecture.startswith(_ONE_PLUS) else gain


def layer_pairs(a: Checkpoint, b: Checkpoint) -> list[tuple[Neurons, Neurons]]:
    """At most four pairs of layers whose neurons can be compared, chosen by depth alone.

    Of models of one depth evenly spread; of others two counted from either end. Only layers whose `up` have the same
    shape, and that both have a gate or both have none.
    """
    of_a, of_b = _layers(a), _layers(b)
    if a.n_layers == b.n_layers:
        places = [(layer, layer) for layer in range(a.n_layers)]
    else:
        least = min(a.n_layers, b.n_layers)
        ends = range(min(MOST_LAYERS // 2, (least + 1) // 2))
        places = [(i, i) for i in ends]
        places += [(a.n_layers - 1 - i, b.n_layers - 1 - i) for i in reversed(ends) if least - 1 - i > ends[-1]]
    found = [(of_a[i], of_b[j]) for i, j in places if i in of_a and j in of_b and _alike(of_a[i], of_b[j])]
    if not found:
        return []
    first = found[0][0].shape, found[0][0].parts  # one shape for all, so that layers are each other's control
    found = [pair for pair in found if (pair[0].shape, pair[0].parts) == first]
    return [found[i] for i in spread(len(found), MOST_LAYERS).tolist()]


def _alike(a: Neurons, b: Neurons) -> bool:
    return a.shape == b.shape and a.parts == b.parts


def _layers(checkpoint: Checkpoint) -> dict[int, Neurons]:
    """The layers that have neurons in two matrices, each by its first expert if it has several."""
    keys = set(checkpoint.matrices())
    found: dict[int, Neurons] = {}
    for key in sorted(keys):
        both: Sequence[MatrixKey] = [MatrixKey(key.layer, part, key.expert) for part in UNGATED]
        if key.matrix == "up" and key.layer not in found and all(one in keys for one in both):
            found[key.layer] = Neurons(checkpoint, key.layer, key.expert)
    return found
