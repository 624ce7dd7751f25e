"""Where the principal matrices lie: one part of a tensor on disk each, and the table of them that is a checkpoint."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property

from resources.checkpoints.header import TensorEntry
from resources.checkpoints.inventory import Inventory
from resources.checkpoints.keys import MatrixKey, TensorCoverage
from resources.checkpoints.layout import Layout


@dataclass(frozen=True)
class Part:
    """One principal matrix inside a tensor on disk.

    Of the tensor (of slab ``expert`` of it, if stacked) the matrix is the output rows ``g * stride + start`` to
    ``g * stride + start + size`` for each group ``g``; ``transposed`` says that the output axis is the last one.
    """

    entry: TensorEntry
    shape: tuple[int, int]
    groups: int
    stride: int
    start: int
    transposed: bool = False
    expert: int | None = None

    @property
    def size(self) -> int:
        """Output rows of each group."""
        return self.shape[0] // self.groups

    @property
    def whole(self) -> bool:
        """The part is the entire slab."""
        return self.size == self.stride

    @property
    def slab(self) -> tuple[int, int, int]:
        """The stored matrix that the part lies in, with its neighbours: its first element, its rows and its columns."""
        full, in_features = self.groups * self.stride, self.shape[1]
        rows, columns = (in_features, full) if self.transposed else (full, in_features)
        return (self.expert or 0) * rows * columns, rows, columns

    def moved_to(self, entry: TensorEntry) -> Part:
        """The same part of another tensor of the same shape."""
        return replace(self, entry=entry)


@dataclass
class Structure:
    """Every tensor of a checkpoint by what it is.

    ``canonical`` leads from canonical names to those on disk. Tied ends that are stored once stand in ``others`` under
    both their names and in ``canonical`` under the stored one.
    """

    layout: Layout
    inventory: Inventory
    parts: dict[MatrixKey, Part] = field(default_factory=dict)
    others: dict[str, TensorEntry] = field(default_factory=dict)
    canonical: dict[str, str] = field(default_factory=dict)
    coverage: list[TensorCoverage] = field(default_factory=list)
    embedding: str = ""
    head: str = ""
    tied: bool = False
    qk_norm: bool = False
    qkv_bias: bool = False
    n_parameters: int = 0

    @cached_property
    def by_tensor(self) -> dict[str, dict[MatrixKey, Part]]:
        """The principal matrices inside each tensor on disk."""
        table: dict[str, dict[MatrixKey, Part]] = defaultdict(dict)
        for key, part in self.parts.items():
            table[part.entry.name][key] = part
        return dict(table)

    def stored_shape(self, canonical: str) -> tuple[int, ...] | None:
        """Shape on disk by canonical name, also of a tied end that is stored under the other's; None when absent."""
        entry = self.others.get(canonical)
        if entry is None and canonical in self.canonical:
            entry = self.inventory.tensors[self.canonical[canonical]]
        return None if entry is None else entry.shape
