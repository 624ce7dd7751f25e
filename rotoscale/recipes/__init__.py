"""Recipes for edited weights: one change of the post model put back, broken, or taken alone (METHODS 3).

    from rotoscale import MatrixPair, decompose
    from rotoscale.recipes import find_recipe

    pair = MatrixPair(W_base, W_post, decompose(W_base), decompose(W_post))
    W = find_recipe("disrupt-left").apply(pair, aligned=True)        # m x n, float64

Adding one: a new file here with `@recipe(...)` on a function, imported below.
"""

# Imported for their registration, in the order in which they are listed to users.
from rotoscale.recipes import replace_scale, disrupt, restore, formula, noise  # noqa: F401, I001
from rotoscale.recipes import interpolate, prescale, band, halves  # noqa: F401
from rotoscale.recipes.alpha import POLICIES, least_squares_alpha, policy_alphas
from rotoscale.recipes.registry import RECIPES, Parameter, Recipe, RecipeError, find_recipe

__all__ = [
    "POLICIES",
    "RECIPES",
    "Parameter",
    "Recipe",
    "RecipeError",
    "find_recipe",
    "least_squares_alpha",
    "policy_alphas",
]
