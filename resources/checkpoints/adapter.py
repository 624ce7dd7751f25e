"""A PEFT LoRA adapter on top of a base: merged on the fly as ``W + (alpha / r) B A``, in float32.

Adapters name modules as they are called in memory, checkpoints as they are called on disk; both are compared without
the decoder's prefix (the canonical name). Every tensor of the adapter must find its place, or it is an error: an
adapter merged in part is a different model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.checkpoints.adapter_config import LoraSettings, ModuleScales, base_name, read_settings
from resources.checkpoints.errors import AdapterError, listed, shown
from resources.checkpoints.files import Roots
from resources.checkpoints.inventory import Inventory, read_adapter_weights
from resources.checkpoints.keys import ANALYSED, SKIPPED, TensorCoverage

if TYPE_CHECKING:
    import torch

    from resources.checkpoints.header import TensorEntry
    from resources.checkpoints.parts import Part, Structure

_ROLE = re.compile(
    r"^(?P<module>.+?)\.(?P<role>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
    r"(\.\w+?)??(?P<what>\.weight|\.bias)?$"
)
_WRAPPERS = re.compile(r"\.(modules_to_save|base_layer)(\.default)?(?=\.)")


@dataclass(frozen=True)
class LowRank:
    """The two factors on one tensor: A is rank x in, B is out x rank; of an embedding the product is transposed."""

    a: TensorEntry
    b: TensorEntry
    scale: float
    embedding: bool = False


def base_folder(folder: Path, roots: Roots) -> Path:
    """The base's folder as the adapter itself names it, when that lies in the adapter's folder or beside it."""
    name = base_name(folder, roots)
    if name and not Path(name).is_absolute() and ".." not in Path(name).parts:
        for place in (folder / name, folder.parent / name):
            if place.is_dir():
                return place
    raise AdapterError(
        f"{folder}: an adapter of {shown(name or 'an unnamed base')!r}, which is not beside it. Give the base's folder "
        "explicitly."
    )


def open_adapter(folder: Path, roots: Roots, base: Structure) -> Adapter:
    """Read an adapter's headers and find for each of its tensors the base tensor that it changes."""
    settings = read_settings(folder, roots)
    inventory = read_adapter_weights(folder, roots)
    return Adapter(settings, inventory, base)


class Adapter:
    """What an adapter does to each tensor of its base, by canonical name."""

    def __init__(self, settings: LoraSettings, inventory: Inventory, base: Structure) -> None:
        self.settings = settings
        self.scales = ModuleScales(settings)
        self.inventory = inventory
        self.low_rank: dict[str, LowRank] = {}
        self.replaced: dict[str, TensorEntry] = {}
        self.bias: dict[str, tuple[TensorEntry, float]] = {}
        self.target: dict[str, str] = {}
        self._match(base)
        self._tie(base)

    def files(self) -> list[Path]:
        """The adapter's own weight file."""
        return [header.path for header in self.inventory.headers]

    def identity(self) -> dict[str, Any]:
        """The settings that, beside the tensors, decide the merged weights."""
        settings = asdict(self.settings)
        del settings["path"]
        return settings

    def touched(self) -> set[str]:
        """Canonical names of the base tensors that the adapter changes."""
        return set(self.low_rank) | set(self.replaced) | set(self.bias)

    def _match(self, base: Structure) -> None:
        shapes = {name: base.inventory.tensors[disk].shape for name, disk in base.canonical.items()}
        shapes |= {end: base.stored_shape(end) or () for end in (base.embedding, base.head)}
        factors: dict[str, dict[str, TensorEntry]] = {}
        for name, entry in self.inventory.tensors.items():
            path = name.removeprefix("base_model.model.")
            found = _ROLE.match(path)
            if found and found["role"] == "lora_magnitude_vector":
                raise AdapterError(
                    f"{entry.path}: tensor {shown(name)!r} belongs to a DoRA adapter, which is not supported. Merge "
                    "it with PEFT (merge_and_unload) and give the merged model."
                )
            if found and found["what"] == ".bias":
                self._match_lora_bias(base, shapes, found["module"], entry)
            elif found:
                factors.setdefault(_WRAPPERS.sub("", found["module"]), {})[found["role"]] = entry
            else:
                self._match_replacement(base, shapes, path, entry)
        for module, roles in factors.items():
            self._match_factors(base, shapes, module, roles)

    def _place(self, base: Structure, shapes: dict[str, tuple[int, ...]], name: str, entry: TensorEntry) -> str:
        """The canonical base tensor for a name as the adapter has it."""
        canonical = base.layout.canonical(_WRAPPERS.sub("", name))
        if not shapes.get(canonical):
            raise AdapterError(
                f"{entry.path}: tensor {shown(entry.name)!r} matches no tensor of the base {base.inventory.folder} "
                f"(looked for {shown(canonical)!r}; there are e.g. {listed(_nearest(canonical, shapes), 3)}). Give the "
                "base that the adapter was trained on."
            )
        self.target[entry.name] = canonical
        return canonical

    def _match_factors(
        self, base: Structure, shapes: dict[str, tuple[int, ...]], module: str, roles: dict[str, TensorEntry]
    ) -> None:
        entry = next(iter(roles.values()))
        embedding = "lora_embedding_A" in roles or "lora_embedding_B" in roles
        a, b = ("lora_embedding_A", "lora_embedding_B") if embedding else ("lora_A", "lora_B")
        if set(roles) != {a, b}:
            raise AdapterError(
                f"{entry.path}: module {shown(module)!r}: expected {a} and {b}, found {listed(sorted(roles))}. "
                "Download the adapter again."
            )
        place = self._place(base, shapes, module + ".weight", roles[a])
        self.target[roles[b].name] = place
        shape_a, shape_b = roles[a].shape, roles[b].shape
        if len(shape_a) != 2 or len(shape_b) != 2 or shape_a[0] != shape_b[1] or 0 in shape_a + shape_b:
            raise AdapterError(
                f"{entry.path}: module {shown(module)!r}: expected {a} [r, in] and {b} [out, r], found "
                f"{list(shape_a)} and {list(shape_b)}. Only linear and embedding layers are supported."
            )
        product = (
            (shape_a[1], shape_b[0]) if embedding or self._is_transposed(base, place) else (shape_b[0], shape_a[1])
        )
        if shapes[place] != product and place not in self.replaced:
            raise AdapterError(
                f"{entry.path}: module {shown(module)!r} changes a tensor of shape {list(product)}, the base "
                f"{base.inventory.folder} has {list(shapes[place])}. Give the base that the adapter was trained on."
            )
        self.low_rank[place] = LowRank(roles[a], roles[b], self.scales.scale(module, shape_a[0]), embedding)

    @staticmethod
    def _is_transposed(base: Structure, canonical: str) -> bool:
        disk = base.canonical.get(canonical)
        return any(part.transposed for part in base.by_tensor.get(disk or "", {}).values())

    def _match_lora_bias(
        self, base: Structure, shapes: dict[str, tuple[int, ...]], module: str, entry: TensorEntry
    ) -> None:
        place = self._place(base, shapes, module + ".bias", entry)
        if entry.shape != shapes[place]:
            raise AdapterError(
                f"{entry.path}: tensor {shown(entry.name)!r}: expected {list(shapes[place])}, found "
                f"{list(entry.shape)}. Give the base that the adapter was trained on."
            )
        factor = self.inventory.tensors.get(entry.name.removesuffix("bias") + "weight")
        rank = factor.shape[1] if factor is not None and len(factor.shape) == 2 else self.settings.rank
        self.bias[place] = (entry, self.scales.scale(_WRAPPERS.sub("", module), rank))

    def _match_replacement(
        self, base: Structure, shapes: dict[str, tuple[int, ...]], path: str, entry: TensorEntry
    ) -> None:
        place = self._place(base, shapes, path, entry)
        grown = place in (base.embedding, base.head) and entry.shape[1:] == shapes[place][1:]
        if entry.shape != shapes[place] and not grown:
            raise AdapterError(
                f"{entry.path}: tensor {shown(entry.name)!r}: expected {list(shapes[place])}, found "
                f"{list(entry.shape)}. Give the base that the adapter was trained on."
            )
        self.replaced[place] = entry

    def _tie(self, base: Structure) -> None:
        """``ensure_weight_tying``: what happens to the embedding happens to the tied head."""
        embedding, head = base.embedding, base.head
        if not (self.settings.tie and base.tied):
            return
        if embedding in self.replaced:  # PEFT saves the head's copy too
            self.replaced[head] = self.replaced[embedding]
        if embedding in self.low_rank:
            self.low_rank[head] = self.low_rank[embedding]

    def replacement(self, name: str) -> TensorEntry | None:
        """The tensor that the adapter puts in place of a base tensor (``modules_to_save``, trained biases)."""
        return self.replaced.get(name)

    def add_to_matrix(self, matrix: torch.Tensor, part: Part, name: str, what: str) -> torch.Tensor:
        """Add the low-rank change to a principal matrix (float32, out x in) in place."""
        from resources.checkpoints.tensors import check_merged, read_part, read_whole

        replaced = self.replaced.get(name)
        if replaced is not None:
            matrix.copy_(read_part(part.moved_to(replaced), None, what))
        change = self.low_rank.get(name)
        if change is not None:
            a = read_whole(change.a, None, f"{what}: lora_A").float()
            b = read_whole(change.b, None, f"{what}: lora_B").float()
            rank = b.shape[1]
            rows = b.view(part.groups, part.stride, rank)[:, part.start : part.start + part.size].reshape(-1, rank)
            matrix.addmm_(rows, a, alpha=change.scale)
            check_merged(matrix, change.b, what)
        return matrix

    def add_to_other(self, tensor: torch.Tensor, name: str) -> torch.Tensor:
        """A non-principal tensor with the adapter's change, in float32; as it is when there is none."""
        from resources.checkpoints.tensors import check_merged, read_whole

        change, bias = self.low_rank.get(name), self.bias.get(name)
        if change is not None:
            a, b = (read_whole(entry, None, name).float() for entry in (change.a, change.b))
            product = (b @ a).mul_(change.scale)
            tensor = product.t().add(tensor.float()) if change.embedding else product.add_(tensor.float())
            tensor = tensor.contiguous()
            check_merged(tensor, change.b, name)
        if bias is not None:
            tensor = tensor.float() + bias[1] * read_whole(bias[0], None, name).float()
        return tensor

    def coverage(self, principal: Iterable[str]) -> list[TensorCoverage]:
        """A line for each tensor of the adapter: analysed when it changes a principal matrix."""
        names = set(principal)
        lines = []
        for name in sorted(self.inventory.tensors):
            place = self.target[name]
            parameters = self.inventory.tensors[name].numel
            if place in names:
                lines.append(TensorCoverage(name, ANALYSED, f"merged into {place}", parameters))
            else:
                lines.append(TensorCoverage(name, SKIPPED, f"adapter of {place}", parameters))
        return lines


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    """A few known names with the same ending, else any."""
    ending = name.rsplit(".", 2)[-2:]
    alike = [other for other in known if other.rsplit(".", 2)[-2:] == ending]
    return sorted(alike or known)[:3]
