"""Which weight files a checkpoint folder has, and every tensor in them.

Only names that transformers loads count, in its order: ``model.safetensors``, else ``model.safetensors.index.json``
with the shards it names. What is analysed is then what ``from_pretrained`` runs. Everything else is refused by name:
safetensors files called otherwise, pickles, GGUF, folders without weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resources.checkpoints.errors import (
    BadIndex,
    CheckpointError,
    MissingShard,
    PickleCheckpoint,
    QuantizedFormat,
    listed,
    shown,
)
from resources.checkpoints.files import MAX_INDEX_BYTES, MAX_INDEX_MARKS, Roots, read_json, safe_member
from resources.checkpoints.header import Header, TensorEntry, read_header

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Inventory:
    """Every tensor of a folder by name, and the headers of its files in the order of their names."""

    folder: Path
    headers: tuple[Header, ...]
    tensors: dict[str, TensorEntry]
    index: Path | None = None


def take_inventory(folder: Path, roots: Roots) -> Inventory:
    """Read all headers of the folder's weight files and check the index against them.

    Raises MissingShard, BadIndex, PickleCheckpoint, TruncatedFile, CorruptHeader, UnsafePath.
    """
    if (folder / SINGLE).exists() or (folder / SINGLE).is_symlink():
        return _collect(folder, [safe_member(folder, SINGLE, roots)])
    if (folder / INDEX).exists() or (folder / INDEX).is_symlink():
        return _from_index(folder, roots)
    raise _no_weights(folder)


def read_adapter_weights(folder: Path, roots: Roots) -> Inventory:
    """The tensors of a PEFT adapter folder."""
    if not (folder / ADAPTER_WEIGHTS).exists() and not (folder / ADAPTER_WEIGHTS).is_symlink():
        raise _no_weights(folder, ADAPTER_WEIGHTS)
    return _collect(folder, [safe_member(folder, ADAPTER_WEIGHTS, roots)])


def _no_weights(folder: Path, expected: str = SINGLE) -> CheckpointError:
    """The error for a folder without safetensors: what there is instead decides the sentence."""
    names = sorted(path.name for path in folder.iterdir())
    unread = [name for name in names if name.endswith(".safetensors") and not name.startswith("adapter_")]
    if unread and expected == SINGLE:
        return _unread_names(folder, unread, names)
    pickles = [name for name in names if name.endswith(_PICKLES) and not name.startswith("training_args")]
    if pickles and expected == ADAPTER_WEIGHTS:
        return PickleCheckpoint(
            f"{folder}: only pickle weights ({listed(pickles, 3)}); a pickle can execute code, so only safetensors is "
            "read. "
            'Convert a source that you trust: python -c "import torch; from safetensors.torch import save_file; '
            f"save_file(torch.load('{folder / pickles[0]}', weights_only=True), '{folder / expected}')\""
        )
    if pickles:
        return PickleCheckpoint(
            f"{folder}: only pickle weights ({listed(pickles, 3)}); a pickle can execute code, so only safetensors is "
            "read. "
            'Convert a source that you trust: python -c "from transformers import AutoModelForCausalLM as M; '
            f"M.from_pretrained('{folder}', dtype='auto').save_pretrained('{folder}-safetensors')\""
        )
    if any(name.endswith(".gguf") for name in names):
        return QuantizedFormat(
            f"{folder}: GGUF weights, a packed format. Use the safetensors checkpoint that they were made from."
        )
    return MissingShard(
        f"{folder}: expected {expected}, found {listed(names)}. Download the checkpoint's safetensors files."
    )


def _unread_names(folder: Path, unread: list[str], names: list[str]) -> MissingShard:
    """The error for safetensors files under names that transformers passes over."""
    if len(unread) == 1:
        remedy = f"If {shown(unread[0])} is the whole model, rename it to {SINGLE}."
    else:
        remedy = f"Download {INDEX} too, which says what lies in which shard, or save the model again."
    pickle = next((name for name in names if name.startswith("pytorch_model") and name.endswith(".bin")), None)
    instead = f" (it would load {pickle} instead)" if pickle else ""
    return MissingShard(
        f"{folder}: found {listed(unread, 4)}, but neither {SINGLE} nor {INDEX}: transformers loads weights under no "
        f"other name{instead}, so what is analysed could not be run. {remedy}"
    )


def _from_index(folder: Path, roots: Roots) -> Inventory:
    """The shards named by the index, with every name in the index accounted for."""
    index = safe_member(folder, INDEX, roots)
    content = read_json(index, MAX_INDEX_BYTES, BadIndex, MAX_INDEX_MARKS)
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BadIndex(f"{index}: expected a table weight_map of tensor names and files. Download the file again.")
    for tensor, name in weight_map.items():
        if not isinstance(name, str):
            raise BadIndex(
                f"{index}: tensor {shown(tensor)!r}: expected a file name, found {shown(name)}. Download it again."
            )
        if not name.endswith(".safetensors"):
            safe_member(folder, name, roots)
            raise BadIndex(
                f"{index}: tensor {shown(tensor)!r} is said to lie in {shown(name)!r}, which is no safetensors file. "
                "Use the safetensors version of the checkpoint."
            )
    names = sorted(set(weight_map.values()))
    paths = {name: safe_member(folder, name, roots) for name in names}
    missing = [name for name, path in paths.items() if not path.exists()]
    if missing:
        raise MissingShard(
            f"{folder}: {INDEX} names {len(names)} shards, {len(missing)} of them missing: {listed(missing, 4)}. "
            "Download them."
        )
    inventory = _collect(folder, list(paths.values()), index)
    for tensor, name in weight_map.items():
        entry = inventory.tensors.get(tensor)
        if entry is None:
            raise BadIndex(
                f"{index}: names tensor {shown(tensor)!r} in {name}, which has no such tensor. The index does not "
                "belong to these shards. Download both again."
            )
        if entry.path != paths[name]:
            raise BadIndex(
                f"{index}: names tensor {shown(tensor)!r} in {name}, found it in {entry.path.name}. The index does not "
                "belong to these shards. Download both again."
            )
    extra = [name for name in inventory.tensors if name not in weight_map]
    if extra:
        raise BadIndex(
            f"{index}: the shards hold tensors that the index does not name: {listed(extra, 4)}. The index does not "
            "belong to these shards. Download both again."
        )
    return inventory


def _collect(folder: Path, paths: list[Path], index: Path | None = None) -> Inventory:
    """All headers; a tensor that two files hold is an error, because nothing says which one counts."""
    headers = tuple(read_header(path) for path in paths)
    tensors: dict[str, TensorEntry] = {}
    for header in headers:
        for entry in header.tensors:
            if entry.name in tensors:
                raise BadIndex(
                    f"{entry.path}: tensor {shown(entry.name)!r} is also in {tensors[entry.name].path.name}. "
                    "Download the checkpoint again."
                )
            tensors[entry.name] = entry
    if not tensors:
        raise MissingShard(f"{folder}: the weight files hold no tensor. Download the checkpoint again.")
    return Inventory(folder, headers, tensors, index)
