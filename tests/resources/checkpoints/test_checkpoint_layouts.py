"""Every layout: what is read from disk is, bit for bit, the weight of the loaded module."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_zoo import EXPERTS, HEADS, KV, MODELS, Example, H, example
from safetensors.torch import load_file, save_file

from resources.checkpoints import UNEXPLAINED, MatrixKey, open_checkpoint, weight_hash
from resources.checkpoints.known_layouts import layouts

Zoo = Callable[[str], Example]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_matrix_is_the_live_modules_own_weight(zoo: Zoo, name: str) -> None:
    made = zoo(name)
    checkpoint = open_checkpoint(made.path)
    keys = checkpoint.matrices()
    assert keys
    assert [key.layer for key in keys] == sorted(key.layer for key in keys)
    for key in keys:
        matrix, loaded = checkpoint.read(key), made.loaded(key)
        assert matrix.dtype == torch.float32
        assert matrix.is_contiguous()
        assert tuple(matrix.shape) == checkpoint.shape(key) == tuple(loaded.shape)
        assert torch.equal(matrix, loaded), key


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_tensor_is_accounted_for(zoo: Zoo, name: str) -> None:
    made = zoo(name)
    checkpoint = open_checkpoint(made.path)
    coverage = checkpoint.coverage()
    on_disk = load_file(made.path / "model.safetensors")
    assert {line.name: line.parameters for line in coverage} == {key: value.numel() for key, value in on_disk.items()}
    assert not [line.name for line in coverage if line.reason == UNEXPLAINED]
    assert all(line.reason for line in coverage if line.state == "skipped")
    analysed = sum(line.parameters for line in coverage if line.state == "analysed")
    assert analysed == sum(a * b for a, b in map(checkpoint.shape, checkpoint.matrices()))
    in_memory = {value.data_ptr(): value.numel() for value in made.model.state_dict().values()}
    assert checkpoint.n_parameters == sum(in_memory.values())
    checkpoint.verify_and_hash()


@pytest.mark.parametrize("name", ["llama", "gpt2", "phi3", "mixtral", "llava"])
def test_other_tensors_come_in_their_stored_dtype(zoo: Zoo, name: str) -> None:
    checkpoint = open_checkpoint(zoo(name).path)
    on_disk = load_file(zoo(name).path / "model.safetensors")
    for other in checkpoint.others():
        tensor = checkpoint.read_other(other)
        assert tuple(tensor.shape) == checkpoint.other_shape(other)
        assert tensor.dtype == torch.bfloat16
        assert any(torch.equal(tensor, stored) for key, stored in on_disk.items() if stored.shape == tensor.shape)


def test_the_facts_about_attention(zoo: Zoo) -> None:
    facts = {}
    for name in ("llama", "qwen2", "qwen3", "olmo2", "gemma3", "gpt2", "gpt_neox", "llama4"):
        checkpoint = open_checkpoint(zoo(name).path)
        facts[name] = (checkpoint.qk_norm, checkpoint.qkv_bias)
    assert facts == {
        "llama": (False, False),
        "qwen2": (False, True),
        "qwen3": (True, False),
        "olmo2": (True, False),
        "gemma3": (True, False),
        "gpt2": (False, True),
        "gpt_neox": (False, True),
        "llama4": (True, False),
    }
    llama = open_checkpoint(zoo("llama").path)
    assert (llama.n_layers, llama.hidden_size, llama.n_heads, llama.n_kv_heads, llama.vocab_size) == (
        2,
        H,
        HEADS,
        KV,
        64,
    )
    assert (llama.architecture, llama.dtype, llama.quantization, llama.tied_embeddings) == (
        "llama",
        "bfloat16",
        None,
        False,
    )


def test_keys_read_as_a_person_would_write_them() -> None:
    assert str(MatrixKey(3, "q")) == "layers.3.q"
    assert str(MatrixKey(3, "gate", 5)) == "layers.3.expert.5.gate"
    assert MatrixKey(0, "q") < MatrixKey(1, "k")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_other_dtypes(tmp_path: Path, dtype: torch.dtype) -> None:
    made = example("phi3", tmp_path, dtype)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.dtype == str(dtype).removeprefix("torch.")
    assert all(torch.equal(checkpoint.read(key), made.loaded(key)) for key in checkpoint.matrices())


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "mixtral", "llava"])
def test_shards_change_nothing(zoo: Zoo, tmp_path: Path, name: str) -> None:
    whole = open_checkpoint(zoo(name).path)
    zoo(name).model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    shards = open_checkpoint(tmp_path)
    assert shards.matrices() == whole.matrices()
    assert shards.others() == whole.others()
    assert len(shards.files()) == len(list(tmp_path.glob("*.safetensors")))
    for key in whole.matrices():
        assert weight_hash(shards.read(key)) == weight_hash(whole.read(key))
    assert shards.content_hash() == whole.content_hash() == shards.verify_and_hash().content_hash


def test_tied_and_untied_copies_compare_as_equal(zoo: Zoo, tmp_path: Path) -> None:
    tied = open_checkpoint(zoo("llama_tied").path)
    tensors = load_file(zoo("llama_tied").path / "model.safetensors")
    assert "lm_head.weight" not in tensors
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, tmp_path / "model.safetensors")
    config = json.loads((zoo("llama_tied").path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    untied = open_checkpoint(tmp_path)
    assert (tied.tied_embeddings, untied.tied_embeddings) == (True, False)
    assert tied.others() == untied.others()
    assert "lm_head.weight" in tied.others()
    assert all(torch.equal(tied.read_other(name), untied.read_other(name)) for name in tied.others())
    assert untied.n_parameters - tied.n_parameters == 64 * H
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert open_checkpoint(tmp_path).n_parameters == tied.n_parameters  # stored twice, still one matrix


def test_nested_and_plain_language_models_have_the_same_names(zoo: Zoo, tmp_path: Path) -> None:
    """The language model of a multimodal checkpoint, in three spellings, is the plain model."""
    nested = load_file(zoo("llava").path / "model.safetensors")
    config = json.loads((zoo("llava").path / "config.json").read_text())
    text = {
        name.removeprefix("language_model."): value
        for name, value in nested.items()
        if name.startswith("language_model.")
    }
    plain_folder, newer_folder = tmp_path / "plain", tmp_path / "newer"
    for folder in (plain_folder, newer_folder):
        folder.mkdir()
    save_file(text, plain_folder / "model.safetensors")
    (plain_folder / "config.json").write_text(json.dumps(config["text_config"]))
    newer = {name.replace("language_model.model.", "model.language_model."): value for name, value in nested.items()}
    newer = {name.replace("language_model.lm_head", "lm_head"): value for name, value in newer.items()}
    save_file(newer, newer_folder / "model.safetensors")
    (newer_folder / "config.json").write_text(json.dumps(config))
    checkpoints = [open_checkpoint(folder) for folder in (zoo("llava").path, plain_folder, newer_folder)]
    first = checkpoints[1]
    for other in checkpoints:
        assert other.matrices() == first.matrices()
        assert all(weight_hash(other.read(key)) == weight_hash(first.read(key)) for key in first.matrices())
        assert set(first.others()) <= set(other.others())
    assert {line.reason for line in checkpoints[0].coverage() if "vision" in line.name} == {"vision tower"}


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe"])
def test_stacked_experts_are_the_same_experts(zoo: Zoo, tmp_path: Path, name: str) -> None:
    """transformers can save what it holds in memory: experts stacked, under other names."""
    separate = open_checkpoint(zoo(name).path)
    zoo(name).model.save_pretrained(tmp_path, save_original_format=False)
    stored = load_file(tmp_path / "model.safetensors")
    assert "model.layers.0.mlp.experts.gate_up_proj" in stored
    stacked = open_checkpoint(tmp_path)
    assert stacked.matrices() == separate.matrices()
    assert {key.expert for key in stacked.matrices()} == {-1, *range(EXPERTS)}
    assert all(weight_hash(stacked.read(key)) == weight_hash(separate.read(key)) for key in stacked.matrices())
    assert stacked.others() == separate.others()
    assert stacked.n_parameters == separate.n_parameters


def test_stacked_experts_in_the_other_orientation(zoo: Zoo, tmp_path: Path) -> None:
    """Qwen3-VL-MoE publishes [experts, in, out] where Qwen3-MoE in memory has [experts, out, in]: data, not a guess."""
    zoo("qwen3_moe").model.save_pretrained(tmp_path, save_original_format=False)
    tensors = load_file(tmp_path / "model.safetensors")
    transposed = {
        name.replace("model.", "model.language_model.", 1): (
            value.transpose(1, 2).contiguous() if value.dim() == 3 else value
        )
        for name, value in tensors.items()
    }
    save_file(transposed, tmp_path / "model.safetensors")
    text = json.loads((tmp_path / "config.json").read_text()) | {"model_type": "qwen3_vl_moe_text"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3_vl_moe", "text_config": text}))
    plain, other = open_checkpoint(zoo("qwen3_moe").path), open_checkpoint(tmp_path)
    assert other.matrices() == plain.matrices()
    assert all(torch.equal(other.read(key), plain.read(key)) for key in plain.matrices())


def test_gpt2_as_published(zoo: Zoo, tmp_path: Path) -> None:
    """The Hub's gpt2 has no prefix and stores its causal masks."""
    tensors = load_file(zoo("gpt2").path / "model.safetensors")
    published = {name.removeprefix("transformer."): value for name, value in tensors.items()}
    for layer in range(2):
        published[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(64, 64)).view(1, 1, 64, 64)
    save_file(published, tmp_path / "model.safetensors")
    shutil.copy(zoo("gpt2").path / "config.json", tmp_path)
    ours, theirs = open_checkpoint(tmp_path), open_checkpoint(zoo("gpt2").path)
    assert ours.others() == theirs.others()
    assert ours.n_parameters == theirs.n_parameters
    assert all(torch.equal(ours.read(key), theirs.read(key)) for key in theirs.matrices())
    masks = [line for line in ours.coverage() if line.reason == "attention mask buffer"]
    assert [line.name for line in masks] == ["h.0.attn.bias", "h.1.attn.bias"]


def test_what_the_configuration_leaves_out_is_what_transformers_assumes(
    zoo: Zoo, copy_of: Callable[[str], Path]
) -> None:
    folder = copy_of("qwen3")
    config = json.loads((folder / "config.json").read_text())
    del config["head_dim"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(Exception, match=r"expected \[512, 32\].*heads\*head_dim.*found \[64, 32\]"):
        open_checkpoint(folder).matrices()  # Qwen3 without head_dim means 128, not hidden / heads


def test_a_tensor_that_no_rule_knows_is_reported(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("llama")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.mlp.extra_proj.weight"] = torch.ones(4, 4)
    save_file(tensors, folder / "model.safetensors")
    unexplained = [line.name for line in open_checkpoint(folder).coverage() if line.reason == UNEXPLAINED]
    assert unexplained == ["model.layers.0.mlp.extra_proj.weight"]


def test_a_grown_vocabulary_only_changes_the_ends(zoo: Zoo, tmp_path: Path) -> None:
    model = copy.deepcopy(zoo("llama").model)
    model.resize_token_embeddings(72)
    model.save_pretrained(tmp_path)
    grown, plain = open_checkpoint(tmp_path), open_checkpoint(zoo("llama").path)
    assert grown.vocab_size == 72
    assert all(torch.equal(grown.read(key), plain.read(key)) for key in plain.matrices())
    different = [name for name in plain.others() if grown.other_shape(name) != plain.other_shape(name)]
    assert different == ["embed_tokens.weight", "lm_head.weight"]
    assert torch.equal(grown.read_other("embed_tokens.weight")[:64], plain.read_other("embed_tokens.weight"))


def test_a_model_without_a_head(zoo: Zoo, tmp_path: Path) -> None:
    """AutoModel saves the decoder alone, without prefix and without head: nothing is made up."""
    zoo("llama").model.model.save_pretrained(tmp_path)
    bare, whole = open_checkpoint(tmp_path), open_checkpoint(zoo("llama").path)
    assert set(whole.others()) - set(bare.others()) == {"lm_head.weight"}
    assert not bare.tied_embeddings
    assert bare.matrices() == whole.matrices()
    bare.verify_and_hash()


def test_opening_needs_no_torch_and_a_checkpoint_travels(zoo: Zoo) -> None:
    """Code locations import this package; workers are sent checkpoints."""
    code = """
import pickle, sys
from resources.checkpoints import open_checkpoint
checkpoint = open_checkpoint(sys.argv[1])
keys, shapes = checkpoint.matrices(), [checkpoint.shape(key) for key in checkpoint.matrices()]
checkpoint.coverage(), checkpoint.others(), checkpoint.n_parameters, checkpoint.dtype
assert "torch" not in sys.modules and "transformers" not in sys.modules
assert pickle.loads(pickle.dumps(checkpoint)).matrices() == keys
"""
    subprocess.run([sys.executable, "-c", code, zoo("mixtral").path], check=True, cwd=Path(__file__).parents[3])


def test_every_architecture_file_reads() -> None:
    known = layouts()
    assert {"llama", "phi3", "gpt2", "gpt_neox", "mixtral", "qwen3_moe", "llama4_text", "gpt_oss"} <= set(known)
    assert all(layout.blocks and layout.prefixes for layout in known.values())
