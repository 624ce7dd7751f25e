"""What a recipe is, and the one place where all of them are known by name.

A recipe says how the new weight of one matrix follows from the pair (base, post). Each file of this package registers
its own with `@recipe(...)`; the command line, the family files, the assets and the documentation all read the
registry, so that a new recipe is one new file and one import in `__init__`.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from rotoscale.errors import RotoscaleError


class RecipeError(RotoscaleError):
    """A recipe, or one of its parameters, that does not exist or has a value that cannot be used."""


@dataclass(frozen=True)
class Parameter:
    """One setting of a recipe."""

    name: str
    kind: Literal["number", "count", "flag", "choice"]
    text: str
    default: Any = None
    """None where the recipe finds the value itself, or where `required`."""
    choices: tuple[str, ...] = ()
    required: bool = False

    def read(self, value: Any) -> Any:
        """The value in its own type.

        Raises RecipeError saying what it may be.
        """
        if self.kind == "choice" and value in self.choices:
            return value
        if self.kind == "flag" and isinstance(value, bool):
            return value
        if self.kind in ("number", "count") and not isinstance(value, bool):
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = math.nan
            if self.kind == "number" and math.isfinite(number):
                return number
            if self.kind == "count" and number >= 1 and number == int(number):
                return int(number)
        raise RecipeError(f"{self.name} is {value!r}; it must be {self.expected}")

    @property
    def expected(self) -> str:
        """What a value may be, for messages and help texts."""
        words = {"number": "a finite number", "count": "a whole number of at least 1", "flag": "true or false"}
        return words.get(self.kind) or "one of " + ", ".join(self.choices)


@dataclass(frozen=True)
class Recipe:
    """One way to make a new weight from a pair.

    apply: called with a MatrixPair and every parameter by name; `alpha`, where there is one, arrives as the number
        that the policy gives for this matrix, and `seed` as this matrix's own.
    around: whose other tensors stand around the edited matrices, and keep theirs outside the scope.
    disruptive: it breaks something on purpose, so that it proves something only beside the same edit of noise.
    """

    name: str
    formula: str
    text: str
    apply: Callable[..., torch.Tensor]
    around: Literal["base", "post"]
    parameters: tuple[Parameter, ...] = ()
    uses_factors: bool = True
    disruptive: bool = False
    seeded: bool = False
    matrices: tuple[str, ...] | None = None
    """Matrix types edited unless others are asked for; None means all."""

    @property
    def takes_alpha(self) -> bool:
        """Whether a scale factor enters, chosen by one of the policies of METHODS 3."""
        return any(parameter.name == "alpha" for parameter in self.parameters)

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters with their values, defaults filled in.

        Raises RecipeError naming the parameter and what there is.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                there = ", ".join(known) or "none"
                raise RecipeError(f"the recipe {self.name} has no parameter {name!r}; it has: {there}")
        values = {}
        for name, parameter in known.items():
            if given.get(name) is not None:
                values[name] = parameter.read(given[name])
            elif parameter.required:
                raise RecipeError(f"the recipe {self.name} needs {name}: {parameter.expected} ({parameter.text})")
            else:
                values[name] = parameter.default
        return values


RECIPES: dict[str, Recipe] = {}
"""Every recipe by name, in the order of METHODS 3, then those beyond the paper."""


def recipe(
    name: str, formula: str, *, around: Literal["base", "post"], parameters: Iterable[Parameter] = (), **traits: Any
) -> Callable[[Callable[..., torch.Tensor]], Callable[..., torch.Tensor]]:
    """Register a function as a recipe; the first paragraph of its docstring explains it to users."""

    def register(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        text = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        RECIPES[name] = Recipe(name, formula, text, function, around, tuple(parameters), **traits)
        return function

    return register


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises RecipeError listing what there is.
    """
    if name in RECIPES:
        return RECIPES[name]
    close = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise RecipeError(f"there is no recipe {name!r}.{hint} There are: {', '.join(RECIPES)}.")
