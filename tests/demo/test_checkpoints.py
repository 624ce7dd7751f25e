"""The shipped checkpoints: they load as any user would load them, are what their records say, and can do the task."""

import json
import math
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from demo import entity_tracking, tokenizer
from demo.evaluation import accuracy
from demo.shipped import CHECKPOINTS, load, relative_change
from demo.stages import PROJECTIONS, STAGES

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PROMPT = "The apple is in Box F, the bell is in Box Q. 12 + 7 = 19"

FULL = [stage.id for stage in STAGES.values() if stage.method != "adapter"]
ADAPTERS = [stage.id for stage in STAGES.values() if stage.method == "adapter"]


@pytest.mark.parametrize("name", sorted(STAGES))
def test_the_weights_are_the_ones_the_record_was_written_for(name: str) -> None:
    folder = CHECKPOINTS / name
    record = json.loads((folder / "training.json").read_text())
    assert record["id"] == name
    assert sha256((folder / record["weights_file"]).read_bytes()).hexdigest() == record["sha256"]
    assert record["sha256"] in (folder / "README.md").read_text()
    assert len(record["loss_curve"]) <= 200


@pytest.mark.parametrize("name", FULL)
def test_a_full_checkpoint_loads_by_its_folder_in_bf16_with_its_tokenizer(name: str) -> None:
    folder = str(CHECKPOINTS / name)
    model, family = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert model.config.vocab_size == len(family)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    prompt = family("12 + 7 =", return_tensors="pt")
    written = model.generate(**prompt, max_new_tokens=3, do_sample=False)
    assert written.shape[1] > prompt.input_ids.shape[1]


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_adapter_finds_its_base_beside_it_and_changes_all_seven_projections(name: str) -> None:
    from peft import PeftConfig

    settings = PeftConfig.from_pretrained(str(CHECKPOINTS / name))
    base = Path(str(settings.base_model_name_or_path))
    assert not base.is_absolute()
    assert (CHECKPOINTS / name / base / "config.json").exists()
    assert set(settings.target_modules) == set(PROJECTIONS)
    merged = load(CHECKPOINTS / name).merge_and_unload().state_dict()
    for key, weight in load(CHECKPOINTS / "demo-base").state_dict().items():
        changed = not torch.equal(weight, merged[key])
        assert changed == any(p in key for p in PROJECTIONS), key


@pytest.mark.parametrize("name", [n for n, r in STAGES.items() if r.base])
def test_fine_tuning_changed_the_base_as_much_as_fine_tuning_does(name: str) -> None:
    """More than rounding to bf16 (0.2 %), less than a model that forgot where it came from."""
    assert 0.005 < relative_change(CHECKPOINTS / name, CHECKPOINTS / "demo-base") < 0.25


def test_the_unrelated_model_shares_only_its_shape_with_the_base() -> None:
    assert relative_change(CHECKPOINTS / "demo-scratch", CHECKPOINTS / "demo-base") > 1.0


def test_the_base_does_the_task_above_chance_and_below_perfection() -> None:
    """Five standard errors above guessing one of the seven objects: room for descendants on both sides."""
    family = AutoTokenizer.from_pretrained(CHECKPOINTS / "demo-base")
    seen = accuracy(load(CHECKPOINTS / "demo-base"), family, entity_tracking.held_out_examples(200, seed=77))
    chance = entity_tracking.CHANCE
    assert seen.value > chance + 5 * math.sqrt(chance * (1 - chance) / seen.n)
    assert seen.value < 0.97


@pytest.mark.parametrize("name", sorted(STAGES))
def test_every_checkpoint_carries_the_tokenizer_that_the_corpus_needs(name: str) -> None:
    """A word added to the corpus later would shift all token ids under weights already trained."""
    shipped = AutoTokenizer.from_pretrained(CHECKPOINTS / name)
    assert shipped.get_vocab() == tokenizer.build().get_vocab()
    assert shipped(PROMPT).input_ids == tokenizer.build()(PROMPT).input_ids


def test_the_folder_stays_small_and_holds_no_optimizer_state() -> None:
    files = [path for path in CHECKPOINTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 30 * 2**20
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md"}
