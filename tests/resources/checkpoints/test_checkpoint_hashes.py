"""One pass over a checkpoint gives its identity and every matrix's hash, and reads no weight twice."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from checkpoint_zoo import MODELS, Example
from safetensors.torch import load_file, save_file

from resources.checkpoints import Checkpoint, MatrixKey, NonFiniteWeights, files, open_checkpoint, weight_hash

Zoo = Callable[[str], Example]


def _hash(matrix: torch.Tensor) -> str:
    """By the definition: sha256 of "rows x columns;" and the float32 little-endian bytes."""
    rows, columns = matrix.shape
    return hashlib.sha256(f"{rows}x{columns};".encode() + matrix.float().numpy().astype("<f4").tobytes()).hexdigest()


def _assert_right(checkpoint: Checkpoint, matrices: Callable[[MatrixKey], torch.Tensor]) -> None:
    verified = checkpoint.verify_and_hash()
    assert verified.content_hash == checkpoint.content_hash()
    assert list(verified.matrix_hashes) == checkpoint.matrices()
    for key, found in verified.matrix_hashes.items():
        assert found == _hash(matrices(key)) == weight_hash(checkpoint.read(key)), key


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_layout(zoo: Zoo, name: str) -> None:
    _assert_right(open_checkpoint(zoo(name).path), zoo(name).loaded)


def test_shards_and_stacked_experts(zoo: Zoo, tmp_path: Path) -> None:
    made = zoo("mixtral")
    made.model.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    made.model.save_pretrained(tmp_path / "stacked", save_original_format=False)
    for folder in ("shards", "stacked"):
        _assert_right(open_checkpoint(tmp_path / folder), made.loaded)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "targets"), [("phi3", ["qkv_proj", "down_proj"]), ("gpt2", ["c_attn"])])
def test_merged_adapters(zoo: Zoo, tmp_path: Path, name: str, targets: list[str]) -> None:
    settings = peft.LoraConfig(r=2, target_modules=targets, init_lora_weights=False, fan_in_fan_out=name == "gpt2")
    peft.get_peft_model(copy.deepcopy(zoo(name).model), settings).save_pretrained(tmp_path)
    merged = open_checkpoint(tmp_path, base=zoo(name).path)
    _assert_right(merged, merged.read)
    assert merged.verify_and_hash().matrix_hashes != open_checkpoint(zoo(name).path).verify_and_hash().matrix_hashes


def test_fp8_with_scales(zoo: Zoo, tmp_path: Path) -> None:
    """A fused tensor in fp8, one scale for each output row: the hash is of the numbers meant, not of those stored."""
    tensors = load_file(zoo("phi3").path / "model.safetensors")
    meant = {}
    for name in [name for name in tensors if name.endswith("proj.weight")]:
        scale = torch.rand(tensors[name].shape[0], 1) * 1e-2 + 1e-3
        tensors[name] = (tensors[name].float() / scale).to(torch.float8_e4m3fn)
        tensors[name + "_scale"] = scale
        meant[name] = tensors[name].float() * scale
    save_file(tensors, tmp_path / "model.safetensors")
    config = json.loads((zoo("phi3").path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "fp8"}}))
    checkpoint = open_checkpoint(tmp_path)
    parts = checkpoint.structure.parts
    _assert_right(checkpoint, lambda key: meant[parts[key].entry.name].narrow(0, parts[key].start, parts[key].shape[0]))


@pytest.mark.parametrize("name", ["llama", "phi3", "gpt_neox", "gpt_oss", "qwen3_next"])
def test_no_byte_of_a_tensor_is_read_twice(zoo: Zoo, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    checkpoint = open_checkpoint(zoo(name).path)
    (header,) = checkpoint.inventory.headers
    read: Counter[int] = Counter()
    really = files._read_into

    def counted(descriptor: int, block: memoryview, offset: int) -> int:
        count = really(descriptor, block, offset)
        read.update(range(offset, offset + count))
        return count

    monkeypatch.setattr(files, "_read_into", counted)
    checkpoint.verify_and_hash()
    assert set(read) == set(range(header.data_start, header.file_size))
    assert set(read.values()) == {1}
    assert sum(tensor.nbytes for tensor in checkpoint.stored()) == header.file_size - header.data_start


def test_the_sign_of_zero_is_part_of_a_weight(zoo: Zoo, tmp_path: Path) -> None:
    """Hashes are of the bits as stored: -0.0 and 0.0 differ, in the matrix's hash and in the checkpoint's alike."""
    tensors = load_file(zoo("phi3").path / "model.safetensors")
    hashes = []
    for zero in (0.0, -0.0):
        folder = tmp_path / str(zero)
        folder.mkdir()
        tensors["model.layers.0.self_attn.qkv_proj.weight"][0, 0] = zero
        save_file(tensors, folder / "model.safetensors")
        (folder / "config.json").write_bytes((zoo("phi3").path / "config.json").read_bytes())
        hashes.append(open_checkpoint(folder).verify_and_hash())
    plus, minus = hashes
    assert plus.content_hash != minus.content_hash
    different = [key for key in plus.matrix_hashes if plus.matrix_hashes[key] != minus.matrix_hashes[key]]
    assert different == [MatrixKey(0, "q")]
    assert weight_hash(torch.tensor([[0.0]])) != weight_hash(torch.tensor([[-0.0]]))


def test_a_number_beyond_float32_is_found_in_the_pass(zoo: Zoo, tmp_path: Path) -> None:
    """Finite as stored, infinite as read: said when the checkpoint is catalogued, not in the middle of an analysis."""
    tensors = {name: value.double() for name, value in load_file(zoo("llama").path / "model.safetensors").items()}
    tensors["model.layers.1.mlp.up_proj.weight"][2, 3] = 1e300
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((zoo("llama").path / "config.json").read_bytes())
    with pytest.raises(NonFiniteWeights, match=r"layers\.1\.up .*up_proj\.weight.*holds 1 NaN or infinite"):
        open_checkpoint(tmp_path).verify_and_hash()
