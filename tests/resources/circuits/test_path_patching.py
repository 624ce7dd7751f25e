"""Fast path patching against whole forward passes of the untouched model, on every architecture and step."""

from __future__ import annotations

import pytest
import torch

from resources.circuits.batches import Batches, mean_heads
from resources.circuits.model import HeadModel
from resources.circuits.path_patching import Path, edge_paths, head_paths, patch_paths
from resources.circuits.prompts import PromptMaker, Prompts
from rotoscale.circuits.heads import STEPS, Head, Step
from tests.resources.circuits import zoo
from tests.resources.circuits.brute import Slow

RECEIVERS = (Head(1, 0), Head(2, 1), Head(2, 3))
SENDERS = [Head(0, 0), Head(0, 3), Head(1, 1), Head(1, 2), Head(2, 2)]


def made(kind: str, n: int = 3, **changes: int) -> tuple[HeadModel, Slow, Prompts, Prompts]:
    """The same random model for the fast and for the slow way, and prompts of its tokenizer."""
    words = zoo.tokenizer()
    maker = PromptMaker(words, n_boxes=3)
    prompts = maker.draw(n, seed=1)
    slow = Slow(zoo.model(kind, **changes))
    return HeadModel(zoo.model(kind, **changes), words), slow, prompts, maker.counterfactuals(prompts, seed=1)


@pytest.mark.parametrize("kind", zoo.ARCHITECTURES)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.group)
def test_every_step_agrees_with_whole_forward_passes(kind: str, step: Step) -> None:
    model, slow, prompts, other = made(kind, n=2)
    receivers = () if step.group == "A" else RECEIVERS
    paths = [path for path in head_paths(model, receivers) if path.sender in SENDERS]
    found = patch_paths(model, Batches(model, prompts, other), step, paths)
    assert float(found.probability.abs().max()) > 1e-3
    for row, path in enumerate(paths):
        expected = slow.scores(prompts, other, step.position, path.sender, receivers, step.via)
        torch.testing.assert_close(found.probability[row].double(), expected[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.logit[row].double(), expected[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("via", ["q", "k", "v"])
def test_edges_are_single_receivers_and_share_key_value_heads(via: str) -> None:
    model, slow, prompts, other = made("llama", num_hidden_layers=4)
    step = Step("X", "any", "query_label", "Y", via)
    paths = edge_paths([Head(0, 1), Head(1, 2)], [Head(1, 3), Head(2, 0), Head(2, 1)])
    assert len(paths) == 5
    found = patch_paths(model, Batches(model, prompts, other), step, paths)
    for row, path in enumerate(paths):
        expected = slow.scores(prompts, other, step.position, path.sender, list(path.receivers), via)
        torch.testing.assert_close(found.probability[row].double(), expected[0], atol=1e-5, rtol=1e-4)
    of = {(path.sender, *path.receivers): found.probability[row] for row, path in enumerate(paths)}
    shared = torch.equal(of[Head(0, 1), Head(2, 0)], of[Head(0, 1), Head(2, 1)])
    assert shared == (via != "q")  # heads 0 and 1 of this model share their key-value head


def test_heads_can_be_replaced_by_their_means() -> None:
    model, slow, prompts, other = made("llama")
    means = mean_heads(model, prompts)
    torch.testing.assert_close(means[1], torch.stack([slow.heads(one)[1] for one in prompts.tokens]).mean(0))
    found = patch_paths(
        model, Batches(model, prompts, other), STEPS[3], [Path(Head(0, 2), frozenset(RECEIVERS))], means
    )
    expected = slow.scores(prompts, other, STEPS[3].position, Head(0, 2), RECEIVERS, "v", means)
    torch.testing.assert_close(found.probability[0].double(), expected[0], atol=1e-5, rtol=1e-4)


def test_little_memory_changes_nothing() -> None:
    model, _, prompts, other = made("qwen3", n=7)
    scarce = HeadModel(zoo.model("qwen3"), model.tokenizer, memory=20_000)
    batches, few = Batches(model, prompts, other), Batches(scarce, prompts, other)
    assert len(few) > len(batches)
    for step in STEPS:
        paths = head_paths(model, () if step.group == "A" else RECEIVERS)
        a, b = patch_paths(model, batches, step, paths), patch_paths(scarce, few, step, paths)
        torch.testing.assert_close(a.probability, b.probability, atol=1e-5, rtol=1e-4)


def test_the_clean_value_changes_nothing() -> None:
    model, _, prompts, _ = made("llama")
    for step in STEPS:
        paths = head_paths(model, () if step.group == "A" else RECEIVERS)
        found = patch_paths(model, Batches(model, prompts, prompts), step, paths)
        assert float(found.probability.abs().max()) < 1e-5


def test_a_head_without_a_way_to_the_receivers_has_no_path() -> None:
    model, *_ = made("llama")
    assert {path.sender.layer for path in head_paths(model, [Head(1, 0)])} == {0}
    assert head_paths(model, [Head(1, 0), Head(2, 0)])[-1] == Path(Head(1, 3), frozenset({Head(2, 0)}))
