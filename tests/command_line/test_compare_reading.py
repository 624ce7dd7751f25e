"""What `rotoscale compare` says at its end of pairs whose truth is known, from the files to the sentences."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from command_line.commands.compare import compare
from resources.warehouse import read
from resources.warehouse.pair_rows import pair_sentences, read_pair_rows
from tests.attacks import load, permuted_heads, permuted_neurons, rescaled

Change = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def noise(W: torch.Tensor, generator: torch.Generator, size: float) -> torch.Tensor:
    G = torch.randn(W.shape, generator=generator, dtype=torch.float64)
    return G * (size * W.norm() / G.norm())


def rotated(W: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """He and Cao's formula exactly: both sides by one rotation, and a scale."""
    U, s, Vh = torch.linalg.svd(W, full_matrices=False)
    X = torch.randn(len(s), len(s), generator=generator, dtype=torch.float64)
    Q = torch.matrix_exp((X - X.T) * 0.02)
    return (U @ Q * (1.02 * s)) @ (Vh.T @ Q).T


KNOWN: dict[str, tuple[Change, list[str], list[str]]] = {
    "rotation": (
        rotated,
        ["changed together in 21 of 21", "as closely as He and Cao's formula"],
        ["changed apart", "merely scaled", "nothing was changed"],
    ),
    "multiple": (
        lambda W, g: 1.5 * W,
        ["merely scaled, by 1.5000", "cannot be compared"],
        ["changed together", "weight decay", "the vectors are unchanged"],
    ),
    "decayed": (
        lambda W, g: 0.95 * W + noise(W, g, 0.01),
        ["One factor per matrix, 0.95", "as plain weight decay would leave", "In none of 21 matrices"],
        ["changed together in", "rotated together", "merely scaled"],
    ),
    "identical": (
        lambda W, g: W,
        ["identical in both models", "all are bit-identical"],
        ["together", "Not known"],
    ),
    "tiny": (
        lambda W, g: W + noise(W, g, 1e-4),
        ["changed by 0.01 %", "In none of 21 matrices"],
        ["changed together in", "unchanged", "identical in both"],
    ),
    "permuted": (
        lambda W, g: W,  # by `reordered`
        ["nothing in common", "Lineage: related.", "in another order than the neurons stand in"],
        ["changed together in", "not tested"],
    ),
    "unrelated": (
        lambda W, g: noise(W, g, 1.0),
        ["nothing in common", "Lineage: unrelated.", "half-and-half"],
        ["changed together in", "One factor per matrix"],
    ),
}


@dataclass(frozen=True)
class Compared:
    """What was printed of a pair (folds removed), its stored sentences, and the rows of --json."""

    printed: str
    sentences: list[str]
    rows: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> dict[str, Compared]:
    folder = tmp_path_factory.mktemp("known")
    tensors = {name: W.float() for name, W in load_file(checkpoints / "base" / "model.safetensors").items()}
    write(folder / "original", checkpoints / "base", tensors)
    found = {}
    for number, (name, (change, _, _)) in enumerate(KNOWN.items()):
        generator = torch.Generator().manual_seed(number)
        principal = {key: W for key, W in tensors.items() if "_proj" in key}
        moved = {key: change(W.double(), generator).float() for key, W in principal.items()}
        if name == "permuted":
            moved = reordered(checkpoints / "base", principal)
        write(folder / name, checkpoints / "base", tensors | moved)
        json_file = folder / f"{name}.json"
        environment = {"ROTOSCALE_DATA": str(folder / "data"), "COLUMNS": "300", "DAGSTER_HOME": ""}
        arguments = [str(folder / "original"), str(folder / name), "--json", str(json_file)]
        result = CliRunner(env=environment).invoke(compare, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        rows = json.loads(json_file.read_text())
        (pair,) = {(row["model_id"], row["base_id"]) for row in rows["agreement"]}
        with read(folder / "data" / "published") as connection:
            sentences = pair_sentences(read_pair_rows(connection, *pair))
        found[name] = Compared(" ".join(result.output.split()), sentences, rows)
    return found


def reordered(base: Path, principal: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same model with its neurons and heads in another order, rescaled."""
    weights = rescaled(permuted_heads(permuted_neurons(load(base))))
    return {key: weights.state[key] for key in principal}


def write(folder: Path, like: Path, tensors: dict[str, torch.Tensor]) -> None:
    shutil.copytree(like, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32", "torch_dtype": "float32"}))
    save_file({name: W.contiguous() for name, W in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("name", KNOWN)
def test_each_kind_of_pair_gets_sentences_that_are_true(compared: dict[str, Compared], name: str) -> None:
    reading = " ".join(compared[name].sentences)
    _, said, unsaid = KNOWN[name]
    for words in said:
        assert words in reading
    for words in (*unsaid, "None", "nan"):
        assert words not in reading


@pytest.mark.parametrize("name", KNOWN)
def test_the_sentences_printed_are_those_of_the_stored_rows(compared: dict[str, Compared], name: str) -> None:
    assert " ".join(compared[name].sentences) in compared[name].printed


def test_the_rows_of_agreement_are_written_under_the_contract_s_names(compared: dict[str, Compared]) -> None:
    rows = compared["rotation"].rows
    assert len(rows["agreement"]) == 21
    for row in rows["agreement"]:
        assert row["tau"] == pytest.approx(1, abs=1e-4)
        assert row["q_together"] < 0.05 < row["q_apart"]
        assert row["depth"] == "full"
        assert row["share_outside"] == pytest.approx(0, abs=1e-9)
    rows = compared["multiple"].rows
    assert all(row["tau"] is row["q_together"] is None for row in rows["agreement"])
    rows = compared["decayed"].rows
    # Most of the change is one factor: its ratio spreads far less than noise of the same size would make it.
    assert median(row["ratio_cv"] / row["ratio_cv_noise"] for row in rows["scale_statistics"]) < 0.5
    assert all(row["nf_null_simulated"] is None for row in rows["rotation_statistics"])
