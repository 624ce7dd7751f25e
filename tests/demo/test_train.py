"""Training is real: a few steps lower the loss and write a checkpoint that loads again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from demo import stories, tokenizer
from demo.evaluation import accuracy, perplexity
from demo.shipped import load
from demo.stages import STAGES, Shape
from demo.train import fit, main, new_model, rate_at, save, start_of, thinned, train

TINY = Shape(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
BRIEF = replace(STAGES["demo-base"], steps=40, stop=35, settle=5, warmup=3, rows=16, learning_rate=1e-2, shape=TINY)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("checkpoints")
    train(BRIEF, folder / "demo-base", folder)
    return folder


def test_a_few_steps_lower_the_loss_and_the_checkpoint_loads(checkpoints: Path) -> None:
    record = json.loads((checkpoints / "demo-base" / "training.json").read_text())
    curve = [loss for _, loss in record["loss_curve"]]
    assert sum(curve[-5:]) / 5 < 0.8 * sum(curve[:3]) / 3
    family = AutoTokenizer.from_pretrained(checkpoints / "demo-base")
    trained = AutoModelForCausalLM.from_pretrained(checkpoints / "demo-base")
    texts = stories.held_out_stories(20)
    assert perplexity(trained, family, texts).value < 0.5 * perplexity(new_model(BRIEF), family, texts).value
    assert perplexity(trained, family, stories.held_out_stories(500)).value == pytest.approx(
        record["held_out"]["story_perplexity"]["value"], rel=0.02
    )


def test_the_same_seed_gives_the_same_losses() -> None:
    brief = replace(BRIEF, stop=2, settle=1, rows=8)
    assert fit(brief, new_model(brief))["losses"] == fit(brief, new_model(brief))["losses"]


@pytest.mark.parametrize("name", ["demo-math", "demo-math-lora"])
def test_a_descendant_starts_from_the_written_base_and_moves_away(checkpoints: Path, name: str) -> None:
    stage = replace(STAGES[name], steps=4, warmup=1, rows=4)
    base = load(checkpoints / "demo-base").state_dict()
    model = start_of(stage, checkpoints)
    fit(stage, model)
    weights = save(stage, model, checkpoints / name)
    again = load(checkpoints / name)
    post = (again.merge_and_unload() if stage.method == "adapter" else again).state_dict()
    assert weights.exists()
    assert (checkpoints / name / "tokenizer.json").exists()
    moved = [key for key in base if not torch.equal(base[key], post[key])]
    assert any("q_proj" in key for key in moved)
    assert any("down_proj" in key for key in moved)


def test_the_learning_rate_warms_up_and_comes_down() -> None:
    rates = [rate_at(BRIEF, step) for step in range(40)]
    assert rates[0] < rates[2]
    assert max(rates) <= BRIEF.learning_rate
    assert rates[-1] < 0.2 * BRIEF.learning_rate


def test_a_loss_curve_is_thinned_to_its_limit_and_ends_at_the_last_step() -> None:
    curve = thinned([1.0] * 1001)
    assert len(curve) <= 200
    assert curve[-1] == (1001, 1.0)


def test_an_untrained_model_is_at_chance() -> None:
    """The yardstick itself does not give answers away."""
    from demo import entity_tracking

    seen = accuracy(new_model(BRIEF), tokenizer.build(), entity_tracking.held_out_examples(100))
    assert seen.value < 0.1


def test_an_unknown_member_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo-poet"])
    assert "demo-poet" in capsys.readouterr().err
