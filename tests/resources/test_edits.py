"""Edited checkpoints of models of several layouts: the right weights, nothing else touched, loadable, resumable."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from resources.checkpoints import MatrixKey, WriteError, open_checkpoint
from resources.edits import EditPlan, default_plans, plans_of, read_plan
from resources.edits.build import Builder, BuiltEdit
from resources.edits.plan import DEFAULT_RECIPES, PlanError, read_layers
from resources.factors import FactorStore
from rotoscale.errors import MatrixError
from rotoscale.recipes import RECIPES, RecipeError

COMMON = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: hf.LlamaConfig(**COMMON, tie_word_embeddings=False),
    "tied": lambda: hf.LlamaConfig(**COMMON, tie_word_embeddings=True),
    "phi3": lambda: hf.Phi3Config(**COMMON, tie_word_embeddings=False),
    "gpt2": lambda: hf.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=64, n_positions=64),
}


def make_pair(folder: Path, name: str, dtype: torch.dtype = torch.float32, **saving: Any) -> tuple[Path, Path]:
    """A base and a post that is a small step away, saved by transformers."""
    torch.manual_seed(0)
    model = hf.AutoModelForCausalLM.from_config(CONFIGS[name]())
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    model.to(dtype).save_pretrained(folder / "base", **saving)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_((0.03 * weight.float().std() * torch.randn(weight.shape)).to(dtype))
    model.save_pretrained(folder / "post", **saving)
    return folder / "base", folder / "post"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_pair(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FactorStore:
    return FactorStore(tmp_path_factory.mktemp("factors"))


def build(pair: tuple[Path, Path], store: FactorStore, out: Path, plan: Any, seed: int = 0) -> BuiltEdit:
    builder = Builder(*map(open_checkpoint, pair), store, seed=seed)
    return builder.build(read_plan(plan), out)


def matrices(folder: Path) -> dict[MatrixKey, np.ndarray]:
    checkpoint = open_checkpoint(folder)
    return {key: checkpoint.read(key).double().numpy() for key in checkpoint.matrices()}


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first.view(torch.uint8), second.view(torch.uint8))


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def svd(W: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    return U, s, Vt.T


def disrupted(base: np.ndarray, post: np.ndarray) -> np.ndarray:
    (Ub, _, _), (Up, sp, Vp) = svd(base), svd(post)
    return Ub * np.where(np.sum(Ub * Up, 0) < 0, -1.0, 1.0) * sp @ Vp.T


def restored(base: np.ndarray, post: np.ndarray) -> np.ndarray:
    (_, _, Vb), (Up, sp, _) = svd(base), svd(post)
    U, _, Vt = np.linalg.svd(svd(base)[0].T @ Up)
    return Up * sp @ (Vb @ U @ Vt).T


# ------------------------------------------------------------------------------------------------------ the weights


@pytest.mark.parametrize(("recipe", "construct"), [("disrupt-left", disrupted), ("restore-right", restored)])
def test_weights_and_everything_else(
    recipe: str, construct: Callable, llama: tuple[Path, Path], store: FactorStore, tmp_path: Path
) -> None:
    plan = {"recipe": recipe, "matrices": "q,k,down", "layers": "0,2"}
    built = build(llama, store, tmp_path / "out", plan)
    base, post, edited = matrices(llama[0]), matrices(llama[1]), matrices(built.path)
    chosen = [key for key in post if key.matrix in ("q", "k", "down") and key.layer != 1]
    assert built.matrices == len(chosen) == 6
    for key in post:
        expected = construct(base[key], post[key]) if key in chosen else post[key]
        assert distance(edited[key], expected) < (1e-6 if key in chosen else 1e-300), key
    error = sum(np.linalg.norm(edited[k] - post[k]) ** 2 for k in chosen) / sum(
        np.linalg.norm(post[k]) ** 2 for k in chosen
    )
    assert built.weight_error == pytest.approx(error**0.5, rel=1e-6)
    before, after = tensors(llama[1]), tensors(built.path)
    assert list(before) == list(after)
    untouched = [name for name in before if same(before[name], after[name])]
    assert len(untouched) == len(before) - len(chosen)
    assert built.content_hash() == open_checkpoint(built.path).content_hash()


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_builds_and_says_what_it_is(
    recipe: str, llama: tuple[Path, Path], store: FactorStore, tmp_path: Path
) -> None:
    plan = {"recipe": recipe, **({"factor": 1.1} if recipe == "prescale" else {})}
    built = build(llama, store, tmp_path / "out", plan)
    source = llama[0] if RECIPES[recipe].around == "base" else llama[1]
    edited = {name for name, value in tensors(built.path).items() if not same(value, tensors(source)[name])}
    assert all("proj" in name for name in edited)
    assert built.matrices == (3 if recipe == "prescale" else 21)
    assert len(edited) == (0 if recipe == "shrink-intruders" else built.matrices)  # a small change has no intruders
    record = json.loads((built.path / "edit.json").read_text())
    assert record["manifest"]["formula"] == RECIPES[recipe].formula
    assert read_plan(record["manifest"]["parameters"]) == read_plan(plan)
    assert record["manifest"]["weight_error"] == built.weight_error
    card = (built.path / "README.md").read_text()
    assert recipe in card
    assert "weight_error" in card
    model = hf.AutoModelForCausalLM.from_pretrained(built.path)
    assert torch.isfinite(model(torch.arange(3, 9)[None]).logits).all()


def test_restoring_is_far_nearer_than_disrupting(llama: tuple[Path, Path], store: FactorStore, tmp_path: Path) -> None:
    error = {}
    for label, plan in {
        "disrupt-left": "disrupt-left",
        "disrupt-right": "disrupt-right",
        "unaligned": {"recipe": "disrupt-left", "aligned": False},
        "control": {"recipe": "disrupt-left", "of": "noise"},
        "restore-left": "restore-left",
        "restore-right": "restore-right",
        "noise": "noise",
    }.items():
        built = build(llama, store, tmp_path / label, plan)
        assert built.weight_error is not None
        error[label] = built.weight_error
    assert built.base_error == pytest.approx(error["noise"] / 2**0.5, rel=0.1)
    for side in ("left", "right"):
        assert error[f"restore-{side}"] < 0.3 * error[f"disrupt-{side}"]
    # The trap: the same break of mere noise looks just as bad.
    assert error["control"] > 0.5 * error["disrupt-left"]
    assert error["unaligned"] > 1.5 * error["disrupt-left"]


def test_the_posts_own_scale_reproduces_the_post(llama: tuple[Path, Path], store: FactorStore, tmp_path: Path) -> None:
    for name, dtype, bound in (("float32", torch.float32, 1e-7), ("bfloat16", torch.bfloat16, 2e-4)):
        _, post = make_pair(tmp_path / name, "llama", dtype)
        built = build((post, post), store, tmp_path / f"{name}-out", {"recipe": "replace-scale", "alpha": "one"})
        assert built.weight_error is not None
        assert built.weight_error < bound


def test_alpha_is_averaged_over_the_model_whatever_is_edited(
    llama: tuple[Path, Path], store: FactorStore, tmp_path: Path
) -> None:
    base, post = matrices(llama[0]), matrices(llama[1])
    own = {key: float(np.dot(svd(base[key])[1], svd(post[key])[1]) / np.sum(svd(base[key])[1] ** 2)) for key in base}
    key = MatrixKey(1, "v")
    wanted = {
        "one": 1.0,
        "matrix": own[key],
        "type": np.mean([value for k, value in own.items() if k.matrix == "v"]),
        "global": np.mean(list(own.values())),
    }
    for policy, alpha in wanted.items():
        plan = {"recipe": "replace-scale", "alpha": policy, "matrices": "v", "layers": 1}
        built = build(llama, store, tmp_path / policy, plan)
        found = svd(matrices(built.path)[key])[1]
        assert np.allclose(found, alpha * svd(base[key])[1], rtol=1e-6)
        whole = build(llama, store, tmp_path / f"{policy}-whole", {"recipe": "replace-scale", "alpha": policy})
        assert np.array_equal(matrices(whole.path)[key], matrices(built.path)[key])


def test_noise_is_of_the_changes_norm_and_the_same_again(
    llama: tuple[Path, Path], store: FactorStore, tmp_path: Path
) -> None:
    first, again = (build(llama, store, tmp_path / name, "noise") for name in "ab")
    other = build(llama, store, tmp_path / "c", "noise", seed=1)
    assert first.content_hash() == again.content_hash() != other.content_hash()
    base, post, noisy = matrices(llama[0]), matrices(llama[1]), matrices(first.path)
    for key in base:
        step = np.linalg.norm(noisy[key] - base[key])
        assert step == pytest.approx(np.linalg.norm(post[key] - base[key]), rel=1e-4)
    control = build(llama, store, tmp_path / "control", {"recipe": "disrupt-left", "of": "noise"})
    for key, found in matrices(control.path).items():
        assert distance(found, disrupted(base[key], noisy[key])) < 1e-6


def test_no_svd_is_done_twice(llama: tuple[Path, Path], tmp_path: Path) -> None:
    store = FactorStore(tmp_path / "factors")
    for number, plan in enumerate(default_plans()):
        Builder(*map(open_checkpoint, llama), store).build(plan, tmp_path / str(number))
    stored = {path: path.stat().st_ino for path in store.folder.glob("??/*.safetensors")}
    assert len(stored) == 3 * 21  # base, post, and the one noise that all controls share
    for number, plan in enumerate(default_plans()):
        Builder(*map(open_checkpoint, llama), store).build(plan, tmp_path / str(number))
    assert {path: path.stat().st_ino for path in store.folder.glob("??/*.safetensors")} == stored


# ------------------------------------------------------------------------------------------------------- the layouts


@pytest.mark.parametrize("name", ["tied", "phi3", "gpt2", "sharded"])
def test_other_layouts_load_and_generate(name: str, store: FactorStore, tmp_path: Path) -> None:
    sharded = name == "sharded"
    pair = make_pair(tmp_path, "llama" if sharded else name, **({"max_shard_size": "60KB"} if sharded else {}))
    built = build(pair, store, tmp_path / "out", {"recipe": "disrupt-left", "matrices": "q,up"})
    base, post, edited = matrices(pair[0]), matrices(pair[1]), matrices(built.path)
    for key in post:
        expected = disrupted(base[key], post[key]) if key.matrix in ("q", "up") else post[key]
        assert distance(edited[key], expected) < 1e-5, key
    files = sorted(path.name for path in pair[1].glob("model*"))
    assert sorted(path.name for path in built.path.glob("model*")) == files
    assert (len(files) > 2) == sharded
    model, info = hf.AutoModelForCausalLM.from_pretrained(built.path, output_loading_info=True)
    assert not info["missing_keys"]
    tokens = model.generate(torch.arange(3, 9)[None], max_new_tokens=4, do_sample=False)
    assert tokens.shape[1] > 6


def test_an_adapter_gives_a_merged_checkpoint(tmp_path: Path, store: FactorStore) -> None:
    import peft

    base, _ = make_pair(tmp_path, "llama")
    model = hf.AutoModelForCausalLM.from_pretrained(base)
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "up_proj"]))
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    tuned.save_pretrained(tmp_path / "adapter")
    merged = tuned.merge_and_unload().state_dict()
    builder = Builder(open_checkpoint(base), open_checkpoint(tmp_path / "adapter", base=base), store)
    built = builder.build(read_plan({"recipe": "interpolate", "t": 0.5, "matrices": "q"}), tmp_path / "out")
    found, plain = tensors(built.path), tensors(base)
    for name, value in found.items():
        expected = 0.5 * (merged[name] + plain[name]) if "q_proj" in name else merged[name]
        assert torch.allclose(value, expected, atol=1e-6), name
    assert hf.AutoModelForCausalLM.from_pretrained(built.path)


def test_error_counts_what_is_stored_in_bfloat16(tmp_path: Path, store: FactorStore) -> None:
    pair = make_pair(tmp_path, "llama", torch.bfloat16)
    built = build(pair, store, tmp_path / "out", "restore-left")
    assert {value.dtype for value in tensors(built.path).values()} == {torch.bfloat16}
    post, edited = matrices(pair[1]), matrices(built.path)
    error = sum(np.linalg.norm(edited[k] - post[k]) ** 2 for k in post) / sum(
        np.linalg.norm(w) ** 2 for w in post.values()
    )
    assert built.weight_error == pytest.approx(error**0.5, rel=1e-6)


# ---------------------------------------------------------------------------------------------------------- failures


def small_disk(tmp_path: Path, size: str) -> Path:
    """A mounted file system of a few kilobytes; the test is skipped where it may not be mounted."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    return disk


def test_a_full_disk_leaves_nothing(llama: tuple[Path, Path], store: FactorStore, tmp_path: Path) -> None:
    disk = small_disk(tmp_path, "40k")
    try:
        with pytest.raises(WriteError, match="the disk is full"):
            build(llama, store, disk / "out", "disrupt-left")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_factor_store_that_cannot_be_written_costs_no_edit(llama: tuple[Path, Path], tmp_path: Path) -> None:
    expected = build(llama, FactorStore(tmp_path / "good"), tmp_path / "expected", "disrupt-left")
    blocked = tmp_path / "a file"
    blocked.write_text("where the store's folder should be")
    built = build(llama, FactorStore(blocked), tmp_path / "out", "disrupt-left")
    assert built.content_hash() == expected.content_hash()


def test_a_full_disk_under_the_factor_store_costs_no_edit(llama: tuple[Path, Path], tmp_path: Path) -> None:
    expected = build(llama, FactorStore(tmp_path / "good"), tmp_path / "expected", "disrupt-left")
    disk = small_disk(tmp_path, "16k")
    try:
        built = build(llama, FactorStore(disk / "factors"), tmp_path / "out", "disrupt-left")
    finally:
        subprocess.run(["umount", disk], check=True)
    assert built.content_hash() == expected.content_hash()


def test_what_cannot_be_applied_names_the_matrix(llama: tuple[Path, Path], store: FactorStore, tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match=r"band-top-k20-q.k of layers.0.k: .* wider than the matrix's rank 16"):
        build(llama, store, tmp_path / "out", {"recipe": "band", "k": 20, "matrices": "q,k"})


def test_what_is_not_there_is_named(llama: tuple[Path, Path], store: FactorStore, tmp_path: Path) -> None:
    for plan, message in (
        ({"recipe": "noise", "matrices": "q,z"}, "no matrix type z in .*; it has q, k, v, o, gate, up, down"),
        ({"recipe": "noise", "layers": "1-3"}, "no layer 3 in .*; it has 0 to 2"),
    ):
        with pytest.raises(PlanError, match=message):
            build(llama, store, tmp_path / "out", plan)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("kept")
    with pytest.raises(WriteError, match="not empty and was not written by Rotoscale"):
        build(llama, store, tmp_path / "taken", "noise")
    assert (tmp_path / "taken" / "mine.txt").read_text() == "kept"
    assert not (tmp_path / "out").exists()


def test_plans_are_checked() -> None:
    for described, message in (
        ("nonsense", "there is no recipe 'nonsense'"),
        ({"alpha": "one"}, "needs `recipe`"),
        ({"recipe": "disrupt-left", "sign": 1}, "no parameter 'sign'; it has: aligned"),
        ({"recipe": "replace-scale", "alpha": "two"}, "one of one, matrix, type, global"),
        ({"recipe": "noise", "layers": "3-1"}, "such as 0-3,7"),
        ({"recipe": "noise", "layers": "a"}, "such as 0-3,7"),
        ({"recipe": "noise", "matrices": [1]}, "give matrix types"),
        ({"recipe": "noise", "of": "noise"}, "the noise control itself"),
        ({"recipe": "disrupt-left", "of": "base"}, "it must be post or noise"),
    ):
        with pytest.raises((PlanError, RecipeError), match=message):
            read_plan(described)


def test_plans_survive_being_written_down() -> None:
    described = [
        *DEFAULT_RECIPES,
        {"recipe": "replace-scale", "alpha": "type", "matrices": ["q", "k"], "layers": "0-3,7"},
        {"recipe": "disrupt-right", "aligned": False, "of": "noise"},
        {"recipe": "band", "band": "middle", "k": 4},
        {"recipe": "prescale", "factor": 1.25, "matrices": "o,down"},
        {"recipe": "interpolate", "t": -0.5},
    ]
    plans = [read_plan(item) for item in described]
    for plan in plans:
        assert read_plan(json.loads(json.dumps(plan.as_json()))) == plan
    names = [plan.edit_id("model", "hash") for plan in plans]
    assert len(set(names)) == len(names)
    assert names == [plan.edit_id("model", "hash") for plan in plans]
    assert [plan.edit_id("model", "other") for plan in plans] != names
    assert names[-5].startswith("model--replace-scale-type-q+k-layers0-3+7-")
    assert read_layers("7,0-2, 1") == (0, 1, 2, 7)


def test_disruptive_plans_bring_their_controls() -> None:
    plans = plans_of(["disrupt-left", {"recipe": "disrupt-left", "matrices": "q"}])
    assert [plan.label for plan in plans] == [
        "disrupt-left",
        "disrupt-left-of-noise",
        "noise",
        "disrupt-left-q",
        "disrupt-left-q-of-noise",
        "noise-q",
    ]
    assert [plan.is_control for plan in plans] == [False, True, True] * 2
    assert len({plan.label for plan in default_plans()}) == len(default_plans())
    assert isinstance(plans[0].control, EditPlan)


def test_a_scoped_edit_knows_its_control_and_what_it_undoes_by_their_scope() -> None:
    scope = {"matrices": "q", "layers": "0-1"}
    broken = read_plan({"recipe": "disrupt-left", **scope})
    restored = read_plan({"recipe": "restore-left", **scope})
    assert restored.undone == broken
    assert broken.control == read_plan({"recipe": "disrupt-left", "of": "noise", **scope})
    assert broken.undone is restored.control is None
    assert read_plan({"recipe": "disrupt-left", "aligned": False}).label == "disrupt-left-unaligned"


def test_parameters_that_stretch_a_recipes_meaning_are_said_to(
    llama: tuple[Path, Path], store: FactorStore, tmp_path: Path
) -> None:
    build(llama, store, tmp_path / "out", {"recipe": "interpolate", "t": 3, "matrices": "q"})
    manifest = json.loads((tmp_path / "out" / "edit.json").read_text())["manifest"]
    assert "extrapolates" in manifest["note"]
