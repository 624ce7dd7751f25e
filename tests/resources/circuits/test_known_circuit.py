"""The search on a model whose circuit is known, because its weights were set by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from resources.circuits.batches import Batches
from resources.circuits.chain import Chain, find_chain
from resources.circuits.finding import own_means
from resources.circuits.model import HeadModel
from resources.circuits.prompts import PromptMaker
from resources.circuits.settings import CircuitSettings
from rotoscale.circuits.heads import STEPS, Component, Head, components
from rotoscale.circuits.screening import auroc
from tests.resources.circuits import wired, zoo

SETTINGS = CircuitSettings(n_boxes=4, prompts=12, accuracy_prompts=20, mean_prompts=40)


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel(wired.model(), zoo.tokenizer(), model_id="wired")


@pytest.fixture(scope="module")
def maker(model: HeadModel) -> PromptMaker:
    return PromptMaker(model.tokenizer, n_boxes=4, context=model.context)


@pytest.fixture(scope="module")
def chain(model: HeadModel, maker: PromptMaker) -> Chain:
    means = own_means(model, maker, SETTINGS)
    return find_chain(model, maker, SETTINGS, seed=0, n_prompts=12, means=means, all_edges=False)


def test_the_model_does_the_task(model: HeadModel, maker: PromptMaker) -> None:
    prompts = maker.draw(40, seed=9)
    assert bool((model.run(prompts).predicted == prompts.answers).all())


def test_exactly_the_wired_heads_are_found(chain: Chain) -> None:
    assert {group: set(heads) for group, heads in chain.kept.items() if heads} == wired.CIRCUIT
    assert chain.reason == ""
    assert wired.DECOY not in {head for heads in chain.kept.values() for head in heads}


@pytest.mark.parametrize("group", "ABCD")
def test_wired_heads_score_above_all_others(chain: Chain, group: str) -> None:
    scored = chain.scored[group]
    wanted = torch.tensor([head in wired.CIRCUIT[group] for head in scored.heads])
    assert auroc(-scored.probability.mean(1), wanted) == 1.0
    assert auroc(-scored.logit.mean(1), wanted) == 1.0


def test_edges_are_those_that_were_wired(chain: Chain) -> None:
    found = {(edge.sender, edge.receiver, edge.via) for edge in chain.edges}
    assert found == {
        (Head(3, 0), None, "logits"),
        (Head(3, 2), None, "logits"),
        (Head(2, 3), Head(3, 0), "q"),
        (Head(2, 3), Head(3, 2), "q"),
        (Head(1, 1), Head(2, 3), "v"),
        (Head(0, 2), Head(1, 1), "v"),
    }
    assert chain.kept_edges(SETTINGS) == {edge.key for edge in chain.edges}


def test_the_backup_would_fool_naive_minimality(chain: Chain, model: HeadModel, maker: PromptMaker) -> None:
    """Without either fetcher alone the circuit answers as well; with the other one out, each is needed."""
    from resources.circuits.ablation import CircuitRuns

    prompts = maker.draw(20, seed=3)
    runs = CircuitRuns(
        model, Batches(model, prompts, maker.counterfactuals(prompts, 3)), own_means(model, maker, SETTINGS)
    )
    whole = components(chain.kept)
    first, second = Component("last", Head(3, 0)), Component("last", Head(3, 2))
    accuracy = runs.accuracy(runs.circuits([whole, whole - {first}, whole - {second}, whole - {first, second}]))
    assert accuracy[:3].tolist() == [1.0, 1.0, 1.0]
    assert accuracy[3] < 0.5
    assert chain.needs["A"][Head(3, 0)].partners == (Head(3, 2),)


def test_the_screen_finds_the_same_circuit(model: HeadModel, maker: PromptMaker) -> None:
    settings = replace(SETTINGS, screen=True)
    found = find_chain(
        model, maker, settings, seed=0, n_prompts=12, means=own_means(model, maker, settings), all_edges=False
    )
    assert {group: set(heads) for group, heads in found.kept.items() if heads} == wired.CIRCUIT
    audit = found.scored["A"].audit
    assert audit is not None
    assert (audit.n_exact, audit.n_audited, audit.estimated_misses) == (5, 1, 0.0)
    assert not bool(found.scored["A"].exact.all())


@pytest.mark.parametrize("steps", STEPS[1:], ids=lambda step: step.group)
def test_an_empty_group_ends_the_chain_with_its_best_score(steps, model: HeadModel, maker: PromptMaker) -> None:  # type: ignore[no-untyped-def]
    """With the head of a group cut out of the weights the model cannot answer; the search says so or stops there."""
    cut = wired.model()
    (head,) = wired.CIRCUIT[steps.group]
    with torch.no_grad():
        cut.model.layers[head.layer].self_attn.o_proj.weight[:, head.head * 96 : (head.head + 1) * 96] = 0
    opened = HeadModel(cut, model.tokenizer, model_id="cut")
    settings = replace(SETTINGS, only_correct=False, direct=False)
    found = find_chain(
        opened, maker, settings, seed=0, n_prompts=12, means=own_means(opened, maker, settings), all_edges=False
    )
    after = [step.group for step in STEPS][[step.group for step in STEPS].index(steps.group) :]
    assert not any(found.kept[group] for group in after)
    assert found.reason
