"""Audits of real checkpoints: adapters that PEFT made, merged rightly and wrongly on purpose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from resources import auditing
from resources.checkpoints import AdapterError, CheckpointError, open_checkpoint
from rotoscale.audit import Summary, summarize_copies, summarize_merge

torch.set_num_threads(1)

pytestmark = pytest.mark.filterwarnings("ignore")

Tensors = dict[str, torch.Tensor]
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Path:
    """base (bfloat16), adapter, merged by PEFT in float32 and stored as bfloat16, and their changes."""
    folder = tmp_path_factory.mktemp("audit")
    base = hf.AutoModelForCausalLM.from_pretrained(checkpoints / "base", dtype=torch.bfloat16)
    base.save_pretrained(folder / "base")
    torch.manual_seed(0)
    model = hf.AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    settings = peft.LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "o_proj", "down_proj"])
    model = peft.get_peft_model(model, settings)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape) * 0.05)
    model.save_pretrained(folder / "adapter")
    model.merge_and_unload().to(torch.bfloat16).save_pretrained(folder / "merged")
    return folder


def audited(folder: Path, merged: Path) -> Summary:
    base, adapter, whole = auditing.open_merge(folder / "base", folder / "adapter", merged)
    return summarize_merge(list(auditing.audit_merge(base, adapter, whole)), auditing.scale_hints(adapter))


def variant(folder: Path, target: Path, edit: Callable[[Tensors, Tensors, Tensors], None]) -> Path:
    """A copy of the merged checkpoint changed by `edit(merged, base, changes)`; changes are the adapter's."""
    shutil.copytree(folder / "merged", target)
    merged, base = load_file(folder / "merged" / WEIGHTS), load_file(folder / "base" / WEIGHTS)
    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    changes = {}
    for name, B in adapter.items():
        if "lora_B" in name:
            module = name.removeprefix("base_model.model.").removesuffix(".lora_B.weight")
            changes[f"{module}.weight"] = 4 * B @ adapter[name.replace("lora_B", "lora_A")]
    edit(merged, base, changes)
    save_file({name: tensor.contiguous() for name, tensor in merged.items()}, target / WEIGHTS, {"format": "pt"})
    return target


def scaled(c: float) -> Callable[[Tensors, Tensors, Tensors], None]:
    def edit(merged: Tensors, base: Tensors, changes: Tensors) -> None:
        for name, change in changes.items():
            merged[name] = (base[name].float() + c * change).bfloat16()

    return edit


def without_layer(merged: Tensors, base: Tensors, changes: Tensors) -> None:
    for name in changes:
        if ".layers.1." in name:
            merged[name] = base[name]


def unmerged(merged: Tensors, base: Tensors, changes: Tensors) -> None:
    merged.update(base)


def norm_changed(merged: Tensors, base: Tensors, changes: Tensors) -> None:
    merged["model.norm.weight"] = merged["model.norm.weight"] * 1.5


def one_weight_changed(merged: Tensors, base: Tensors, changes: Tensors) -> None:
    merged["model.layers.2.self_attn.q_proj.weight"][3, 4] += 1


def heads_reordered(merged: Tensors, base: Tensors, changes: Tensors) -> None:
    """The order of rotary halves, as a conversion between formats leaves it when it is done once too often."""
    for name in changes:
        if "q_proj" in name:
            m, n = merged[name].shape
            merged[name] = merged[name].view(4, 2, m // 8, n).transpose(1, 2).reshape(m, n)


def layers_exchanged(merged: Tensors, base: Tensors, changes: Tensors) -> None:
    for name, change in changes.items():
        if ".layers.0." in name:
            other = name.replace("layers.0", "layers.1")
            merged[name] = (base[name].float() + changes[other]).bfloat16()
            merged[other] = (base[other].float() + change).bfloat16()


def rounded_to_fp8(merged: Tensors, base: Tensors, changes: Tensors) -> None:
    for name in changes:
        merged[name] = merged[name].to(torch.float8_e4m3fn).bfloat16()


def half_a_shard(merged: Tensors, base: Tensors, changes: Tensors) -> None:
    for name in changes:
        if "o_proj" in name:
            merged[name][:, 16:] = base[name][:, 16:]


def vocabulary_lost(merged: Tensors, base: Tensors, changes: Tensors) -> None:
    merged["lm_head.weight"] = torch.randn(96, 32, generator=torch.Generator().manual_seed(0)).bfloat16()


WRONG = {
    "as if merged twice": (scaled(2), ["merged with another scale"]),
    "lora_alpha / r were left out": (scaled(0.25), ["merged with another scale"]),
    "lora_alpha were not divided": (scaled(4), ["merged with another scale"]),
    "as if subtracted": (scaled(-1), ["merged with another scale"]),
    "change times 0.7": (scaled(0.7), ["merged with another scale"]),
    "3 of 9 tensors: model.layers.1.self_attn.q_proj.weight": (without_layer, ["layers or parts missing"]),
    "columns 16 to 31 (16 of 32)": (half_a_shard, ["layers or parts missing"]),
    "Not merged: all 9 tensors that the adapter changes hold the base's values": (unmerged, ["not merged at all"]),
    "model.norm.weight (times 1.5)": (norm_changed, ["something else changed besides"]),
    "q_proj.weight (1 of 1024 elements in 1 rows, largest 0.996 at [3, 4])": (
        one_weight_changed,
        ["something else changed besides"],
    ),
    "the whole tensor: rows in another order": (heads_reordered, ["norm right but values scrambled"]),
    "the change of layers.1.q": (layers_exchanged, ["norm right but values scrambled"]),
    "rounded more than once to, float8_e4m3fn": (rounded_to_fp8, ["merged and rounded"]),
    "lm_head.weight": (vocabulary_lost, ["something else changed besides"]),
}


@pytest.mark.parametrize("words", WRONG)
def test_every_wrong_merge_is_called_by_its_name(adapted: Path, tmp_path: Path, words: str) -> None:
    edit, verdicts = WRONG[words]
    found = audited(adapted, variant(adapted, tmp_path / "wrong", edit))
    assert found.verdicts == verdicts, found.sentences
    assert any(words in sentence for sentence in found.sentences), found.sentences


def test_several_mistakes_are_all_named(adapted: Path, tmp_path: Path) -> None:
    def edit(merged: Tensors, base: Tensors, changes: Tensors) -> None:
        scaled(2)(merged, base, changes)
        without_layer(merged, base, changes)
        norm_changed(merged, base, changes)

    found = audited(adapted, variant(adapted, tmp_path / "wrong", edit))
    assert found.verdicts == [
        "layers or parts missing",
        "merged with another scale",
        "something else changed besides",
    ]
    assert not found.is_right


def test_the_right_merge_of_peft(adapted: Path, tmp_path: Path) -> None:
    found = audited(adapted, adapted / "merged")
    assert found.verdicts == ["merged exactly"], found.sentences
    assert found.is_right
    assert found.scale_low < 1 < found.scale_high
    for dtype, verdict in ((torch.float32, "merged exactly"), (torch.float16, "merged and rounded")):
        model = hf.AutoModelForCausalLM.from_pretrained(adapted / "base", dtype=torch.float32)
        merged = peft.PeftModel.from_pretrained(model, adapted / "adapter").merge_and_unload()
        merged.to(dtype).save_pretrained(tmp_path / str(dtype))
        found = audited(adapted, tmp_path / str(dtype))
        assert found.verdicts == [verdict]  # float16 has no room for the smallest numbers of bfloat16


def test_the_merge_that_peft_makes_in_bfloat16_is_rounded_more_than_once(adapted: Path, tmp_path: Path) -> None:
    model = hf.AutoModelForCausalLM.from_pretrained(adapted / "base", dtype=torch.bfloat16)
    model = peft.PeftModel.from_pretrained(model, adapted / "adapter", autocast_adapter_dtype=False)
    model.to(torch.bfloat16).merge_and_unload().save_pretrained(tmp_path / "merged")
    found = audited(adapted, tmp_path / "merged")
    assert found.verdicts == ["merged and rounded"]
    assert "bfloat16" in found.sentences[0]
    assert "rounded more than once" in found.sentences[0]


def test_a_model_trained_alike_is_no_merge(adapted: Path, tmp_path: Path) -> None:
    """Every tensor changed, partly along the adapter, to another extent in each."""

    def edit(merged: Tensors, base: Tensors, changes: Tensors) -> None:
        generator = torch.Generator().manual_seed(1)
        for number, (name, change) in enumerate(changes.items()):
            noise = torch.randn(change.shape, generator=generator)
            noise *= 2 * change.norm() / noise.norm()
            merged[name] = (base[name].float() + (0.3 + 0.1 * number) * change + noise).bfloat16()

    found = audited(adapted, variant(adapted, tmp_path / "alike", edit))
    assert found.verdicts == ["not merged at all", "something else changed besides"]
    assert "times 0.2" in found.sentences[0]
    assert "trained alike" in found.sentences[0]


def test_a_merge_into_another_base_says_so(adapted: Path, tmp_path: Path, checkpoints: Path) -> None:
    model = hf.AutoModelForCausalLM.from_pretrained(checkpoints / "unrelated", dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(model, adapted / "adapter").merge_and_unload()
    merged.to(torch.bfloat16).save_pretrained(tmp_path / "merged")
    found = audited(adapted, tmp_path / "merged")
    assert found.verdicts[0] == "made from another base, or trained further", found.sentences


def test_wrong_input_is_one_sentence(adapted: Path, checkpoints: Path) -> None:
    base, adapter, merged = (adapted / name for name in ("base", "adapter", "merged"))
    with pytest.raises(AdapterError, match=r"no LoRA adapter.*rotoscale audit A B"):
        auditing.open_merge(base, merged, merged)
    with pytest.raises(AdapterError, match="expected the merged checkpoint"):
        auditing.open_merge(base, adapter, adapter)
    with pytest.raises(AdapterError, match="expected its base model"):
        auditing.open_merge(adapter, adapter, merged)
    with pytest.raises(AdapterError, match="rotoscale audit BASE ADAPTER MERGED"):
        auditing.open_copies(base, adapter)


def test_an_adapter_of_another_shape_of_base_names_the_tensor(adapted: Path, tmp_path: Path) -> None:
    config = hf.LlamaConfig(
        vocab_size=96, hidden_size=64, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    hf.LlamaForCausalLM(config).save_pretrained(tmp_path / "wide")
    with pytest.raises(AdapterError, match="Give the base that the adapter was trained on"):
        auditing.open_merge(tmp_path / "wide", adapted / "adapter", tmp_path / "wide")
    with pytest.raises(CheckpointError, match="no other matrix fits"):
        auditing.open_merge(adapted / "base", adapted / "adapter", tmp_path / "wide")


# Two copies.


def copies(first: Path, second: Path) -> Summary:
    return summarize_copies(list(auditing.audit_copies(*auditing.open_copies(first, second))))


def test_resharding_and_renaming_change_nothing_and_dtype_is_named(adapted: Path, tmp_path: Path) -> None:
    model = hf.AutoModelForCausalLM.from_pretrained(adapted / "base", dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert copies(adapted / "base", tmp_path / "shards").verdicts == ["equal"]
    model.float().save_pretrained(tmp_path / "wide")
    assert copies(adapted / "base", tmp_path / "wide").verdicts == ["equal"]
    fine = hf.AutoModelForCausalLM.from_config(model.config).float()
    fine.save_pretrained(tmp_path / "fine")
    fine.to(torch.float16).save_pretrained(tmp_path / "half")
    found = copies(tmp_path / "fine", tmp_path / "half")
    assert found.verdicts == ["equal up to rounding"]
    assert "float16" in found.sentences[0]


def test_what_is_missing_added_or_changed_in_a_copy_is_named(adapted: Path, tmp_path: Path) -> None:
    def edit(merged: Tensors, base: Tensors, changes: Tensors) -> None:
        unmerged(merged, base, changes)
        merged["model.layers.0.mlp.up_proj.weight"][2, 2] += 1
        merged["model.layers.1.mlp.up_proj.weight"] *= 2
        merged["model.layers.2.mlp.up_proj.weight"] = merged["model.layers.2.mlp.up_proj.weight"].roll(1, 0)
        merged["model.layers.2.self_attn.q_proj.bias"] = torch.ones(32)

    found = copies(adapted / "base", variant(adapted, tmp_path / "copy", edit))
    assert found.verdicts == ["norm right but values scrambled", "different"]
    text = " ".join(found.sentences)
    for words in (
        "layers.0.mlp.up_proj.weight (1 of 2560",
        "layers.1.mlp.up_proj.weight (times 2)",
        "layers.2.mlp.up_proj.weight (rows in another order)",
        "only in the second checkpoint: model.layers.2.self_attn.q_proj.bias",
    ):
        assert words in text


def test_a_model_of_another_architecture_is_different_and_says_what_it_lacks(adapted: Path, tmp_path: Path) -> None:
    config = hf.GPT2Config(vocab_size=96, n_embd=32, n_layer=3, n_head=4)
    hf.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    found = copies(adapted / "base", tmp_path / "gpt2")
    assert found.verdicts == ["different"]
    assert any("not in the second checkpoint: model.layers.0.mlp.gate_proj.weight" in text for text in found.sentences)


def test_rows_count_every_tensor_once(adapted: Path) -> None:
    base, adapter, merged = auditing.open_merge(*(adapted / name for name in ("base", "adapter", "merged")))
    rows = list(auditing.audit_merge(base, adapter, merged))
    assert sorted(row.tensor for row in rows) == sorted(load_file(adapted / "merged" / WEIGHTS))
    assert sum(row.targeted for row in rows) == 9
    assert json.loads((adapted / "adapter" / "adapter_config.json").read_text())["r"] == 4
    assert open_checkpoint(adapted / "merged").dtype == "bfloat16"
