"""The scale factor alpha' that a recipe gives to the base's spectrum: four policies (docs/methods.md, section 3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, TypeVar

from rotoscale.errors import MatrixError
from rotoscale.recipes.registry import Parameter, RecipeError

if TYPE_CHECKING:
    import torch

Key = TypeVar("Key", bound=Hashable)

POLICIES = ("one", "matrix", "type", "global")

ALPHA = Parameter(
    "alpha",
    "choice",
    "scale factor of the base's singular values: 1, least squares of each matrix, its mean over the layers of a "
    "matrix type, or its mean over all matrices",
    default="matrix",
    choices=POLICIES,
)


def least_squares_alpha(s_base: torch.Tensor, s_post: torch.Tensor) -> float:
    """`<s_b, s_p> / |s_b|^2` (docs/methods.md, section 1); 1.0 for a zero base, which any factor leaves zero."""
    from rotoscale.scale import scale_statistics

    alpha = scale_statistics(s_base, s_post).alpha_least_squares
    return 1.0 if alpha is None else alpha


def policy_alphas(policy: str, least_squares: Mapping[Key, float], types: Mapping[Key, str]) -> dict[Key, float]:
    """The scale factor of every matrix under a policy (docs/methods.md, section 3).

    least_squares: each matrix's own factor, over all matrices of the model whatever is edited, so that a matrix is
        given the same factor in every scope. types: the type (q, k, ...) of each. Means are plain, over matrices.

    Raises RecipeError for an unknown policy, MatrixError when there is no matrix to take a mean of.
    """
    if policy not in POLICIES:
        raise RecipeError(f"alpha is {policy!r}; it must be one of {', '.join(POLICIES)}")
    if not least_squares:
        raise MatrixError("no matrix to take a scale factor from")
    if policy == "one":
        return dict.fromkeys(least_squares, 1.0)
    if policy == "matrix":
        return dict(least_squares)
    groups: dict[str, list[float]] = defaultdict(list)
    for key, value in least_squares.items():
        groups[types[key] if policy == "type" else ""].append(value)
    means = {name: sum(values) / len(values) for name, values in groups.items()}
    return {key: means[types[key] if policy == "type" else ""] for key in least_squares}
