"""LoRA adapters: merged on the fly they are what PEFT's own merge gives; the rest is refused by name."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from checkpoint_zoo import Example, H
from safetensors.torch import load_file, save_file

from resources.checkpoints import AdapterError, Checkpoint, CheckpointError, MatrixKey, open_checkpoint

Zoo = Callable[[str], Example]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "all_linear": ("llama", {"target_modules": ALL}),
    "rslora": ("llama", {"target_modules": ALL, "use_rslora": True}),
    "patterns": (
        "llama",
        {
            "target_modules": ALL,
            "rank_pattern": {"q_proj": 2, r".*layers\.\d+\.mlp\.down_proj.*": 3},
            "alpha_pattern": {"layers.0.self_attn.q_proj": 64, r"^model\.layers\.1\.mlp\.(up|gate)_proj": 5},
        },
    ),
    "biases": ("qwen2", {"target_modules": ["q_proj", "o_proj"], "bias": "all"}),
    "lora_bias": ("qwen2", {"target_modules": ["q_proj", "v_proj"], "lora_bias": True}),
    "embedding": ("llama", {"target_modules": ["embed_tokens", "q_proj"]}),
    "head": ("llama", {"target_modules": ["lm_head", "q_proj"]}),
    "saved_modules": ("llama", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens", "norm"]}),
    "conv1d": ("gpt2", {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
    "fused": ("phi3", {"target_modules": ["qkv_proj", "gate_up_proj", "down_proj"]}),
    "interleaved": ("gpt_neox", {"target_modules": ["query_key_value", "dense"]}),
    "nested": ("llava", {"target_modules": r".*language_model.*\.(q_proj|up_proj)"}),
    "router": ("qwen3_moe", {"target_modules": ["q_proj", "v_proj"]}),
}


def _adapt(made: Example, folder: Path, **settings: Any) -> Any:
    """Save a trained-looking adapter; gives the PEFT model in float32."""
    model = copy.deepcopy(made.model).float()
    torch.manual_seed(0)
    adapted = peft.get_peft_model(model, peft.LoraConfig(**{"r": 4, "lora_alpha": 12} | settings))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad or "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.1)
    adapted.save_pretrained(folder)
    return adapted


def _merged(made: Example, adapted: Any, folder: Path) -> Checkpoint:
    """PEFT's merge, saved as a float32 checkpoint."""
    adapted.merge_and_unload().save_pretrained(folder)
    return open_checkpoint(folder)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", sorted(CASES))
def test_merged_on_the_fly_is_what_peft_merges(zoo: Zoo, tmp_path: Path, case: str) -> None:
    name, settings = CASES[case]
    made = zoo(name)
    adapted = _adapt(made, tmp_path / "adapter", **settings)
    ours = open_checkpoint(tmp_path / "adapter", base=made.path)
    theirs = _merged(made, adapted, tmp_path / "merged")
    base = open_checkpoint(made.path)
    assert ours.matrices() == theirs.matrices()
    assert ours.others() == theirs.others()
    changed = 0
    for key in ours.matrices():
        torch.testing.assert_close(ours.read(key), theirs.read(key), rtol=1e-6, atol=1e-6)
        changed += not torch.equal(ours.read(key), base.read(key))
    assert changed
    for other in ours.others():
        torch.testing.assert_close(
            ours.read_other(other).float(), theirs.read_other(other).float(), rtol=1e-6, atol=1e-6
        )
    assert ours.n_parameters == theirs.n_parameters
    assert len(ours.files()) == 2
    ours.verify_and_hash()
    lines = [line for line in ours.coverage() if line.name.startswith("base_model.")]
    assert {line.name for line in lines} == set(load_file(tmp_path / "adapter" / "adapter_model.safetensors"))


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_on_one_end_of_a_tied_model_unties_it(zoo: Zoo, tmp_path: Path) -> None:
    """As in the running model: the embedding is changed, the head is still the base's."""
    made = zoo("llama_tied")
    _adapt(made, tmp_path / "adapter", target_modules=["q_proj", "embed_tokens"])
    ours, base = open_checkpoint(tmp_path / "adapter", base=made.path), open_checkpoint(made.path)
    assert base.tied_embeddings
    assert not ours.tied_embeddings
    assert ours.n_parameters == base.n_parameters + 64 * H
    assert torch.equal(ours.read_other("lm_head.weight"), base.read_other("lm_head.weight"))
    assert not torch.equal(ours.read_other("embed_tokens.weight"), base.read_other("embed_tokens.weight").float())


@pytest.fixture
def adapter(zoo: Zoo, tmp_path: Path) -> Path:
    _adapt(zoo("llama"), tmp_path / "adapter", target_modules=["q_proj", "down_proj"])
    return tmp_path / "adapter"


def _configure(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


REFUSED = {
    "DoRA": {"use_dora": True},
    "LOHA": {"peft_type": "LOHA"},
    "QALoRA": {"use_qalora": True},
    "trainable tokens": {"trainable_token_indices": [1, 2]},
    "stacked experts": {"target_parameters": ["mlp.experts.gate_up_proj"]},
    "layer replication": {"layer_replication": [[0, 2]]},
    "pissa": {"init_lora_weights": "pissa_niter_4"},
    "expected rank 5": {"r": 5},
    "expected a positive whole number": {"r": "four"},
    "lora_alpha": {"lora_alpha": None},
    "expected tables": {"rank_pattern": [1]},
    "repeated group": {"alpha_pattern": {"(a+)+$": 3}},
    "counted": {"rank_pattern": {"q_proj{1,40}": 3}},
    "expected at most 1024": {"alpha_pattern": {f"q_proj{number}": 3 for number in range(1025)}},
    "characters in all": {"alpha_pattern": {"q" * 500 + str(number): 3 for number in range(200)}},
    "longer than 512": {"alpha_pattern": {"q" * 513: 3}},
    "cannot be used": {"rank_pattern": {"q_proj(": 3}},
}


@pytest.mark.parametrize("word", sorted(REFUSED))
def test_what_cannot_be_merged_is_refused_by_name(zoo: Zoo, adapter: Path, word: str) -> None:
    _configure(adapter, **REFUSED[word])
    with pytest.raises(AdapterError, match=word):
        open_checkpoint(adapter, base=zoo("llama").path).matrices()


def test_the_base_is_found_beside_the_adapter_or_asked_for(zoo: Zoo, adapter: Path, tmp_path: Path) -> None:
    _configure(adapter, base_model_name_or_path="owner/llama")
    with pytest.raises(AdapterError, match=r"owner/llama.*Give the base"):
        open_checkpoint(adapter)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "llama").symlink_to(zoo("llama").path)
    assert open_checkpoint(adapter).content_hash() == open_checkpoint(adapter, base=zoo("llama").path).content_hash()
    _configure(adapter, base_model_name_or_path="../" * 3 + "etc")
    with pytest.raises(AdapterError, match="Give the base"):
        open_checkpoint(adapter)


def test_an_adapter_of_another_model_names_the_tensor(zoo: Zoo, adapter: Path) -> None:
    with pytest.raises(AdapterError, match=r"q_proj.*changes a tensor of shape \[32, 32\].*has \[64, 32\]"):
        open_checkpoint(adapter, base=zoo("qwen3").path)
    with pytest.raises(AdapterError, match=r"lora_A.*matches no tensor of the base"):
        open_checkpoint(adapter, base=zoo("gpt2").path)


def test_a_tensor_without_a_place_or_a_partner_is_an_error(zoo: Zoo, adapter: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    stray = tensors | {"base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight": torch.ones(4, H)}
    save_file(stray, path)
    with pytest.raises(AdapterError, match=r"expected lora_A and lora_B, found lora_A"):
        open_checkpoint(adapter, base=zoo("llama").path)
    stray |= {"base_model.model.model.layers.9.self_attn.q_proj.lora_B.weight": torch.ones(H, 4)}
    save_file(stray, path)
    with pytest.raises(AdapterError, match=r"layers\.9\.self_attn\.q_proj"):
        open_checkpoint(adapter, base=zoo("llama").path)
    save_file(tensors | {"base_model.model.mystery": torch.ones(3)}, path)
    with pytest.raises(AdapterError, match="mystery"):
        open_checkpoint(adapter, base=zoo("llama").path)
    vector = "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"
    save_file(tensors | {vector: torch.ones(H)}, path)
    with pytest.raises(AdapterError, match="DoRA"):
        open_checkpoint(adapter, base=zoo("llama").path)


def test_nan_in_an_adapter_names_the_matrix(zoo: Zoo, adapter: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if "layers.1.self_attn.q_proj.lora_B" in name)
    tensors[name][0, 0] = float("nan")
    save_file(tensors, path)
    checkpoint = open_checkpoint(adapter, base=zoo("llama").path)
    with pytest.raises(CheckpointError, match=r"adapter_model.*layers\.1\.q.*holds 1 NaN"):
        checkpoint.read(MatrixKey(1, "q"))
    with pytest.raises(CheckpointError, match="holds 1 NaN"):
        checkpoint.verify_and_hash()


def test_the_hash_of_an_adapter_covers_base_tensors_and_settings(zoo: Zoo, adapter: Path) -> None:
    first = open_checkpoint(adapter, base=zoo("llama").path).content_hash()
    assert first == open_checkpoint(adapter, base=zoo("llama").path).content_hash()
    _configure(adapter, lora_alpha=99)
    assert open_checkpoint(adapter, base=zoo("llama").path).content_hash() != first
