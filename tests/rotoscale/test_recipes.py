"""Recipes against independent float64 numpy constructions, and against what must hold of any pair.

The formulas are those of docs/methods.md, section 3.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from rotoscale import MatrixError, MatrixPair, decompose, nearest_rotation
from rotoscale.recipes import (
    POLICIES,
    RECIPES,
    Parameter,
    RecipeError,
    find_recipe,
    least_squares_alpha,
    noise_control,
    policy_alphas,
    undone_by,
)
from rotoscale.recipes.alpha import ALPHA
from rotoscale.recipes.registry import recipe

SHAPES = [(24, 24), (12, 40), (40, 12)]


def pair_of(base: np.ndarray, post: np.ndarray) -> MatrixPair:
    W_base, W_post = torch.from_numpy(base.copy()), torch.from_numpy(post.copy())
    return MatrixPair(W_base, W_post, decompose(W_base), decompose(W_post))


def drawn(shape: tuple[int, int], step: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A base, and a post that is a Gaussian perturbation of the given relative norm away."""
    random = np.random.default_rng(seed)
    base, noise = random.normal(size=shape), random.normal(size=shape)
    return base, base + noise * step * np.linalg.norm(base) / np.linalg.norm(noise)


def conditioned(shape: tuple[int, int], step: float) -> tuple[np.ndarray, np.ndarray]:
    """The same around a base without small singular values, where A + B cannot be singular and every Q is unique."""
    base, post = drawn(shape, step)
    U, s, Vt = np.linalg.svd(base, full_matrices=False)
    lifted = (U * np.linspace(3, 1, len(s))) @ Vt
    return lifted, lifted + post - base


def distance(found: torch.Tensor, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found.numpy() - expected) / np.linalg.norm(expected))


def polar(X: np.ndarray) -> np.ndarray:
    U, _, Vt = np.linalg.svd(X)
    return U @ Vt


class Svd:
    """LAPACK's own SVDs of a pair, whose signs have nothing to do with ours."""

    def __init__(self, base: np.ndarray, post: np.ndarray) -> None:
        self.Ub, self.sb, Vbt = np.linalg.svd(base, full_matrices=False)
        self.Up, self.sp, Vpt = np.linalg.svd(post, full_matrices=False)
        self.Vb, self.Vp = Vbt.T, Vpt.T
        self.A, self.B = self.Ub.T @ self.Up, self.Vb.T @ self.Vp
        self.alpha = float(self.sb @ self.sp / (self.sb @ self.sb))
        self.signs = np.where(np.diag(self.A) < 0, -1.0, 1.0)


Independent = Callable[[Svd], np.ndarray]
CONSTRUCTIONS: dict[str, tuple[dict[str, object], Independent]] = {
    "replace-scale": ({"alpha": 1.3}, lambda d: d.Up @ np.diag(1.3 * d.sb) @ d.Vp.T),
    "disrupt-left": ({"aligned": True}, lambda d: (d.Ub * d.signs) @ np.diag(d.sp) @ d.Vp.T),
    "disrupt-right": ({"aligned": True}, lambda d: d.Up @ np.diag(d.sp) @ (d.Vb * d.signs).T),
    "restore-left": ({}, lambda d: d.Ub @ polar(d.B) @ np.diag(d.sp) @ d.Vp.T),
    "restore-right": ({}, lambda d: d.Up @ np.diag(d.sp) @ (d.Vb @ polar(d.A)).T),
    "formula": (
        {"alpha": 0.9},
        lambda d: d.Ub @ polar(d.A + d.B) @ np.diag(0.9 * d.sb) @ (d.Vb @ polar(d.A + d.B)).T,
    ),
    "rotate-only": ({}, lambda d: d.Up @ np.diag(d.sb) @ d.Vp.T),
    "scale-only": ({}, lambda d: d.Ub @ np.diag(d.sp) @ d.Vb.T),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_weights_agree_with_an_independent_construction(name: str, shape: tuple[int, int]) -> None:
    base, post = conditioned(shape, 0.05)
    arguments, construct = CONSTRUCTIONS[name]
    found = find_recipe(name).apply(pair_of(base, post), **arguments)
    assert distance(found, construct(Svd(base, post))) < 1e-7


@pytest.mark.parametrize("shape", SHAPES)
def test_the_trap_of_random_signs(shape: tuple[int, int]) -> None:
    """Of a post that is noise away, the unaligned break is a ruin, the restored one as near as the base.

    The trap of docs/methods.md, section 3.
    """
    base, post = drawn(shape, 0.005, seed=3)
    random = np.random.default_rng(0)
    pair = pair_of(base, post)
    # The signs of an SVD are free: give the base's components random ones, as another library might have.
    flips = torch.from_numpy(random.choice([-1.0, 1.0], size=min(shape)))
    factors = decompose(torch.from_numpy(base))
    long = factors.long_vectors(torch.from_numpy(base)) * flips
    other = type(factors)(shape, factors.singular_values, factors.short * flips, long, "flipped", 0.0, 0.0)
    flipped = MatrixPair(pair.base, pair.post, other, decompose(torch.from_numpy(post)))
    error = {}
    for side in ("left", "right"):
        aligned, same = (find_recipe(f"disrupt-{side}").apply(p, aligned=True) for p in (pair, flipped))
        assert distance(same, aligned.numpy()) < 1e-9
        error["aligned"] = distance(aligned, post)
        error["unaligned"] = distance(find_recipe(f"disrupt-{side}").apply(flipped, aligned=False), post)
        error["restored"] = distance(find_recipe(f"restore-{side}").apply(flipped), post)
        assert error["unaligned"] > 0.7
        assert error["aligned"] < 0.5 * error["unaligned"]
        assert error["restored"] < 0.006 < 0.009 < error["aligned"]


@pytest.mark.parametrize("shape", SHAPES)
def test_own_scale_reproduces_the_post(shape: tuple[int, int]) -> None:
    base, post = drawn(shape, 0.1)
    own = pair_of(post, post)
    for name, arguments in (("replace-scale", {"alpha": 1.0}), ("restore-left", {}), ("formula", {"alpha": 1.0})):
        assert distance(find_recipe(name).apply(own, **arguments), post) < 1e-9
    scaled = pair_of(base, 1.7 * base)
    alpha = least_squares_alpha(*scaled.spectra)
    assert alpha == pytest.approx(1.7, abs=1e-12)
    assert distance(find_recipe("replace-scale").apply(scaled, alpha=alpha), 1.7 * base) < 1e-9
    assert distance(find_recipe("scale-only").apply(scaled), 1.7 * base) < 1e-9


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shared_rotation_and_scale_are_undone_exactly(shape: tuple[int, int]) -> None:
    """A post that is He and Cao's formula to the letter: what restores, and the formula itself, are the post."""
    base, _ = drawn(shape, 0.0)
    U, s, Vt = np.linalg.svd(base, full_matrices=False)
    Q = polar(np.eye(len(s)) + 0.2 * np.random.default_rng(5).normal(size=(len(s), len(s))))
    post = (U @ Q) @ np.diag(1.2 * s) @ (Vt.T @ Q).T
    pair = pair_of(base, post)
    for name in ("restore-left", "restore-right"):
        assert distance(find_recipe(name).apply(pair), post) < 1e-8
    assert distance(find_recipe("formula").apply(pair, alpha=1.2), post) < 1e-8
    assert distance(find_recipe("disrupt-left").apply(pair, aligned=True), post) > 0.1


def test_noise_has_the_norm_of_the_change_and_is_seeded() -> None:
    base, post = drawn((20, 30), 0.08)
    noise = find_recipe("noise")
    pair = pair_of(base, post)
    first, again, other = (noise.apply(pair, seed=seed).numpy() for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert np.linalg.norm(first - base) == pytest.approx(np.linalg.norm(post - base), rel=1e-5)
    assert np.array_equal(first.astype(np.float32).astype(np.float64), first)
    unchanged = MatrixPair(torch.from_numpy(base), torch.from_numpy(base))
    assert np.array_equal(noise.apply(unchanged, seed=1).numpy(), base)


def test_interpolation_and_prescaling() -> None:
    base, post = drawn((9, 7), 0.3)
    pair = MatrixPair(torch.from_numpy(base), torch.from_numpy(post))
    for t in (0.0, 0.25, 1.0, 1.5):
        assert distance(find_recipe("interpolate").apply(pair, t=t), (1 - t) * base + t * post) < 1e-14
    assert distance(find_recipe("prescale").apply(pair, factor=1.5), 1.5 * base) == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_bands_are_parts_of_the_change(shape: tuple[int, int]) -> None:
    base, post = drawn(shape, 0.2)
    pair, d, change = pair_of(base, post), Svd(base, post), post - base
    r = min(shape)
    k = r // 3
    band = find_recipe("band").apply
    slices = {"top": slice(0, k), "middle": slice((r - k) // 2, (r - k) // 2 + k), "bottom": slice(r - k, r)}
    for name, chosen in slices.items():
        found = band(pair, band=name, k=k)
        if shape[0] < shape[1]:
            expected = base + d.Ub[:, chosen] @ d.Ub[:, chosen].T @ change
        else:
            expected = base + change @ d.Vb[:, chosen] @ d.Vb[:, chosen].T
        assert distance(found, expected) < 1e-9
        part = found.numpy() - base
        assert np.linalg.matrix_rank(part, tol=1e-8) <= k
        assert np.linalg.norm(part) <= np.linalg.norm(change)
    assert distance(band(pair, band="middle", k=r), post) < 1e-9
    parts = sum(band(pair, band=name, k=r // 3).numpy() - base for name in slices)
    if 3 * (r // 3) == r:
        assert np.allclose(parts, change)
    with pytest.raises(MatrixError, match="wider than the matrix's rank"):
        band(pair, band="top", k=r + 1)


UNLIKE = ("noise", "prescale", "interpolate", "band", "shrink-intruders")
"""Recipes that do not compose one model's components anew."""


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in UNLIKE])
def test_components_without_vectors_stay_as_they_are(name: str) -> None:
    """A post of higher rank than its base (an adapter on a pruned matrix): only the shared components are edited."""
    random = np.random.default_rng(2)
    base = random.normal(size=(16, 5)) @ random.normal(size=(5, 24))
    post = base + 0.01 * random.normal(size=(16, 3)) @ random.normal(size=(3, 24))
    d = Svd(base, post)
    arguments = {"alpha": 1.0} if find_recipe(name).takes_alpha else {}
    pair = pair_of(base, post)
    assert pair.rank == 5
    found = find_recipe(name).apply(pair, **arguments)
    assert torch.isfinite(found).all()
    # What the recipe does not replace is the post's own remainder, or of a changed base its own, which is nothing.
    rest = d.Up[:, 5:] @ np.diag(d.sp[5:]) @ d.Vp[:, 5:].T if find_recipe(name).around == "post" else 0 * base
    assert np.linalg.matrix_rank(found.numpy() - rest, tol=1e-6) == 5
    if name == "replace-scale":
        assert distance(found, (d.Up[:, :5] * d.sb[:5]) @ d.Vp[:, :5].T + rest) < 1e-7


def test_zero_and_degenerate_matrices() -> None:
    zero = np.zeros((6, 8))
    _, post = drawn((6, 8), 0.1)
    for name in ("replace-scale", "disrupt-left", "restore-left", "formula", "rotate-only"):
        arguments = {"alpha": 1.0} if find_recipe(name).takes_alpha else {}
        found = find_recipe(name).apply(pair_of(zero, post), **arguments)
        expected = zero if find_recipe(name).around == "base" else post
        assert np.allclose(found.numpy(), expected)


@pytest.mark.parametrize("degenerate", [False, True])
def test_restoring_needs_no_svd_to_be_checked(degenerate: bool) -> None:
    """With V a whole basis, `(U_b Q) S_p V_p^T = polar(W_b) (W_p^T W_p)^(1/2)`: no signs, no multiplicities."""
    base, post = conditioned((20, 12), 0.3)
    if degenerate:
        base = np.linalg.qr(base)[0] * 2.0
        post = base @ np.diag([1.5] * 6 + [0.5] * 6)
    U, _, Vt = np.linalg.svd(base, full_matrices=False)
    values, vectors = np.linalg.eigh(post.T @ post)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    assert distance(find_recipe("restore-left").apply(pair_of(base, post)), U @ Vt @ root) < 1e-8


def test_shared_rotation_agrees_with_an_svd_even_where_a_direction_is_lost() -> None:
    random = np.random.default_rng(0)
    U, V = polar(random.normal(size=(12, 12))), polar(random.normal(size=(12, 12)))
    for smallest in (0.9, 1e-3, 1e-9):
        X = U @ np.diag(np.linspace(1.0, smallest, 12)) @ V.T
        found = nearest_rotation(torch.from_numpy(X)).numpy()
        assert np.allclose(found.T @ found, np.eye(12), atol=1e-10)
        if smallest > 1e-6:
            assert np.allclose(found, U @ V.T, atol=1e-8)
    assert np.allclose(nearest_rotation(torch.from_numpy(2 * U), bound=2.0).numpy(), U)


def test_alpha_policies() -> None:
    own = {("q", 0): 1.2, ("q", 1): 1.0, ("o", 0): 0.5}
    types = {key: key[0] for key in own}
    assert policy_alphas("matrix", own, types) == own
    assert policy_alphas("one", own, types) == dict.fromkeys(own, 1.0)
    assert policy_alphas("type", own, types) == {("q", 0): 1.1, ("q", 1): 1.1, ("o", 0): 0.5}
    assert policy_alphas("global", own, types) == dict.fromkeys(own, pytest.approx(0.9))
    with pytest.raises(RecipeError, match="one, matrix, type, global"):
        policy_alphas("median", own, types)
    assert set(POLICIES) == {"one", "matrix", "type", "global"}
    assert least_squares_alpha(torch.zeros(3), torch.ones(3)) == 1.0


def test_what_does_not_exist_is_named_with_what_does() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'disrupt-lef'. Did you mean disrupt-left\? There are: replace"):
        find_recipe("disrupt-lef")
    with pytest.raises(RecipeError, match="no parameter 'beta'; it has: alpha"):
        find_recipe("replace-scale").read({"beta": 1})
    with pytest.raises(RecipeError, match="needs factor: a finite number"):
        find_recipe("prescale").read({})
    for name, given in (("interpolate", {"t": "x"}), ("interpolate", {"t": float("inf")}), ("band", {"k": 0})):
        with pytest.raises(RecipeError, match="it must be"):
            find_recipe(name).read(given)
    assert find_recipe("band").read({"k": "3"}) == {"band": "top", "k": 3}
    with pytest.raises(MatrixError, match="needs the factors"):
        find_recipe("disrupt-left").apply(MatrixPair(torch.eye(3), torch.eye(3)))
    with pytest.raises(MatrixError, match="differ"):
        MatrixPair(torch.eye(3), torch.eye(4))


def test_every_recipe_explains_itself() -> None:
    for one in RECIPES.values():
        assert one.text.endswith(".")
        assert one.question.endswith("?")
        assert one.formula
        assert one.around in ("base", "post")
        assert one.undoes is None or undone_by(one.undoes) == (one.name,)
        for settings in one.by_default:
            one.read(settings)
    assert [name for name, one in RECIPES.items() if one.needs_control] == ["disrupt-left", "disrupt-right"]
    assert {name: one.undoes for name, one in RECIPES.items() if one.undoes} == {
        "restore-left": "disrupt-left",
        "restore-right": "disrupt-right",
    }
    assert noise_control().name == "noise"
    assert [one.order for one in RECIPES.values()] == sorted(one.order for one in RECIPES.values())


def test_what_a_recipe_is_can_be_known_without_torch() -> None:
    program = "import rotoscale.recipes, sys; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.fixture
def registry() -> Iterator[None]:
    """The registry, put back after the test."""
    before = dict(RECIPES)
    yield
    RECIPES.clear()
    RECIPES.update(before)


@pytest.mark.usefixtures("registry")
def test_a_recipe_that_cannot_be_told_from_others_is_refused() -> None:
    def declare(name: str, *parameters: Parameter) -> None:
        recipe(name, "W_b", question="?", order=5, around="base", parameters=parameters)(lambda pair: pair.base)

    declare("first", ALPHA)
    assert next(iter(RECIPES)) == "first"
    for name, parameters, words in (
        ("noise", (), "two recipes 'noise'"),
        ("second", (Parameter("t", "count", "something else"),), "'t' of the recipe second means something else"),
        ("second", (Parameter("layers", "count", "how many"),), "cannot have a parameter 'layers'"),
    ):
        with pytest.raises(RecipeError, match=words):
            declare(name, *parameters)


def test_a_point_beyond_the_two_models_is_said_to_be_one() -> None:
    note = find_recipe("interpolate").note
    assert note({"t": 0.0}) == note({"t": 1.0}) == ""
    assert "extrapolates" in note({"t": 3.0})
    assert "extrapolates" in note({"t": -0.5})
