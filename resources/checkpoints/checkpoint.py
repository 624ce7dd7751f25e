"""A checkpoint as the rest of the project sees it: principal matrices by key, everything else by canonical name.

Opening reads headers and ``config.json`` only. Tensors are read one at a time, torch is imported when the first one is
asked for, and no file stays open, so that a ``Checkpoint`` is cheap, can be sent to a worker process, and a model of
any size needs memory for one matrix.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.checkpoints.adapter_config import ADAPTER_CONFIG
from resources.checkpoints.assembly import build
from resources.checkpoints.errors import AdapterError, BadConfig, CheckpointError, MissingTensor, shown
from resources.checkpoints.files import MAX_CONFIG_BYTES, Roots, read_json, repository_root, safe_member
from resources.checkpoints.inventory import ADAPTER_WEIGHTS, INDEX, SINGLE, Inventory, take_inventory
from resources.checkpoints.keys import MatrixKey, StoredTensor, TensorCoverage, TensorHashes, Verified
from resources.checkpoints.known_layouts import find_layout
from resources.checkpoints.parts import Structure
from resources.checkpoints.quantization import refuse_packed, scale_of

if TYPE_CHECKING:
    import torch

    from resources.checkpoints.adapter import Adapter
    from resources.checkpoints.header import TensorEntry
    from resources.checkpoints.parts import Part
    from resources.checkpoints.tensors import Scale

CONFIG = "config.json"

OverTensors = Callable[[Sequence[StoredTensor]], Sequence[TensorHashes]]


def open_checkpoint(
    path: str | Path, *, base: str | Path | None = None, allowed_root: Path | None = None
) -> Checkpoint:
    """Open a checkpoint folder (local or a Hub snapshot); a PEFT adapter is opened onto its base.

    ``base`` is the folder of an adapter's base model; without it the adapter's own ``base_model_name_or_path`` is
    looked for beside it. ``allowed_root`` widens where links may point. Raises CheckpointError, one subclass for each
    row of the bad-input table.
    """
    folder = _folder(path)
    roots = (repository_root(folder), *([allowed_root] if allowed_root is not None else []))
    try:
        if is_adapter(folder):
            from resources.checkpoints.adapter import base_folder, open_adapter

            bare = open_checkpoint(base if base is not None else base_folder(folder, roots), allowed_root=allowed_root)
            if bare.adapter is not None:
                raise AdapterError(f"{folder}: its base {bare.path} is an adapter itself. Merge that one first.")
            adapter = open_adapter(folder, roots, bare.structure)
            return Checkpoint(folder, bare.config, bare.inventory, bare.roots, adapter)
        inventory = take_inventory(folder, roots)
        config = read_json(safe_member(folder, CONFIG, roots), MAX_CONFIG_BYTES)
        _refuse_other_weights(folder, config, inventory)
        return Checkpoint(folder, config, inventory, roots)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read ({error.strerror or error}). Check the permissions.") from None


def _held(parts: Mapping[MatrixKey, Part]) -> int:
    """Bytes in memory while the matrices of one tensor are read: a slab of it as stored, and a matrix in float32."""
    if not parts:
        return 0
    entry = next(iter(parts.values())).entry
    elements = max(part.slab[1] * part.slab[2] for part in parts.values())
    return elements * (entry.nbytes // max(1, entry.numel) + 4)


def _folder(path: str | Path) -> Path:
    folder = Path(path).expanduser()
    if not folder.exists():
        raise CheckpointError(f"{folder}: no such folder. Give the folder that holds config.json and the weights.")
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: a file, expected a folder. Give the folder that holds config.json and the weights."
        )
    return folder.absolute()


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds a PEFT adapter; CheckpointError when it holds a whole model as well."""
    if not (folder / ADAPTER_CONFIG).exists():
        return False
    whole = [name for name in (SINGLE, INDEX) if (folder / name).exists()]
    if whole and (folder / ADAPTER_WEIGHTS).exists():
        raise CheckpointError(
            f"{folder}: holds an adapter ({ADAPTER_WEIGHTS}) and a whole model ({whole[0]}). "
            "Keep one of them per folder."
        )
    return not whole


def _refuse_other_weights(folder: Path, config: dict[str, Any], inventory: Inventory) -> None:
    """CheckpointError when config.json sends transformers to other weights than those that were found."""
    named = config.get("transformers_weights")
    found = INDEX if inventory.index is not None else SINGLE
    if named is not None and named != found:
        raise BadConfig(
            f"{folder / CONFIG}: transformers_weights names {shown(named)!r}, which transformers would load in place "
            f"of {found}. Keep one model per folder: rename that file to {found}, or delete the setting."
        )


class Checkpoint:
    """One model on disk, perhaps with an adapter on top. Make it with ``open_checkpoint``."""

    def __init__(
        self, path: Path, config: dict[str, Any], inventory: Inventory, roots: Roots, adapter: Adapter | None = None
    ) -> None:
        self.path = path
        self.config = config
        self.inventory = inventory
        self.roots = roots
        self.adapter = adapter
        self.quantization = refuse_packed(config, inventory)
        self.layout, self.sizes = find_layout(config, inventory.folder / CONFIG, list(inventory.tensors))
        self.architecture = str(config.get("model_type") or "")
        self.n_layers = self.sizes["layers"]
        self.hidden_size = self.sizes["hidden"]
        self.n_heads = self.sizes["heads"]
        self.n_kv_heads = self.sizes["kv_heads"]

    @cached_property
    def structure(self) -> Structure:
        """Where every tensor lies; worked out from the headers when first needed."""
        return build(self.layout, self.sizes, self.inventory, self.config, self.quantization is not None)

    @cached_property
    def dtype(self) -> str:
        """The stored dtype of most parameters, as torch names it."""
        count: Counter[str] = Counter()
        for entry in self.inventory.tensors.values():
            count[entry.torch_dtype] += entry.numel
        return max(sorted(count), key=lambda name: count[name])

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding."""
        shape = self.other_shape(self.structure.embedding)
        return shape[0]

    @property
    def n_parameters(self) -> int:
        """Parameters of the merged model, tied ones counted once, scales and buffers not at all."""
        count, structure = self.structure.n_parameters, self.structure
        if self.adapter is None:
            return count
        ends = [structure.embedding, structure.head] if structure.tied else []
        for name, entry in self.adapter.replaced.items():
            if name not in ends:
                count += entry.numel - math.prod(structure.stored_shape(name) or ())
        if ends:  # counted once so far
            count -= math.prod(structure.stored_shape(structure.embedding) or ())
            count += sum(math.prod(self.other_shape(end)) for end in (ends[:1] if self.tied_embeddings else ends))
        return count

    @property
    def qk_norm(self) -> bool:
        """Queries and keys are normalised, so their matrices' scale has no effect."""
        return self.structure.qk_norm

    @property
    def qkv_bias(self) -> bool:
        """The query, key or value projection has a bias."""
        return self.structure.qkv_bias

    @property
    def tied_embeddings(self) -> bool:
        """Embedding and output head are one matrix (an adapter that changes one of them alone unties them)."""
        if self.adapter is None or not self.structure.tied:
            return self.structure.tied
        ends = [self.structure.embedding, self.structure.head]
        changes = [(self.adapter.replaced.get(name), self.adapter.low_rank.get(name)) for name in ends]
        return changes[0] == changes[1]

    def matrices(self) -> list[MatrixKey]:
        """All principal matrices, layer by layer in the layout's order. Raises MissingTensor when a layer lacks one."""
        return list(self.structure.parts)

    def shape(self, key: MatrixKey) -> tuple[int, int]:
        """(out_features, in_features), without reading data."""
        return self._part(key).shape

    def _part(self, key: MatrixKey) -> Part:
        try:
            return self.structure.parts[key]
        except KeyError:
            raise MissingTensor(
                f"{self.path}: no matrix {key}; this {self.architecture} has {self.n_layers} layers with "
                f"{', '.join(dict.fromkeys(k.matrix for k in self.structure.parts))}. Ask for one of matrices()."
            ) from None

    def read(self, key: MatrixKey) -> torch.Tensor:
        """The matrix in float32 on the CPU, out_features x in_features, contiguous; an adapter is merged in.

        Raises NonFiniteWeights naming the matrix, the file and the count.
        """
        from resources.checkpoints.tensors import read_part

        part = self._part(key)
        matrix = read_part(part, self.fp8_scale(part.entry), str(key))
        if self.adapter is not None:
            self.adapter.add_to_matrix(matrix, part, self._canonical(part.entry), str(key))
        return matrix

    def _canonical(self, entry: TensorEntry) -> str:
        return self.layout.canonical(entry.name)

    def fp8_scale(self, entry: TensorEntry) -> Scale | None:
        """The scale of an fp8 tensor; None for all others."""
        return scale_of(entry, self.inventory, self.config) if self.quantization else None

    def others(self) -> list[str]:
        """Canonical names of all that is not a principal matrix: embedding, head, norms, biases, routers, ..."""
        return sorted(self.structure.others)

    def _other(self, name: str) -> TensorEntry:
        try:
            return self.structure.others[name]
        except KeyError:
            raise MissingTensor(f"{self.path}: no tensor {shown(name)!r}. Ask for one of others().") from None

    def other_shape(self, name: str) -> tuple[int, ...]:
        """Shape of a non-principal tensor, without reading it."""
        entry = self._other(name)
        if self.adapter is not None and (replaced := self.adapter.replacement(name)) is not None:
            return replaced.shape
        return entry.shape

    def read_other(self, name: str) -> torch.Tensor:
        """A non-principal tensor in its stored dtype (fp8, and what an adapter changes: float32); NaN is an error."""
        from resources.checkpoints.tensors import read_whole

        entry = self._other(name)
        if self.adapter is not None:
            replaced = self.adapter.replacement(name)
            if replaced is not None:
                return self.adapter.add_to_other(read_whole(replaced, None, name), name)
            return self.adapter.add_to_other(read_whole(entry, self.fp8_scale(entry), name), name)
        return read_whole(entry, self.fp8_scale(entry), name)

    def coverage(self) -> list[TensorCoverage]:
        """What becomes of every tensor on disk: of the base, then of the adapter."""
        lines = list(self.structure.coverage)
        if self.adapter is not None:
            lines += self.adapter.coverage(self._canonical(part.entry) for part in self.structure.parts.values())
        return lines

    def files(self) -> list[Path]:
        """The weight files, those of the base before those of the adapter."""
        files = [header.path for header in self.inventory.headers]
        return files + (self.adapter.files() if self.adapter is not None else [])

    def content_hash(self) -> str:
        """sha256 over all tensors by name, dtype, shape and bytes: independent of sharding and of their order."""
        from resources.checkpoints import verify

        return verify.content_hash(self.inventory, self.adapter)

    def stored(self) -> list[StoredTensor]:
        """Every tensor in the files, those of the checkpoint before those of the adapter."""
        parts = self.structure.by_tensor
        own, of_adapter = self.inventory.tensors, self.adapter.inventory.tensors if self.adapter is not None else {}
        return [
            *(StoredTensor(name, False, entry.nbytes, _held(parts.get(name, {}))) for name, entry in own.items()),
            *(StoredTensor(name, True, entry.nbytes, 0) for name, entry in of_adapter.items()),
        ]

    def verify_tensor(self, tensor: StoredTensor) -> TensorHashes:
        """Read one stored tensor through; every value finite, or NonFiniteWeights."""
        from resources.checkpoints import verify

        if tensor.of_adapter:
            assert self.adapter is not None  # it listed the tensor
            return verify.verify_other(self.adapter.inventory.tensors[tensor.name])
        entry = self.inventory.tensors[tensor.name]
        if tensor.name not in self.structure.by_tensor:
            return verify.verify_other(entry)
        return verify.verify_matrices(self.structure, self.adapter, self.fp8_scale(entry), entry)

    def verify_and_hash(self, over: OverTensors | None = None) -> Verified:
        """Check everything there is to check, and hash it, in one pass over the files.

        Headers, index, structure, scales, every value finite; then ``content_hash`` and each matrix's ``weight_hash``.
        ``over`` gives what ``verify_tensor`` gives of every tensor, by another way than one after the other here.
        Raises the CheckpointError of what is wrong.
        """
        from resources.checkpoints.identity import identity

        for name in [*self.structure.by_tensor, *{entry.name for entry in self.structure.others.values()}]:
            self.fp8_scale(self.inventory.tensors[name])  # small: what is wrong with one is said before the long pass
        tensors = self.stored()
        found = over(tensors) if over else list(map(self.verify_tensor, tensors))
        hashes: dict[bool, dict[str, str]] = {False: {}, True: {}}
        matrices: dict[MatrixKey, str] = {}
        for tensor, read in zip(tensors, found, strict=True):
            hashes[tensor.of_adapter][tensor.name] = read.content
            matrices |= read.matrices
        whole = identity(self.inventory, self.adapter, hashes[False], hashes[True])
        return Verified(whole, {key: matrices[key] for key in self.structure.parts})
