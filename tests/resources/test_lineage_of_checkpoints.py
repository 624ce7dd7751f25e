"""The lineage of two checkpoints: what is done to hide or to save, models that are no relatives, and hostile pairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from resources.checkpoints import open_checkpoint
from resources.lineage.comparing import lineage
from resources.lineage.neurons import layer_pairs
from resources.lineage.tokens import shared_tokens
from rotoscale.lineage.result import Lineage
from tests import attacks
from tests.attacks import SAME_FUNCTION, Weights, load, reinitialised, save

DEMO = Path(__file__).resolve().parents[2] / "demo" / "checkpoints"
BASE = DEMO / "demo-base"


def compared(a: Path, b: Path, **given: object) -> Lineage:
    return lineage(open_checkpoint(a), open_checkpoint(b), **given)  # type: ignore[arg-type]


def llama(seed: int = 0, **config: object) -> Weights:
    from transformers import LlamaConfig, LlamaForCausalLM

    usual = {
        "vocab_size": 96, "hidden_size": 32, "intermediate_size": 80, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.1, "tie_word_embeddings": False,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**(usual | config)))
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    state = {name: W.detach().clone() for name, W in model.state_dict().items()}
    return Weights(state, model.config.to_dict())


def same_seed_elsewhere(weights: Weights, size: float, seed: int = 9) -> Weights:
    """What training far from the same start leaves: every matrix changed by `size` times its norm."""
    generator = torch.Generator().manual_seed(seed)
    return weights.each(lambda W: W + size * W.std() * torch.randn(W.shape, generator=generator))


# -------------------------------------------------------------------------------- what is done to hide, and to save


@pytest.mark.parametrize("name", SAME_FUNCTION)
def test_what_hides_a_model_does_not_change_what_it_computes(name: str) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    tokens = torch.arange(40).reshape(2, 20)
    found = []
    weights = llama()
    for one in (weights, SAME_FUNCTION[name](weights, 3)):
        model = LlamaForCausalLM(LlamaConfig(**weights.config)).eval()
        model.load_state_dict(one.state)
        with torch.no_grad():
            found.append(model(input_ids=tokens).logits)
    assert torch.allclose(*found, atol=2e-4)


@pytest.mark.parametrize("name", SAME_FUNCTION)
@pytest.mark.parametrize("source", ["demo-math", "random"])
def test_a_hidden_relative_is_found(name: str, source: str, tmp_path: Path) -> None:
    """A trained descendant's hidden copy against its base, and a random model's that was changed a lot."""
    if source == "random":
        base = save(llama(), tmp_path / "base", tmp_path)
        hidden = SAME_FUNCTION[name](same_seed_elsewhere(llama(), 0.3), 1)
    else:
        base, hidden = BASE, SAME_FUNCTION[name](load(DEMO / source), 1)
    found = compared(base, save(hidden, tmp_path / "hidden", base))
    assert found.verdict == "related", found.reason
    assert found.p_match is not None
    assert found.p_match < 1e-20
    if "neurons" in name or name == "all at once":
        assert found.p_exact is not None
        assert found.p_exact > 1e-3
        assert "another order" in found.reason


SAVED: dict[str, Callable[[Weights], Weights]] = {
    "half of the weights pruned": attacks.pruned,
    "rounded to 8 bits": attacks.rounded,
    "merged with an unrelated model": lambda weights: attacks.half_and_half(weights, load(DEMO / "demo-scratch")),
    "a grown vocabulary": attacks.grown,
}


@pytest.mark.parametrize("name", SAVED)
def test_what_saves_memory_or_mixes_models_hides_nothing(name: str, tmp_path: Path) -> None:
    found = compared(BASE, save(SAVED[name](load(DEMO / "demo-math")), tmp_path / "changed", BASE))
    assert found.verdict == "related"
    assert found.p_exact is not None
    assert found.p_exact < 1e-100


# ------------------------------------------------------------------------------------------------------ no relatives


def test_the_unrelated_model_of_the_same_data_is_unrelated_both_ways() -> None:
    for pair in ((BASE, DEMO / "demo-scratch"), (DEMO / "demo-scratch", BASE)):
        found = compared(*pair)
        assert found.verdict == "unrelated"
        assert found.control_pairs == 12
        assert found.merged_p_exact is not None
        assert found.merged_p_match is not None
        assert max(found.merged_p_exact, found.merged_p_match) < 1e-100


def test_random_models_are_unrelated(tmp_path: Path) -> None:
    """Twelve pairs; with a smaller p, doubled, below 0.01 one in a hundred is undecided."""
    folders = [save(reinitialised(llama(), seed), tmp_path / str(seed), tmp_path) for seed in range(13)]
    verdicts = [compared(a, b).verdict for a, b in pairwise(folders)]
    assert verdicts.count("unrelated") >= 10
    assert "related" not in verdicts


def test_what_two_models_have_in_common_is_said_beside_the_verdict() -> None:
    found = compared(BASE, DEMO / "demo-reasoning", names=("base", "reasoning"))
    assert found.verdict == "related"
    assert (found.distance, found.cosine_matched) == (pytest.approx(0.2, abs=0.05), pytest.approx(0.97, abs=0.02))
    assert found.earlier == "base"
    assert (found.approximate, found.layers, found.rows, found.shared_tokens) == (True, 4, 320, 808)
    assert compared(DEMO / "demo-reasoning", BASE, names=("reasoning", "base")).earlier == "base"


# ------------------------------------------------------------------------------------------------------ hostile pairs


def test_a_model_and_itself() -> None:
    found = compared(BASE, BASE)
    assert (found.verdict, found.distance, found.earlier) == ("related", 0, None)


def test_zero_matrices_say_so(tmp_path: Path) -> None:
    base = save(llama(), tmp_path / "base", tmp_path)
    zero = save(llama().each(torch.zeros_like), tmp_path / "zero", tmp_path)
    for pair in ((base, zero), (zero, base), (zero, zero)):
        found = compared(*pair)
        assert found.verdict == "undecided"
        assert "too few rows that are not zero" in found.reason
        assert found.p_exact is found.p_match is None


def test_matrices_of_rank_one_prove_nothing(tmp_path: Path) -> None:
    flat = llama().each(lambda W: W[:, :1] @ W[:1])
    a, b = save(flat, tmp_path / "a", tmp_path), save(flat, tmp_path / "b", tmp_path)
    found = compared(a, b)
    assert found.verdict == "undecided"
    assert "would have been found" in found.reason


def test_models_of_one_layer_have_rotations_as_control(tmp_path: Path) -> None:
    one = llama(num_hidden_layers=1)
    base = save(one, tmp_path / "base", tmp_path)
    hidden = save(attacks.all_at_once(one), tmp_path / "hidden", tmp_path)
    other = save(reinitialised(one, 5), tmp_path / "other", tmp_path)
    assert compared(base, hidden).verdict == "related"
    found = compared(base, other)
    assert (found.verdict, found.control_pairs, found.layers) == ("unrelated", 12, 1)


def test_other_numbers_of_heads_do_not_matter(tmp_path: Path) -> None:
    weights = llama()
    few = replace(weights, config=weights.config | {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16})
    a, b = save(weights, tmp_path / "a", tmp_path), save(few, tmp_path / "b", tmp_path)
    assert compared(a, b).verdict == "related"


def test_models_of_different_depth_can_be_related_and_never_unrelated(tmp_path: Path) -> None:
    six = llama(num_hidden_layers=6)
    names = [name for name in six.state if not name.startswith(("model.layers.2.", "model.layers.3."))]
    state = {n.replace("layers.4.", "layers.2.").replace("layers.5.", "layers.3."): six.state[n] for n in names}
    cut = Weights(state, six.config | {"num_hidden_layers": 4})
    base = save(six, tmp_path / "base", tmp_path)
    pairs = layer_pairs(open_checkpoint(base), open_checkpoint(save(cut, tmp_path / "cut", tmp_path)))
    assert [(a.layer, b.layer) for a, b in pairs] == [(0, 0), (1, 1), (4, 2), (5, 3)]
    assert compared(base, tmp_path / "cut").verdict == "related"
    found = compared(base, save(reinitialised(cut, 4), tmp_path / "other", tmp_path))
    assert (found.verdict, "which layer would be which" in found.reason) == ("undecided", True)


def test_other_shapes_and_tokenizers_get_indications_only(tmp_path: Path) -> None:
    base = save(llama(), tmp_path / "base", tmp_path)
    wide = save(llama(intermediate_size=96), tmp_path / "wide", tmp_path)
    found = compared(base, wide)
    assert (found.verdict, "no layer of one shape" in found.reason) == ("undecided", True)
    assert found.spectral_distance is not None
    tokens = save(reinitialised(llama(vocab_size=200), 3), tmp_path / "tokens", tmp_path)
    found = compared(base, tokens)
    assert (found.verdict, "cannot be mapped" in found.reason) == ("undecided", True)
    assert found.p_exact is not None
    assert found.p_match is None
    assert found.spectral_distance is not None
    assert compared(base, save(attacks.grown(llama(), 9), tmp_path / "grown", tmp_path)).verdict == "related"


def test_tokens_are_shared_by_what_they_stand_for(tmp_path: Path) -> None:
    """The vocabulary in another order, and the embedding with it: the map is found all the same."""
    weights = llama()
    order = torch.randperm(96, generator=torch.Generator().manual_seed(0))
    hidden = attacks.all_at_once(weights)
    hidden.state["model.embed_tokens.weight"] = hidden.state["model.embed_tokens.weight"][order]
    base, other = save(weights, tmp_path / "base", tmp_path), save(hidden, tmp_path / "other", tmp_path)
    for folder, places in ((base, range(96)), (other, order.argsort().tolist())):
        vocab = {f"word{i}": place for i, place in enumerate(places)}
        (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordLevel", "vocab": vocab}}))
    tokens, note = shared_tokens(open_checkpoint(base), open_checkpoint(other))
    assert (len(tokens), note) == (96, "")
    assert [int(order[b]) for _, b in tokens] == [a for a, _ in tokens]
    assert compared(base, other).verdict == "related"
    (other / "tokenizer.json").write_text("{")
    found = compared(base, other)
    assert found.verdict != "related"
    assert "equal rows were taken for equal tokens" in found.note


@pytest.mark.parametrize("kind", ["gpt2", "neox"])
def test_models_without_a_gate(kind: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig

    torch.manual_seed(0)
    config = (
        GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_inner=80, n_positions=64)
        if kind == "gpt2"
        else GPTNeoXConfig(
            vocab_size=96, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=80
        )
    )
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "base")
    up, down = ("c_fc", "c_proj") if kind == "gpt2" else ("dense_h_to_4h", "dense_4h_to_h")
    state = model.state_dict()
    for layer in range(2):
        order = torch.randperm(80, generator=torch.Generator().manual_seed(layer))
        for name, W in state.items():
            if f".{layer}.mlp" in name and W.ndim == 2 and (up in name or down in name):
                rows = (up in name) != (kind == "gpt2")  # GPT-2 stores input x output
                state[name] = W[order] if rows else W[:, order]
    model.load_state_dict(state)
    model.save_pretrained(tmp_path / "permuted")
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "other")
    found = compared(tmp_path / "base", tmp_path / "permuted")
    assert (found.verdict, "another order" in found.reason) == ("related", True)
    assert compared(tmp_path / "base", tmp_path / "other").verdict == "unrelated"
