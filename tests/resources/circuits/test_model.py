"""Opening models: what is refused, adapters, and hooks that must fire."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from resources.circuits.hooks import Hooks
from resources.circuits.model import HeadModel, require_comparable
from resources.circuits.prompts import PromptMaker
from resources.circuits.recording import record, record_heads
from resources.circuits.runs import run_positions
from rotoscale.circuits.heads import CircuitError, Head
from tests.resources.circuits import zoo


@pytest.mark.parametrize("kind", zoo.ARCHITECTURES)
def test_partial_runs_reproduce_the_whole_run(kind: str) -> None:
    model = zoo.model(kind)
    prompts = PromptMaker(zoo.tokenizer(), n_boxes=3).draw(4, seed=0)
    with torch.no_grad():
        own = model(prompts.tokens).logits[:, -1]
        opened = HeadModel(model, zoo.tokenizer())
        recorded = record(opened, prompts.tokens)
        torch.testing.assert_close(opened.logits(recorded.final), own)
        last = prompts.slots.last
        for where, start in (([last], 2), ([5, 9, last], 1), (range(last + 1), 0)):
            final = run_positions(opened, recorded, where, start, variants=2)
            for variant in opened.logits(final):
                torch.testing.assert_close(variant, own, atol=1e-5, rtol=1e-4)
        for ours, stock in zip(recorded.heads, record_heads(opened, prompts.tokens), strict=True):
            torch.testing.assert_close(ours, stock, atol=1e-5, rtol=1e-4)
    assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("via", "qkv")
def test_replacing_vectors_by_their_own_changes_nothing_but_by_others_does(kind: str, via: str) -> None:
    model = HeadModel(zoo.model(kind), zoo.tokenizer())
    prompts = PromptMaker(model.tokenizer, n_boxes=3).draw(3, seed=0)
    with torch.no_grad():
        recorded = record(model, prompts.tokens)
        where = range(8, prompts.slots.last + 1)
        seen: list[torch.Tensor] = []
        run_positions(model, recorded, where, 1, edit_vectors={(1, via): lambda view: seen.append(view.clone())})
        heads = model.n_heads if via == "q" else model.n_kv_heads
        assert seen[0].shape == (1, 3, len(where), heads, model.head_size)
        same = run_positions(model, recorded, where, 1, edit_vectors={(1, via): lambda view: view.copy_(seen[0])})
        torch.testing.assert_close(same[0], recorded.final, atol=1e-5, rtol=1e-4)
        other = run_positions(model, recorded, where, 1, edit_vectors={(1, via): lambda view: view.mul_(-1)})
        assert float((other[0] - recorded.final).abs().max()) > 1e-3


def test_an_adapter_is_merged_first() -> None:
    """Hooks on an unmerged projection would see the base weight's share only."""
    from peft import LoraConfig, get_peft_model

    tuned: Any = get_peft_model(
        zoo.model("qwen2"), LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"])
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.2)
    tuned.eval()
    prompts = PromptMaker(zoo.tokenizer(), n_boxes=3).draw(4, seed=0)
    with torch.no_grad():
        own = tuned(prompts.tokens).logits[:, -1]
        base = zoo.model("qwen2")(prompts.tokens).logits[:, -1]
        opened = HeadModel(tuned, zoo.tokenizer())
        recorded = record(opened, prompts.tokens)
        ours = opened.logits(run_positions(opened, recorded, range(prompts.slots.last + 1), 0)[0])
    torch.testing.assert_close(ours, own, atol=1e-4, rtol=1e-3)
    assert float((own - base).abs().max()) > 0.1


def test_grouped_heads_share_key_value_heads() -> None:
    model = HeadModel(zoo.model("llama"), zoo.tokenizer())
    assert [model.kv_head(head) for head in range(4)] == [0, 0, 1, 1]
    assert [model.vector_index("q", head) for head in range(4)] == [0, 1, 2, 3]
    assert model.heads[:5] == [Head(0, 0), Head(0, 1), Head(0, 2), Head(0, 3), Head(1, 0)]


def test_bad_models_are_refused() -> None:
    words = zoo.tokenizer()
    with pytest.raises(CircuitError, match="has one layer; a circuit is a chain of heads"):
        HeadModel(zoo.model("llama", num_hidden_layers=1), words)
    strange = zoo.model("llama")
    strange.config.model_type = "mamba"
    with pytest.raises(CircuitError, match="circuits are not looked for in mamba models; known are"):
        HeadModel(strange, words)


def test_a_model_that_computes_otherwise_is_refused() -> None:
    """Whatever happens between the last block and the logits must be known."""
    model = zoo.model("llama")
    model.lm_head.register_forward_hook(lambda _, __, out: out)
    HeadModel(model, zoo.tokenizer())
    stock = model.forward

    def scaled(*args: Any, **kwargs: Any) -> Any:
        out = stock(*args, **kwargs)
        out.logits = out.logits * 0.5
        return out

    model.forward = scaled
    with pytest.raises(CircuitError, match="computes its logits in a way that is not known"):
        HeadModel(model, zoo.tokenizer())


def test_models_must_correspond() -> None:
    from transformers import PreTrainedTokenizerFast

    words = zoo.tokenizer()
    first = HeadModel(zoo.model("llama"), words, model_id="one")
    require_comparable(first, HeadModel(zoo.model("qwen2"), words))
    deep = HeadModel(zoo.model("llama", num_hidden_layers=4), words, model_id="deep")
    with pytest.raises(CircuitError, match=r"one has 3 layers of 4 heads .* deep has 4 layers.* do not correspond"):
        require_comparable(first, deep)
    grouped = HeadModel(zoo.model("llama", num_key_value_heads=4), words)
    with pytest.raises(CircuitError, match="do not correspond"):
        require_comparable(first, grouped)
    more = PreTrainedTokenizerFast(tokenizer_object=words.backend_tokenizer)
    more.add_tokens(["new"])
    with pytest.raises(CircuitError, match="have different tokenizers"):
        require_comparable(first, HeadModel(zoo.model("llama"), more))


def test_a_prompt_longer_than_the_context_is_refused() -> None:
    model = HeadModel(zoo.model("gpt2", max_position_embeddings=16), zoo.tokenizer())
    with pytest.raises(CircuitError, match="a prompt has 20 tokens, and the context of model holds 16"):
        record(model, torch.ones(1, 20, dtype=torch.long))


def _hooked(part: torch.nn.Module, run: Any) -> None:
    with Hooks() as hooks:
        hooks.on_input("the spare part", part, lambda _: None)
        run()


def test_a_hook_that_does_not_fire_is_an_error() -> None:
    model, unused = zoo.model("llama"), torch.nn.Linear(2, 2)
    with pytest.raises(CircuitError, match="a hook on the spare part was never called"):
        _hooked(unused, lambda: model(torch.ones(1, 3, dtype=torch.long)))
    with pytest.raises(KeyError):  # another error is not hidden by it
        _hooked(unused, lambda: {}["missing"])
    assert not unused._forward_pre_hooks
    _hooked(unused, lambda: unused(torch.ones(2)))


def test_replaced_forwards_are_put_back() -> None:
    layer = torch.nn.Linear(2, 2)
    with Hooks() as hooks:
        hooks.instead("a layer", layer, lambda x: x * 0)
        assert float(layer(torch.ones(2)).abs().sum()) == 0
    assert "forward" not in layer.__dict__
