"""Pairs of checkpoints in any two layouts: the same weights differ by exactly nothing, the rest is accounted for."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_zoo import EXPERTS, Example, example
from safetensors.torch import load_file, save_file

from assets.groups import open_workspace
from assets.structure.comparison import compare_pair
from resources.checkpoints import open_checkpoint
from resources.families import register_local
from resources.settings import Settings
from rotoscale.errors import MatrixError

Zoo = Callable[[str], Example]
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def compare(tmp_path: Path) -> Callable[[Path, Path], Rows]:
    """Compare two folders through a workspace of its own."""

    def rows(base: Path, post: Path) -> Rows:
        settings = Settings(data=tmp_path / "data", families=tmp_path / "no-families")
        first, second = register_local(settings.local_families, str(base), str(post), shipped=[settings.families])
        space = open_workspace(settings)
        for entry in (first, second):
            ready = {"model_id": entry.id, "status": "ready", "content_hash": "not asked for here"}
            space.tables.write("models", entry.id, [ready], run_id="test", code_version="test")
        return compare_pair(space, first.id, second.id)

    return rows


def assert_exactly_the_same(rows: Rows) -> None:
    for row in rows["rotation_statistics"]:
        assert (row["nf"], row["relative_change"], row["base_error"], row["leak"]) == (0, 0, 0, 0)
    for row in rows["scale_statistics"]:
        assert (row["alpha_median"], row["alpha_least_squares"], row["alpha_frobenius"]) == (1, 1, 1)
    for row in rows["tensor_changes"]:
        assert (row["relative_change"], row["identical_share"], row["largest_change"]) == (0, 1, 0)
        assert row["cosine"] == pytest.approx(1, abs=1e-15)


def states(rows: Rows) -> set[str]:
    return {row["state"] for row in rows["coverage"]}


@pytest.mark.parametrize("name", ["llama", "phi3", "gpt_neox", "gpt2"])
def test_the_same_weights_in_shards_are_exactly_the_same(
    zoo: Zoo, tmp_path: Path, compare: Callable[[Path, Path], Rows], name: str
) -> None:
    zoo(name).model.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    rows = compare(zoo(name).path, tmp_path / "shards")
    assert_exactly_the_same(rows)
    assert states(rows) == {"analysed", "skipped"}
    assert len(rows["rotation_statistics"]) == len(open_checkpoint(zoo(name).path).matrices())


def test_tied_and_untied_copies_are_exactly_the_same(
    zoo: Zoo, tmp_path: Path, compare: Callable[[Path, Path], Rows]
) -> None:
    tensors = load_file(zoo("llama_tied").path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    untied = tmp_path / "untied"
    untied.mkdir()
    save_file(tensors, untied / "model.safetensors")
    config = json.loads((zoo("llama_tied").path / "config.json").read_text())
    (untied / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    for pair in ((zoo("llama_tied").path, untied), (untied, zoo("llama_tied").path)):
        rows = compare(*pair)
        assert_exactly_the_same(rows)
        assert states(rows) == {"analysed", "skipped"}
        assert "lm_head.weight" in {row["tensor"] for row in rows["tensor_changes"]}


def test_stacked_experts_are_exactly_the_same_as_separate_ones(
    zoo: Zoo, tmp_path: Path, compare: Callable[[Path, Path], Rows]
) -> None:
    zoo("mixtral").model.save_pretrained(tmp_path / "stacked", save_original_format=False)
    rows = compare(zoo("mixtral").path, tmp_path / "stacked")
    assert_exactly_the_same(rows)
    assert states(rows) == {"analysed", "skipped"}
    assert {row["expert"] for row in rows["rotation_statistics"]} == {-1, *range(EXPERTS)}


@pytest.mark.parametrize("name", ["mixtral", "llama4"])
def test_every_expert_is_compared_and_agrees_with_numpy(
    zoo: Zoo, tmp_path: Path, compare: Callable[[Path, Path], Rows], name: str
) -> None:
    """One fused 3-D tensor is as many matrices as it has experts, in either orientation."""
    post = example(name, tmp_path / "post")
    with torch.no_grad():
        for parameter in post.model.parameters():
            parameter.add_(0.003 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    post.model.save_pretrained(tmp_path / "post")
    rows = compare(zoo(name).path, tmp_path / "post")
    keys = {(key.layer, key.matrix, key.expert): key for key in open_checkpoint(tmp_path / "post").matrices()}
    assert len(rows["rotation_statistics"]) == len(keys)
    for row in rows["rotation_statistics"]:
        key = keys[row["layer"], row["matrix"], row["expert"]]
        W, X = zoo(name).loaded(key).double().numpy(), post.loaded(key).double().numpy()
        U, s, Vh = np.linalg.svd(W, full_matrices=False)
        U2, _, Vh2 = np.linalg.svd(X, full_matrices=False)
        nf = np.linalg.norm((U.T @ U2).T @ (Vh @ Vh2.T) - np.eye(len(s))) / np.sqrt(len(s))
        assert row["nf"] == pytest.approx(nf, abs=1e-4)
        assert row["relative_change"] == pytest.approx(np.linalg.norm(X - W) / np.linalg.norm(W), rel=1e-6)


def test_fp8_weights_are_exactly_what_their_scales_say(
    zoo: Zoo, tmp_path: Path, compare: Callable[[Path, Path], Rows]
) -> None:
    from test_checkpoint_fp8 import _quantize

    meant = _quantize(zoo, "llama", tmp_path / "fp8", "block")
    plain = tmp_path / "plain"
    plain.mkdir()
    save_file(load_file(zoo("llama").path / "model.safetensors") | meant, plain / "model.safetensors")
    shutil.copy(zoo("llama").path / "config.json", plain)
    rows = compare(plain, tmp_path / "fp8")
    assert_exactly_the_same(rows)
    only = {(row["state"], row["reason"]) for row in rows["coverage"] if row["tensor"].endswith("_scale_inv")}
    assert only == {("only_post", "only the post model has it (fp8 scale)")}


def test_a_grown_vocabulary_leaves_the_rest_exactly_the_same_and_compares_common_rows(
    zoo: Zoo, tmp_path: Path, compare: Callable[[Path, Path], Rows]
) -> None:
    model = copy.deepcopy(zoo("llama").model)
    model.resize_token_embeddings(72)
    model.save_pretrained(tmp_path / "grown")
    rows = compare(zoo("llama").path, tmp_path / "grown")
    assert_exactly_the_same(rows)
    grown = {row["tensor"]: row["reason"] for row in rows["coverage"] if row["state"] == "shape"}
    assert set(grown) == {"model.embed_tokens.weight", "lm_head.weight"}
    assert all("64 common rows" in reason for reason in grown.values())


def test_a_tensor_that_only_one_has_is_said_to_be_so(
    zoo: Zoo, tmp_path: Path, compare: Callable[[Path, Path], Rows]
) -> None:
    zoo("llama").model.model.save_pretrained(tmp_path / "headless")
    rows = compare(zoo("llama").path, tmp_path / "headless")
    assert [row["tensor"] for row in rows["coverage"] if row["state"] == "only_base"] == ["lm_head.weight"]


def test_an_unknown_tensor_is_left_unexplained_for_the_asset_check_to_see(
    zoo: Zoo, tmp_path: Path, compare: Callable[[Path, Path], Rows]
) -> None:
    shutil.copytree(zoo("llama").path, tmp_path / "odd")
    tensors = load_file(tmp_path / "odd" / "model.safetensors")
    tensors["model.layers.0.mlp.extra_proj.weight"] = torch.ones(4, 4)
    save_file(tensors, tmp_path / "odd" / "model.safetensors")
    rows = compare(zoo("llama").path, tmp_path / "odd")
    (found,) = [row for row in rows["coverage"] if row["tensor"].endswith("extra_proj.weight")]
    assert "unexplained" in found["reason"]


def test_matrices_of_different_shape_are_named_with_both_shapes(
    zoo: Zoo, compare: Callable[[Path, Path], Rows]
) -> None:
    with pytest.raises(MatrixError, match=r"layers\.0\.\w+ \(\d+, \d+\) against \(\d+, \d+\)"):
        compare(zoo("llama").path, zoo("qwen3").path)
