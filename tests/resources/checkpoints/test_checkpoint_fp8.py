"""fp8 weights with their scales are read exactly; everything packed is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_zoo import Example
from safetensors.torch import load_file, save_file

from resources.checkpoints import Checkpoint, QuantizedFormat, ShapeMismatch, open_checkpoint

Zoo = Callable[[str], Example]
BLOCK = (16, 20)


def _expand(scale: torch.Tensor, shape: torch.Size, block: tuple[int, int]) -> torch.Tensor:
    """Block scales at full size, by the definition: entry (i, j) belongs to block (i // b0, j // b1)."""
    full = torch.empty(shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            full[i, j] = scale[i // block[0], j // block[1]]
    return full


def _quantize(
    zoo: Zoo, name: str, folder: Path, kind: str, dtype: torch.dtype = torch.float8_e4m3fn
) -> dict[str, torch.Tensor]:
    """An fp8 copy of a model; gives the float32 weights that it stands for, by name on disk."""
    folder.mkdir(exist_ok=True)
    tensors = load_file(zoo(name).path / "model.safetensors")
    config = json.loads((zoo(name).path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3"}
    if kind == "block":
        config["quantization_config"]["weight_block_size"] = list(BLOCK)
    stored, meant = {}, {}
    torch.manual_seed(1)
    for key, value in tensors.items():
        if value.dim() != 2 or "proj" not in key:
            stored[key] = value
            continue
        rows, columns = value.shape
        if kind == "block":
            scale = torch.rand(-(-rows // BLOCK[0]), -(-columns // BLOCK[1])) * 1e-3 + 1e-4
            full, suffix = _expand(scale, value.shape, BLOCK), "_scale_inv"
        elif kind == "row":
            scale = torch.rand(rows, 1) * 1e-3 + 1e-4
            full, suffix = scale.expand(rows, columns), "_scale"
        else:
            scale = torch.tensor(3e-4)
            full, suffix = scale.expand(rows, columns), "_scale"
        stored[key] = (value.float() / full).to(dtype)
        stored[key + suffix] = scale
        meant[key] = stored[key].float() * full
    save_file(stored, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return meant


def _tensor(checkpoint: Checkpoint, key: Any) -> str:
    return checkpoint.structure.parts[key].entry.name


@pytest.mark.parametrize("kind", ["block", "row", "tensor"])
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_scales_are_applied_exactly(zoo: Zoo, tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    meant = _quantize(zoo, "llama", tmp_path, kind, dtype)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.quantization == "fp8"
    assert checkpoint.dtype == str(dtype).removeprefix("torch.")
    for key in checkpoint.matrices():
        assert torch.equal(checkpoint.read(key), meant[_tensor(checkpoint, key)])
    scales = [line for line in checkpoint.coverage() if line.reason == "fp8 scale"]
    assert len(scales) == 14
    assert checkpoint.others() == open_checkpoint(zoo("llama").path).others()
    assert checkpoint.n_parameters == open_checkpoint(zoo("llama").path).n_parameters
    checkpoint.verify_and_hash()


def test_blocks_go_on_through_fused_tensors(zoo: Zoo, tmp_path: Path) -> None:
    """The parts of a fused tensor begin in the middle of a block."""
    meant = _quantize(zoo, "phi3", tmp_path, "block")
    checkpoint = open_checkpoint(tmp_path)
    qkv = meant["model.layers.0.self_attn.qkv_proj.weight"]
    for matrix, (first, last) in {"q": (0, 32), "k": (32, 48), "v": (48, 64)}.items():
        key = next(key for key in checkpoint.matrices() if key.layer == 0 and key.matrix == matrix)
        assert torch.equal(checkpoint.read(key), qkv[first:last])


def test_stacked_experts_with_a_scale_for_each_channel(zoo: Zoo, tmp_path: Path) -> None:
    tensors = load_file(zoo("llama4").path / "model.safetensors")
    config = json.loads((zoo("llama4").path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fbgemm_fp8"}
    meant = {}
    for name in [name for name in tensors if ".experts." in name]:
        value = tensors[name].float()
        scale = torch.rand(value.shape[0], 1, value.shape[2]) * 1e-3 + 1e-4
        tensors[name] = (value / scale).to(torch.float8_e4m3fn)
        tensors[name + "_scale"] = scale
        meant[name] = tensors[name].float() * scale
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    checkpoint = open_checkpoint(tmp_path)
    down = next(name for name in meant if name.endswith("down_proj"))
    for key in checkpoint.matrices():
        if key.expert >= 0 and key.matrix == "down":
            assert torch.equal(checkpoint.read(key), meant[down][key.expert].T)
    checkpoint.verify_and_hash()


def test_a_missing_scale_is_an_error(zoo: Zoo, tmp_path: Path) -> None:
    _quantize(zoo, "llama", tmp_path, "row")
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight_scale"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(QuantizedFormat, match=r"layers\.1\.mlp\.up_proj\.weight.*no scale"):
        open_checkpoint(tmp_path).verify_and_hash()


def test_scales_that_do_not_fit_are_an_error(zoo: Zoo, tmp_path: Path) -> None:
    _quantize(zoo, "llama", tmp_path, "block")
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"]["weight_block_size"] = [8, 8]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ShapeMismatch, match=r"expected blocks of \[8, 8\].*weight_block_size"):
        open_checkpoint(tmp_path).verify_and_hash()


PACKED: dict[str, tuple[dict[str, Any] | None, dict[str, torch.Tensor]]] = {
    "gptq": ({"quant_method": "gptq", "bits": 4}, {}),
    "awq": ({"quant_method": "awq", "bits": 4}, {}),
    "bitsandbytes": ({"load_in_4bit": True}, {}),
    "compressed-tensors": (
        {"quant_method": "compressed-tensors", "format": "pack-quantized"},
        {"model.layers.0.mlp.up_proj.weight_packed": torch.zeros(4, 4, dtype=torch.int32)},
    ),
    "mxfp4": ({"quant_method": "mxfp4"}, {}),
    "torchao": ({"quant_method": "torchao"}, {}),
    "an unnamed method": ({"w_bit": 4}, {}),
    "GPTQ or AWQ": (None, {"model.layers.0.mlp.up_proj.qweight": torch.zeros(4, 4, dtype=torch.int32)}),
    "MXFP4": (None, {"model.layers.0.mlp.experts.gate_up_proj_blocks": torch.zeros(4, 4, dtype=torch.uint8)}),
    "U8 weights": (None, {"model.layers.0.mlp.up_proj.weight": torch.zeros(4, 4, dtype=torch.uint8)}),
    "I8 weights": (None, {"model.layers.0.mlp.up_proj.weight": torch.zeros(48, 32, dtype=torch.int8)}),
    "expected a table": ("int4", {}),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", sorted(PACKED))
def test_packed_formats_are_refused_by_name(copy_of: Callable[[str], Path], name: str) -> None:
    folder = copy_of("llama")
    config, tensors = PACKED[name]
    if config is not None:
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(content | {"quantization_config": config}))
    save_file(load_file(folder / "model.safetensors") | tensors, folder / "model.safetensors")
    with pytest.raises(QuantizedFormat, match=f"(?s){name}.*(unquantized|Use the)"):
        open_checkpoint(folder)
