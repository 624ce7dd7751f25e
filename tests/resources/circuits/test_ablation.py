"""Circuit runs and patched heads against whole forward passes of the untouched model."""

from __future__ import annotations

import pytest
import torch

from resources.circuits.ablation import CircuitRuns
from resources.circuits.batches import Batches, mean_heads
from resources.circuits.model import HeadModel
from resources.circuits.patching import heads_at, patch_heads
from resources.circuits.prompts import PromptMaker
from resources.circuits.recording import record, record_heads
from rotoscale.circuits.heads import Component, Head
from rotoscale.circuits.scores import measure
from tests.resources.circuits import zoo
from tests.resources.circuits.brute import Slow, replaced_heads

CIRCUITS = [
    frozenset({Component("last", Head(2, 0)), Component("last", Head(1, 3)), Component("query_label", Head(1, 1))}),
    frozenset({Component("previous_query_label", Head(0, 2)), Component("query_label", Head(1, 0))}),
    frozenset(),
]


@pytest.fixture(params=["mean", "counterfactual"])
def runs(request: pytest.FixtureRequest) -> CircuitRuns:
    words = zoo.tokenizer()
    maker = PromptMaker(words, n_boxes=3)
    prompts = maker.draw(5, seed=3)
    model = HeadModel(zoo.model("qwen2"), words)
    means = mean_heads(model, maker.draw(30, seed=4)) if request.param == "mean" else None
    return CircuitRuns(model, Batches(model, prompts, maker.counterfactuals(prompts, seed=3)), means)


def expected(runs: CircuitRuns, row: int, keep) -> torch.Tensor:  # type: ignore[no-untyped-def]
    slow = Slow(zoo.model("qwen2"))
    batches = runs.batches
    values = runs.means or slow.heads(batches.counterfactual.tokens[row])
    return replaced_heads(slow, batches.prompts.tokens[row], values, keep)


def check(runs: CircuitRuns, found, row: int, circuit: int, keep) -> None:  # type: ignore[no-untyped-def]
    prompts = runs.batches.prompts.take([row])
    right = measure(expected(runs, row, keep)[None], prompts.answers, prompts.objects)
    torch.testing.assert_close(found.log_probability[circuit, row], right.log_probability[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.logit_difference[circuit, row], right.logit_difference[0], atol=1e-5, rtol=1e-4)
    assert found.predicted[circuit, row] == right.predicted[0]


def positions(runs: CircuitRuns, row: int) -> dict[int, str]:
    prompts = runs.batches.prompts
    return {int(prompts.position(name)[row]): name for name in ("last", "query_label", "previous_query_label")}


def test_circuits(runs: CircuitRuns) -> None:
    found = runs.circuits(CIRCUITS)
    for row in range(5):
        names = positions(runs, row)
        for index, circuit in enumerate(CIRCUITS):
            check(runs, found, row, index, lambda la, p, h, c=circuit, n=names: Component(n.get(p), Head(la, h)) in c)


def test_the_model_without_components(runs: CircuitRuns) -> None:
    found = runs.without(CIRCUITS)
    for row in range(5):
        names = positions(runs, row)
        for index, out in enumerate(CIRCUITS):
            check(runs, found, row, index, lambda la, p, h, c=out, n=names: Component(n.get(p), Head(la, h)) not in c)


def test_whole_heads(runs: CircuitRuns) -> None:
    kept = [frozenset({Head(0, 1), Head(2, 2)}), frozenset(runs.model.heads), frozenset()]
    found = runs.whole_heads(kept)
    check(runs, found, 0, 0, lambda layer, _, head: Head(layer, head) in kept[0])
    torch.testing.assert_close(found.log_probability[1], runs.full().log_probability[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.log_probability[2], runs.empty().log_probability[0], atol=1e-5, rtol=1e-4)


def test_patched_heads_of_another_prompt() -> None:
    words = zoo.tokenizer()
    maker = PromptMaker(words, n_boxes=3)
    model, slow = HeadModel(zoo.model("gemma2"), words), Slow(zoo.model("gemma2"))
    prompts = maker.draw(3, seed=5)
    other = maker.counterfactuals(prompts, seed=5)
    source = heads_at(record_heads(model, other.tokens), other, "query_label")
    at = int(prompts.position("query_label")[0])
    sets = [[Head(0, 1), Head(1, 2)], []]
    found = patch_heads(model, record(model, prompts.tokens), prompts, at, source, sets)
    for row in range(3):
        values = slow.heads(other.tokens[row])
        for index, heads in enumerate(sets):
            logits = replaced_heads(
                slow, prompts.tokens[row], values, lambda la, p, h, s=heads: p != at or Head(la, h) not in s
            )
            right = measure(logits[None], prompts.answers[row : row + 1], prompts.objects[row : row + 1])
            torch.testing.assert_close(
                found.log_probability[index, row], right.log_probability[0], atol=1e-5, rtol=1e-4
            )


def test_patching_everything_gives_the_counterfactual() -> None:
    """With all heads at the last token patched, what is left of the prompt is its last token, which both share."""
    words = zoo.tokenizer()
    maker = PromptMaker(words, n_boxes=3)
    model = HeadModel(zoo.model("llama"), words)
    prompts = maker.draw(3, seed=5)
    other = maker.counterfactuals(prompts, seed=5)
    source = heads_at(record_heads(model, other.tokens), other, "last")
    found = patch_heads(model, record(model, prompts.tokens), prompts, prompts.slots.last, source, [model.heads])
    with torch.no_grad():
        right = measure(model.model(other.tokens).logits[:, -1], prompts.answers, prompts.objects)
    torch.testing.assert_close(found.log_probability[0], right.log_probability, atol=1e-5, rtol=1e-4)
