"""`adapter-init`: a PEFT LoRA that starts from a band of the base's spectrum, and the residual base that it stands on.

    OUT/base       the base without the band, in float32: rounding it to bfloat16 would cost more than many a change
    OUT/adapter    adapter_config.json and adapter_model.safetensors, with lora_alpha = r, so that B A counts once

Both are written into a temporary folder that takes OUT's place when all of it is there. One tensor is in memory at a
time; the adapter's small factors are kept until the end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.checkpoints import CheckpointError, weight_hash
from resources.checkpoints.checkpoint import CONFIG
from resources.checkpoints.errors import listed
from resources.checkpoints.place import carried_files, replacing
from resources.checkpoints.tensors import is_float, read_whole
from rotoscale.adapter_start import adapter_start

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint
    from resources.checkpoints.header import Header, TensorEntry
    from resources.factors import FactorStore

MANIFEST = "edit.json"
_ADAPTER = "adapter"
_BASE = "base"


@dataclass(frozen=True)
class Written:
    """What was made: the two folders, how many matrices, and the share of the base's energy that the band holds."""

    base: Path
    adapter: Path
    matrices: int
    energy: float
    largest_error: float
    """Largest element of `residual + B A - base`, as both are stored."""


def write_adapter_start(
    base: Checkpoint,
    out: Path,
    factors: FactorStore,
    *,
    band: str,
    rank: int,
    matrices: Collection[str] = (),
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> Written:
    """Write the residual base and the adapter under `out`; `matrices`: types that get an adapter, all unless given.

    Raises CheckpointError for a base that is an adapter, is stored in fp8 or has fused experts, or lacks a matrix type;
    MatrixError for a rank that is too large; WriteError when `out` is taken or the disk is full.
    """
    writing = _Writing(base, factors, band, rank, seed, device)
    writing.choose(matrices)
    out = Path(out).absolute()
    entries = [entry for header in base.inventory.headers for entry in header.tensors]
    size = sum(entry.numel * 4 for entry in entries)
    done = 0
    with replacing(out, MANIFEST, size, base.files()) as folder:
        for part in (_BASE, _ADAPTER):
            (folder / part).mkdir()
        for header in base.inventory.headers:
            target = folder / _BASE / header.path.relative_to(base.inventory.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                file.write(_header(header))
                for entry in header.tensors:
                    file.write(writing.tensor(entry).contiguous().view(-1).numpy().data)
                    done += entry.numel * 4
                    progress(done, size)
        for name, path in carried_files(base).items():
            target = folder / _BASE / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_in_float32(name, path, size))
        writing.save_adapter(folder / _ADAPTER, out / _BASE)
        manifest = {"format": "rotoscale edit", "format_version": 1, "manifest": writing.facts()}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return Written(out / _BASE, out / _ADAPTER, len(writing.chosen), writing.energy, writing.error)


class _Writing:
    """One adapter in the making."""

    def __init__(self, base: Checkpoint, factors: FactorStore, band: str, rank: int, seed: int, device: str) -> None:
        if base.adapter is not None:
            raise CheckpointError(f"{base.path}: an adapter. Give the whole model that a new adapter is to start from.")
        if base.quantization is not None:
            raise CheckpointError(f"{base.path}: stored in fp8. Give the bf16 or fp16 checkpoint of this model.")
        self.base, self.factors = base, factors
        self.band, self.rank, self.seed, self.device = band, rank, seed, device
        self.chosen: dict[str, str] = {}
        self.transposed: set[bool] = set()
        self.factors_of: dict[str, torch.Tensor] = {}
        self._taken = self._whole = self.error = 0.0

    def choose(self, matrices: Collection[str]) -> None:
        """Which tensors get an adapter, each with the name of its module in the loaded model."""
        structure = self.base.structure
        there = dict.fromkeys(key.matrix for key in structure.parts)
        unknown = [name for name in matrices if name not in there]
        if unknown:
            raise CheckpointError(
                f"{self.base.path}: no matrix type {listed(unknown)}; this {self.base.architecture} has "
                f"{', '.join(there)}."
            )
        modules = _modules(self.base)
        for name, parts in structure.by_tensor.items():
            if matrices and not {key.matrix for key in parts} <= set(matrices):
                if {key.matrix for key in parts} & set(matrices):
                    raise CheckpointError(
                        f"{self.base.path}: {name} holds {', '.join(key.matrix for key in parts)} as one; name all of "
                        "them or none."
                    )
                continue
            module = modules.get(self.base.layout.canonical(name).removesuffix(".weight"))
            if module is None:
                raise CheckpointError(
                    f"{self.base.path}: {name} is no linear layer of its own in the loaded model (as fused experts), "
                    "so that PEFT can put no LoRA there. Name other types with --matrices."
                )
            self.chosen[name] = module
            self.transposed |= {part.transposed for part in parts.values()}

    def tensor(self, entry: TensorEntry) -> torch.Tensor:
        """A tensor of the residual base, in float32 (what is no floating point as it is)."""
        values = read_whole(entry)
        if not is_float(entry):
            return values
        if entry.name not in self.chosen:
            return values.float()
        transposed = next(iter(self.base.structure.by_tensor[entry.name].values())).transposed
        W = values.float().T.contiguous() if transposed else values.float()
        stored = self.factors.get(weight_hash(W), W, self.device)
        made = adapter_start(W, stored.decomposition, self.band, self.rank, self._seed(entry.name))
        A, B, residual = (X.float().cpu() for X in (made.A, made.B, made.residual))
        name = f"base_model.model.{self.chosen[entry.name]}"
        self.factors_of |= {f"{name}.lora_A.weight": A.contiguous(), f"{name}.lora_B.weight": B.contiguous()}
        self.error = max(self.error, float((residual + B @ A - W).abs().max()))
        self._whole += float(W.double().square().sum())
        self._taken += float((B.double() @ A.double()).square().sum())
        return residual.T.contiguous() if transposed else residual.contiguous()

    @property
    def energy(self) -> float:
        """Share of the base's squared norm that the adapter holds, over all its matrices."""
        return self._taken / self._whole if self._whole else 0.0

    def save_adapter(self, folder: Path, base: Path) -> None:
        """PEFT's two files; `base` is where the residual base will lie."""
        from safetensors.torch import save_file

        save_file(self.factors_of, folder / "adapter_model.safetensors", {"format": "pt"})
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": str(base),
            "r": self.rank,
            "lora_alpha": self.rank,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": self.transposed == {True},
            "init_lora_weights": True,
            "target_modules": sorted(self.chosen.values()),
            "inference_mode": False,
        }
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def facts(self) -> dict[str, Any]:
        """What stands in the manifest."""
        return {
            "made_by": "rotoscale adapter-init",
            "of": str(self.base.path),
            "band": self.band,
            "rank": self.rank,
            "seed": self.seed if self.band == "random" else None,
            "matrices": len(self.chosen),
            "energy": self.energy,
            "largest_error": self.error,
        }

    def _seed(self, name: str) -> int:
        return int.from_bytes(hashlib.sha256(f"adapter-init:{self.seed}:{name}".encode()).digest()[:6], "big")


def _modules(base: Checkpoint) -> dict[str, str]:
    """Modules of the loaded model that LoRA can stand on, by canonical name; no weight is read or made."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    try:
        config = AutoConfig.from_pretrained(base.path, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise CheckpointError(f"{base.path}: the installed transformers cannot make this model: {error}") from error
    kinds = (torch.nn.Linear, Conv1D)
    return {base.layout.canonical(name): name for name, module in model.named_modules() if isinstance(module, kinds)}


def _header(header: Header) -> bytes:
    """A safetensors header for the same tensors in the same order, floating point ones as float32."""
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for entry in header.tensors:
        size = entry.numel * 4 if is_float(entry) else entry.end - entry.start
        dtype = "F32" if is_float(entry) else entry.dtype
        table[entry.name] = {"dtype": dtype, "shape": list(entry.shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _in_float32(name: str, path: Path, size: int) -> bytes:
    """A file that is carried over; configuration and index say the new format and size."""
    content = path.read_bytes()
    if name == CONFIG:
        config = json.loads(content)
        config.pop("torch_dtype", None)
        return (json.dumps(config | {"dtype": "float32"}, indent=2) + "\n").encode()
    if name.endswith(".index.json"):
        index = json.loads(content)
        index["metadata"] = {**index.get("metadata", {}), "total_size": size}
        return (json.dumps(index, indent=2) + "\n").encode()
    return content
