"""The gradient screen against exact path patching."""

from __future__ import annotations

import pytest
import torch

from resources.circuits.batches import Batches
from resources.circuits.model import HeadModel
from resources.circuits.path_patching import edge_paths, head_paths, patch_paths
from resources.circuits.prompts import PromptMaker
from resources.circuits.screen import screen_paths
from rotoscale.circuits.heads import STEPS, Head, Step
from rotoscale.circuits.screening import rank_correlation
from tests.resources.circuits import zoo

RECEIVERS = (Head(2, 1), Head(3, 0), Head(3, 3))


def made(kind: str = "llama", share: float = 1.0) -> tuple[HeadModel, Batches]:
    """A model and batches; the counterfactual's head outputs moved to a share of the way from the clean ones."""
    words = zoo.tokenizer()
    maker = PromptMaker(words, n_boxes=3)
    prompts = maker.draw(6, seed=2)
    model = HeadModel(zoo.model(kind, num_hidden_layers=4), words)
    batches = Batches(model, prompts, maker.counterfactuals(prompts, seed=2))
    for batch in batches:
        clean = [heads.clone() for heads in batch.recorded.heads]
        for layer, heads in enumerate(batch.other):
            at = torch.arange(len(batch.prompts))
            for name in ("last", "query_label", "previous_query_label"):
                there, here = batch.counterfactual.position(name), batch.at(name)
                heads[at, there] = clean[layer][:, here] + share * (heads[at, there] - clean[layer][:, here])
    return model, batches


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.group)
def test_small_changes_are_estimated_exactly(step: Step) -> None:
    model, batches = made(share=1e-2)
    paths = head_paths(model, () if step.group == "A" else RECEIVERS)
    exact, estimate = patch_paths(model, batches, step, paths), screen_paths(model, batches, step, paths)
    for a, b in ((exact.probability, estimate.probability), (exact.logit, estimate.logit)):
        assert float((a - b).abs().max()) < 0.05 * float(a.abs().max())


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.group)
def test_whole_changes_are_ranked_rightly(step: Step) -> None:
    model, batches = made("qwen2")
    paths = head_paths(model, () if step.group == "A" else RECEIVERS)
    exact, estimate = patch_paths(model, batches, step, paths), screen_paths(model, batches, step, paths)
    correlation = rank_correlation(exact.logit.mean(1), estimate.logit.mean(1))
    assert correlation is not None
    assert correlation > 0.6


def test_edges_add_up_to_their_sender() -> None:
    """To first order a sender's effect is the sum over its receivers."""
    model, batches = made()
    step = STEPS[1]
    whole = screen_paths(model, batches, step, head_paths(model, RECEIVERS))
    edges = screen_paths(model, batches, step, edge_paths(model.heads, RECEIVERS))
    for row, path in enumerate(whole.paths):
        mine = [i for i, edge in enumerate(edges.paths) if edge.sender == path.sender]
        torch.testing.assert_close(edges.logit[mine].sum(0), whole.logit[row], atol=1e-5, rtol=1e-4)
