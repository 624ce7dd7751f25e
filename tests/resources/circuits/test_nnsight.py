"""Path patching against nnsight, an implementation that is not ours."""

from __future__ import annotations

import pytest
import torch

from resources.circuits.batches import Batches
from resources.circuits.model import HeadModel
from resources.circuits.path_patching import Path, patch_paths
from resources.circuits.prompts import PromptMaker
from rotoscale.circuits.heads import STEPS, Head
from rotoscale.circuits.scores import measure, relative_change
from tests.resources.circuits import zoo

nnsight = pytest.importorskip("nnsight", reason="nnsight is not installed (it is in the dev dependencies)")

SIZE, SENDER, RECEIVERS = 8, Head(0, 2), (Head(1, 1), Head(2, 3))


def recorded(model, tokens):  # type: ignore[no-untyped-def]
    with model.trace(tokens):
        heads = nnsight.save([layer.self_attn.o_proj.input for layer in model.model.layers])
    return heads


def first_run(model, prompts, other, position: str):  # type: ignore[no-untyped-def]
    """Logits at the last token, and v at the position in all layers, with everything but the sender frozen."""
    tokens, at = prompts.tokens, int(prompts.position(position)[0])
    clean, patch = recorded(model, tokens), recorded(model, other.tokens)
    there = int(other.position(position)[0])
    mine = slice(SENDER.head * SIZE, (SENDER.head + 1) * SIZE)
    with model.trace(tokens):
        values = nnsight.save([])
        for index, layer in enumerate(model.model.layers):
            values.append(layer.self_attn.v_proj.output[:, at])
            heads = layer.self_attn.o_proj.input.clone()
            heads[:, at:] = clean[index][:, at:]
            if index == SENDER.layer:
                heads[:, at, mine] = patch[index][:, there, mine]
            layer.self_attn.o_proj.input = heads
        logits = model.lm_head.output[:, -1].save()
    return logits, values


def second_run(model, prompts, position: str, values):  # type: ignore[no-untyped-def]
    at = int(prompts.position(position)[0])
    with model.trace(prompts.tokens):
        for receiver in RECEIVERS:
            first = receiver.head // 2 * SIZE  # two heads share a key-value head
            vectors = model.model.layers[receiver.layer].self_attn.v_proj.output.clone()
            vectors[:, at, first : first + SIZE] = values[receiver.layer][:, first : first + SIZE]
            model.model.layers[receiver.layer].self_attn.v_proj.output = vectors
        logits = model.lm_head.output[:, -1].save()
    return logits


@pytest.mark.parametrize("step", [STEPS[0], STEPS[2]], ids=lambda step: step.group)
def test_steps_agree_with_nnsight(step) -> None:  # type: ignore[no-untyped-def]
    words = zoo.tokenizer()
    maker = PromptMaker(words, n_boxes=3)
    prompts = maker.draw(1, seed=6)
    other = maker.counterfactuals(prompts, seed=6)
    stock = zoo.model("llama")
    theirs = nnsight.NNsight(stock)
    with torch.no_grad():
        logits, values = first_run(theirs, prompts, other, step.position)
        if step.group != "A":
            logits = second_run(theirs, prompts, step.position, values)
        clean = measure(stock(prompts.tokens).logits[:, -1], prompts.answers, prompts.objects)
    expected = relative_change(measure(logits, prompts.answers, prompts.objects), clean)
    model = HeadModel(zoo.model("llama"), words)
    path = Path(SENDER, frozenset(RECEIVERS if step.group != "A" else ()))
    found = patch_paths(model, Batches(model, prompts, other), step, [path])
    assert abs(float(expected)) > 1e-4
    torch.testing.assert_close(found.probability[0], expected, atol=1e-5, rtol=1e-4)
