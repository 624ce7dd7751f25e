"""Recipes for edited weights: one change put back, broken, or taken alone (docs/methods.md, section 3).

    from rotoscale import MatrixPair, decompose
    from rotoscale.recipes import find_recipe

    pair = MatrixPair(W_base, W_post, decompose(W_base), decompose(W_post))
    W = find_recipe("disrupt-left").apply(pair, aligned=True)        # m x n, float64

Adding one: a new file here with `@recipe(...)` on a function. It is found by itself; its options, help texts, labels,
place in every list and the sentences about its scores follow from what it declares. What a recipe is can be known
without torch, which only its arithmetic loads.
"""

from importlib import import_module
from pkgutil import iter_modules

from rotoscale.recipes.alpha import POLICIES, least_squares_alpha, policy_alphas
from rotoscale.recipes.registry import (
    RECIPES,
    Parameter,
    Recipe,
    RecipeError,
    find_recipe,
    noise_control,
    parameters_of_all,
    undone_by,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "POLICIES",
    "RECIPES",
    "Parameter",
    "Recipe",
    "RecipeError",
    "find_recipe",
    "least_squares_alpha",
    "noise_control",
    "parameters_of_all",
    "policy_alphas",
    "undone_by",
]
