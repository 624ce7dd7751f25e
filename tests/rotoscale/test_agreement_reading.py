"""The reading of each kind of pair, end to end from synthetic matrices: what is said is true, and no more is said."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from rotoscale.agreement import agreement
from rotoscale.agreement_reading import read_pair, rounding_level
from rotoscale.change import tensor_change
from rotoscale.decomposition import decompose
from rotoscale.multiple import corrected
from rotoscale.pair_summary import PairSummary, summarise
from rotoscale.scale import scale_statistics
from tests.rotoscale.known_changes import gaussian, independent_rotations, shared, sized, small_rotation

SHAPES = {"q": (64, 64), "k": (32, 64), "o": (64, 64), "up": (160, 64), "down": (64, 160)}
Post = Callable[[torch.Generator, torch.Tensor], torch.Tensor]


def pair(post: Post, dtype: torch.dtype = torch.float32, layers: int = 4) -> tuple[list[dict[str, Any]], PairSummary]:
    """Rows of a model of five matrix types, as the tables would hold them, and their summary."""
    agreements, others = [], []
    for layer in range(layers):
        for number, (matrix, shape) in enumerate(SHAPES.items()):
            generator = torch.Generator().manual_seed(100 * layer + number)
            W = gaussian(generator, *shape).to(dtype)
            X = post(generator, W.double()).to(dtype)
            base = decompose(W)
            agreements.append(agreement(base, W, X, seed=layer, draws=9_999))
            scale = scale_statistics(base.singular_values, decompose(X).singular_values)
            change = tensor_change(W, X)
            others.append(
                {
                    "matrix": matrix,
                    "relative_change": change.relative_change,
                    "base_norm": change.base_norm,
                    "cosine": change.cosine,
                    "identical_share": change.identical_share,
                    "alpha_least_squares": scale.alpha_least_squares,
                }
            )
    rows = [asdict(row) | other for row, other in zip(corrected(agreements), others, strict=True)]
    return rows, summarise(rows, str(dtype).removeprefix("torch."))


def reading(post: Post, dtype: torch.dtype = torch.float32) -> str:
    _, summary = pair(post, dtype)
    sentences = read_pair(summary)
    assert all(sentence.endswith(".") and "None" not in sentence and "nan" not in sentence for sentence in sentences)
    text = " ".join(sentences)
    assert "proof of rotation" not in text
    return text


def rotated(generator: torch.Generator, W: torch.Tensor, angle: float = 0.05) -> torch.Tensor:
    base = decompose(W)
    Q = small_rotation(generator, len(base.singular_values), angle)
    return 0.98 * (base.left(W) @ Q * base.singular_values) @ (base.right(W) @ Q).T


def test_identical() -> None:
    text = reading(lambda generator, W: W)
    assert text == "The principal matrices are identical in both models: nothing was changed there."


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("alpha", "decay"), [(1.5, False), (0.95, True)])
def test_merely_scaled(dtype: torch.dtype, alpha: float, decay: bool) -> None:
    text = reading(lambda generator, W: alpha * W, dtype)
    assert f"merely scaled, by {alpha:.4f}"[:24] in text
    assert ("weight decay" in text) == decay
    assert "cannot be compared" in text
    assert "changed together" not in text


def test_scaled_with_noise_is_not_merely_scaled() -> None:
    text = reading(lambda generator, W: 0.95 * W + sized(gaussian(generator, *W.shape), W, 0.01))
    assert "merely" not in text
    assert "makes 96" in text  # 0.05^2 / (0.05^2 + 0.01^2)
    assert "In none of 20 matrices were left and right shown to change together" in text


def test_unrelated() -> None:
    text = reading(lambda generator, W: gaussian(generator, *W.shape))
    assert "as they are stored, have nothing in common" in text
    assert "was not tested; `rotoscale lineage` tests it" in text
    assert "changed together" not in text


def test_what_looks_unrelated_has_the_verdict_of_lineage() -> None:
    found = replace(summarise([]), matrices=4, changed=4, cosine=0.003)
    assert found.looks_unrelated
    text = " ".join(read_pair(replace(found, lineage="related", lineage_reason="The neurons say so.")))
    assert "Lineage: related. The neurons say so." in text
    assert "not tested" not in text
    assert not replace(found, cosine=0.2).looks_unrelated


def test_a_change_no_larger_than_rounding() -> None:
    text = reading(lambda generator, W: W + sized(gaussian(generator, *W.shape), W, 0.001), torch.bfloat16)
    assert "what storing weights in bfloat16 leaves" in text
    assert "bit-identical" in text
    assert "In none of 20 matrices" in text


@pytest.mark.parametrize("size", [1e-4, 1e-2])
def test_noise(size: float) -> None:
    text = reading(lambda generator, W: W + sized(gaussian(generator, *W.shape), W, size))
    assert "In none of 20 matrices were left and right shown to change together" in text
    assert "agreement too weak to be shown" in text


@pytest.mark.parametrize("angle", [1e-3, 0.05])
def test_he_and_cao_s_formula(angle: float) -> None:
    text = reading(lambda generator, W: rotated(generator, W, angle))
    assert "changed together in 20 of 20 matrices" in text
    assert "about as closely as He and Cao's formula has it" in text
    assert "In 20 of the 20 it remains after gains" in text
    assert "changing together is no proof of it" in text


def test_a_weak_agreement_is_called_weak_or_counted() -> None:
    rows, summary = pair(lambda generator, W: W + shared(0.15)(generator, W, decompose(W)))
    called = sum(row["tau"] > 0.05 and row["q_together"] < 0.05 for row in rows)
    assert summary.together == called > 10
    text = " ".join(read_pair(summary))
    assert f"changed together in {called} of 20 matrices" in text
    assert "formula has it" not in text


def test_gains_do_not_remain() -> None:
    def gained(generator: torch.Generator, W: torch.Tensor) -> torch.Tensor:
        return W * (1 + 0.02 * gaussian(generator, W.shape[0], 1)) + sized(gaussian(generator, *W.shape), W, 0.005)

    text = reading(gained)
    assert "changed together in 20 of 20 matrices" in text
    assert "In 0 of the 20 it remains after gains of rows and columns" in text


def test_apart() -> None:
    text = reading(lambda generator, W: W + independent_rotations(generator, W, decompose(W)))
    assert "they changed apart, each side in its own way" in text
    assert "In none of 20 matrices were left and right shown to change together" in text


def test_the_change_of_several_matrices_is_that_of_one_vector() -> None:
    def much_of_small_ones(generator: torch.Generator, W: torch.Tensor) -> torch.Tensor:
        return W + sized(gaussian(generator, *W.shape), W, 0.3 if W.numel() < 64 * 64 else 0.01)

    rows, summary = pair(much_of_small_ones)
    squares = sum((row["relative_change"] * row["base_norm"]) ** 2 for row in rows)
    whole = (squares / sum(row["base_norm"] ** 2 for row in rows)) ** 0.5
    assert summary.relative_change == pytest.approx(whole)
    assert whole > 2 * statistics.median(row["relative_change"] for row in rows)
    assert read_pair(summary)[0].startswith(f"The weights changed by {100 * whole:.3g} % (|post - base| / |base|;")


def test_only_some_matrices_changed() -> None:
    def some(generator: torch.Generator, W: torch.Tensor) -> torch.Tensor:
        return W + sized(gaussian(generator, *W.shape), W, 0.01) if W.shape == (64, 64) else W

    _, summary = pair(some)
    assert summary.changed == 8
    assert "in 8 of 20 matrices" in read_pair(summary)[0]
    assert summary.with_tau == 8


def test_what_was_not_measured_is_said() -> None:
    rows, _ = pair(rotated)
    few = [{name: row[name] for name in ("tau", "q_together", "q_apart", "depth")} for row in rows]
    sentences = read_pair(summarise(few))
    assert sentences[0] == "The weights changed."
    for unknown in ("related at all", "bit-identical", "the scale", "full depth", "gains of rows and columns"):
        assert unknown in sentences[-1]
    assert read_pair(summarise([])) == ["There are no principal matrices to compare."]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_rounding_level_is_that_of_gaussian_weights(dtype: torch.dtype) -> None:
    W = gaussian(torch.Generator().manual_seed(0), 1000, 1000)
    error = float((W.to(dtype).double() - W).norm() / W.norm())
    assert rounding_level(str(dtype).removeprefix("torch.")) == pytest.approx(error, rel=0.1)
    assert rounding_level("int4") is None
