"""Masks, cross-model patching and knock-outs on the model whose heads are known to carry what."""

from __future__ import annotations

import pytest
import torch

from resources.circuits.batches import Batches
from resources.circuits.cross_model import Exchange
from resources.circuits.knockouts import knock_out
from resources.circuits.masks import desideratum_mask, learn_mask, named, prepared
from resources.circuits.model import HeadModel
from resources.circuits.patching import heads_at, patch_heads
from resources.circuits.prompts import PromptMaker
from resources.circuits.recording import record, record_heads
from rotoscale.circuits.heads import CircuitError, Head
from tests.resources.circuits import wired, zoo


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel(wired.model(), zoo.tokenizer(), model_id="wired")


@pytest.fixture(scope="module")
def maker(model: HeadModel) -> PromptMaker:
    return PromptMaker(model.tokenizer, n_boxes=4)


@pytest.mark.parametrize(
    ("group", "position", "desideratum"),
    [
        # The fetchers bring the object itself; what the pointer heads bring is the object's own name, behind an
        # attention so sharp that its gradient vanishes.
        ([Head(3, 0), Head(3, 2)], "last", "object"),
        ([Head(2, 3)], "last", "reflexive"),
        ([Head(1, 1)], "query_label", "reflexive"),
        ([Head(0, 2)], "previous_query_label", "reflexive"),
    ],
)
def test_a_mask_finds_what_a_head_carries(model, maker, group, position, desideratum) -> None:  # type: ignore[no-untyped-def]
    decoys = [Head(3, 1), Head(0, 0)]
    parts = [
        prepared(model, maker.desideratum(desideratum, n, seed=use), [position])[position]
        for use, n in enumerate((96, 16, 16))
    ]
    found = desideratum_mask(model, [*group, *decoys], *parts, draws=5)
    assert set(found.heads) >= set(group)
    assert bool(found.right.all())
    assert len(found.random) == 5


@pytest.mark.parametrize("desideratum", ["positional", "lexical"])
def test_no_head_of_it_points_by_position_or_letter(model, maker, desideratum: str) -> None:  # type: ignore[no-untyped-def]
    test = prepared(model, maker.desideratum(desideratum, 16, seed=3), ["last"])["last"]
    right = named(model, test, [[Head(2, 3)], [Head(3, 0), Head(3, 2)], []])
    assert float(right.double().mean(1).max()) < 0.5  # a pointer to an object that is not there points anywhere


def test_a_mask_is_paid_for(model: HeadModel, maker: PromptMaker) -> None:
    """Heads that do not help to name the target stay their own."""
    parts = prepared(model, maker.desideratum("object", 64, seed=0), ["last"])["last"]
    validation = prepared(model, maker.desideratum("object", 16, seed=1), ["last"])["last"]
    assert learn_mask(model, [Head(0, 0), Head(1, 0)], parts, validation) == ()
    assert learn_mask(model, [], parts, validation) == ()


def test_cross_model_patching(model: HeadModel, maker: PromptMaker) -> None:
    """A recipient whose fetchers were cut out gets the answer from the donor's, and from no others."""
    cut = wired.model()
    with torch.no_grad():
        for head in (0, 2):
            cut.model.layers[3].self_attn.v_proj.weight[head // 2 * 96 : (head // 2 + 1) * 96] = 0
    recipient = HeadModel(cut, model.tokenizer, model_id="cut")
    prompts = maker.draw(16, seed=5)
    assert float((recipient.run(prompts).predicted == prompts.answers).double().mean()) < 0.3
    exchange = Exchange(recipient, model, prompts)
    patched = exchange.patch([Head(3, 0), Head(3, 2)], "last", draws=5)
    assert bool(patched.right.all())
    assert max(exchange.patch([Head(1, 1)], "query_label", draws=5).random) < 0.3
    back = Exchange(model, recipient, prompts).patch([Head(3, 0), Head(3, 2)], "last", draws=0)
    assert not bool(back.right.all())
    with pytest.raises(CircuitError, match="do not correspond"):
        Exchange(HeadModel(zoo.model("llama"), model.tokenizer), model, prompts)


def test_patching_a_model_with_itself_changes_nothing() -> None:
    model = HeadModel(zoo.model("qwen2"), zoo.tokenizer())
    prompts = PromptMaker(model.tokenizer, n_boxes=3).draw(6, seed=0)
    clean = model.run(prompts)
    with torch.no_grad():
        source = heads_at(record_heads(model, prompts.tokens), prompts, "query_label")
        at = int(prompts.position("query_label")[0])
        found = patch_heads(model, record(model, prompts.tokens), prompts, at, source, [model.heads])
    torch.testing.assert_close(found.log_probability[0], clean.log_probability, atol=1e-5, rtol=1e-4)


def test_knock_outs_show_the_way_of_the_answer(model: HeadModel, maker: PromptMaker) -> None:
    prompts = maker.draw(12, seed=7)
    found = list(knock_out(model, Batches(model, prompts, prompts)))
    lost = {(one.query, one.key, one.first_layer) for one in found if one.probability_change < -0.5}
    assert lost == {
        ("previous_query_label", "object", 0),
        ("query_label", "previous_query_label", 1),
        ("last", "query_label", 2),
        ("last", "object", 3),
    }


def test_knock_outs_agree_with_a_masked_forward_pass() -> None:
    """Against the stock model with a four-dimensional mask that forbids the edge in one layer."""
    model = HeadModel(zoo.model("llama"), zoo.tokenizer())
    prompts = PromptMaker(model.tokenizer, n_boxes=3).draw(2, seed=1).take([0])
    batches = Batches(model, prompts, prompts)
    wanted = next(
        one for one in knock_out(model, batches) if (one.query, one.key, one.first_layer) == ("last", "query_label", 1)
    )
    stock = zoo.model("llama")
    last, label = prompts.slots.last, prompts.slots.query_label

    def forbid(_, args, kwargs):  # type: ignore[no-untyped-def]
        mask = kwargs["attention_mask"].clone()
        mask[..., last, label] = torch.finfo(mask.dtype).min
        return args, {**kwargs, "attention_mask": mask}

    with torch.no_grad():
        clean = stock(prompts.tokens).logits[0, -1].softmax(-1)[prompts.answers[0]]
        stock.model.layers[1].self_attn.register_forward_pre_hook(forbid, with_kwargs=True)
        after = stock(prompts.tokens).logits[0, -1].softmax(-1)[prompts.answers[0]]
    assert wanted.probability_change == pytest.approx(float(after / clean - 1), abs=1e-5)


def test_masks_in_a_shorter_format() -> None:
    """Models on a GPU compute in bfloat16; masks stay in float32."""
    model = HeadModel(zoo.model("llama").to(torch.bfloat16), zoo.tokenizer())
    maker = PromptMaker(model.tokenizer, n_boxes=3)
    parts = prepared(model, maker.desideratum("object", 12, seed=0), ["query_label"])["query_label"]
    found = desideratum_mask(model, [Head(0, 1), Head(1, 2)], parts, parts, parts, draws=2)
    assert found.right.shape == (12,)
