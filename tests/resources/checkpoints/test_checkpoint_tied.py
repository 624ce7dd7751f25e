"""Embedding and output head tied together and stored once, under the name of either."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers as hf
from checkpoint_zoo import Example, H
from safetensors.torch import load_file, save_file

from resources.checkpoints import MissingTensor, open_checkpoint
from resources.checkpoints.writer import write_edited
from resources.comparison import other_changes

Zoo = Callable[[str], Example]
EMBEDDING, HEAD = "embed_tokens.weight", "lm_head.weight"


@pytest.fixture
def by_head(zoo: Zoo, tmp_path: Path) -> Path:
    """llama_tied with its one matrix stored as the head's, as transformers 4.41 saved some models."""
    folder = tmp_path / "by_head"
    folder.mkdir()
    tensors = load_file(zoo("llama_tied").path / "model.safetensors")
    tensors[HEAD] = tensors.pop("model." + EMBEDDING)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_bytes((zoo("llama_tied").path / "config.json").read_bytes())
    return folder


def _configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_transformers_loads_such_a_file(zoo: Zoo, by_head: Path) -> None:
    """What this rests on: the file is valid, and both ends are the one matrix that is stored."""
    model, info = hf.AutoModelForCausalLM.from_pretrained(by_head, dtype="auto", output_loading_info=True)
    assert not info["missing_keys"]
    wanted = zoo("llama_tied").model.lm_head.weight
    assert torch.equal(model.get_input_embeddings().weight, wanted)
    assert torch.equal(model.get_output_embeddings().weight, wanted)


def test_either_name_gives_the_same_checkpoint(zoo: Zoo, by_head: Path) -> None:
    ours, usual = open_checkpoint(by_head), open_checkpoint(zoo("llama_tied").path)
    assert ours.tied_embeddings
    assert ours.others() == usual.others()
    assert ours.n_parameters == usual.n_parameters
    assert ours.vocab_size == usual.vocab_size == 64
    for name in usual.others():
        assert torch.equal(ours.read_other(name), usual.read_other(name)), name
    assert ours.verify_and_hash().matrix_hashes == usual.verify_and_hash().matrix_hashes
    changes = list(other_changes(usual, ours))
    assert {"lm_head.weight", "embed_tokens.weight"} & {row["tensor"] for row in changes}
    assert all(row["relative_change"] == 0 for row in changes)


def test_a_head_that_nothing_ties_is_no_embedding(by_head: Path) -> None:
    """LlamaConfig does not tie by itself: with the setting gone or false, the embedding is missing."""
    for value in (False, None):
        _configure(by_head, tie_word_embeddings=value)
        with pytest.raises(MissingTensor, match=r"embed_tokens.*does not tie it to 'lm_head.weight'"):
            open_checkpoint(by_head).matrices()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("module", "untied"), [("embed_tokens", True), ("lm_head", True), ("q_proj", False)])
def test_adapters_on_it(zoo: Zoo, by_head: Path, tmp_path: Path, module: str, untied: bool) -> None:
    """Merged as on a base stored the usual way, and counted so: an adapter on one end alone gives a second matrix."""
    saved = {"target_modules": ["o_proj"], "modules_to_save": [module]} if untied else {"target_modules": [module]}
    settings = peft.LoraConfig(r=2, init_lora_weights=False, **saved)
    adapted = peft.get_peft_model(copy.deepcopy(zoo("llama_tied").model), settings)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "modules_to_save" in name:
                parameter.add_(1)
    adapted.save_pretrained(tmp_path / "adapter")
    ours = open_checkpoint(tmp_path / "adapter", base=by_head)
    usual = open_checkpoint(tmp_path / "adapter", base=zoo("llama_tied").path)
    assert ours.tied_embeddings is usual.tied_embeddings is not untied
    assert ours.n_parameters == usual.n_parameters == open_checkpoint(by_head).n_parameters + 64 * H * untied
    for name in usual.others():
        assert torch.equal(ours.read_other(name), usual.read_other(name)), name


def test_an_edited_copy_keeps_the_stored_name_and_loads(by_head: Path, tmp_path: Path) -> None:
    source = open_checkpoint(by_head)
    keys = [key for key in source.matrices() if key.matrix == "q"]
    out = write_edited(source, tmp_path / "out", lambda key, matrix: -matrix, keys=keys, manifest={})
    assert set(load_file(out / "model.safetensors")) == set(load_file(by_head / "model.safetensors"))
    _, info = hf.AutoModelForCausalLM.from_pretrained(out, dtype="auto", output_loading_info=True)
    assert not info["missing_keys"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("usual", [True, False])
@pytest.mark.parametrize(
    "saved",
    [
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
    ],
)
def test_an_adapter_that_changes_both_ends_is_merged_into_the_one_matrix(
    zoo: Zoo, by_head: Path, tmp_path: Path, usual: bool, saved: dict[str, Any]
) -> None:
    """``ensure_weight_tying``: what is done to the embedding is done to the head, whichever of them the base stores."""
    base = zoo("llama_tied").path if usual else by_head
    settings = peft.LoraConfig(r=2, ensure_weight_tying=True, init_lora_weights=False, **saved)
    adapted = peft.get_peft_model(copy.deepcopy(zoo("llama_tied").model), settings)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "modules_to_save" in name:
                parameter.add_(1)
    embedding = adapted.get_input_embeddings()
    if "modules_to_save" in saved:
        wanted = embedding.modules_to_save["default"].weight
    else:  # not merge_and_unload, which adds the change to the one shared matrix twice, once for each end
        wanted = embedding.weight + embedding.get_delta_weight("default")
    adapted.save_pretrained(tmp_path / "adapter")
    source = open_checkpoint(tmp_path / "adapter", base=base)
    assert source.tied_embeddings
    assert source.n_parameters == open_checkpoint(base).n_parameters
    out = open_checkpoint(write_edited(source, tmp_path / "out", lambda *_: None, keys=[], manifest={}))
    assert not torch.equal(wanted, zoo("llama_tied").model.lm_head.weight)
    for name in (EMBEDDING, HEAD):
        torch.testing.assert_close(out.read_other(name), wanted.detach().bfloat16(), rtol=1e-2, atol=1e-2)
