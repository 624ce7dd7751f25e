"""What a recipe is, and the one place where all of them are known by name.

A recipe says how the new weight of one matrix follows from the pair (base, post). Each file of this package registers
its own with `@recipe(...)`, with everything that is to be known of it; the command line, family files, assets, scores
and pages read the registry.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    import torch


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
    opposite: str = ""
    """Of a flag that is on unless told otherwise: the word for it being off."""

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

    def word(self, on: bool) -> str:
        """Of a flag: the word for it being on or off."""
        return self.name if on else self.opposite or f"not-{self.name}"

    @property
    def expected(self) -> str:
        """What a value may be, for messages and help texts."""
        words = {"number": "a finite number", "count": "a whole number of at least 1", "flag": "true or false"}
        return words.get(self.kind) or "one of " + ", ".join(self.choices)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to make a new weight from a pair, and all that is to be known of it."""

    name: str
    formula: str
    text: str
    """What is made, in a sentence."""
    question: str
    """What its scores answer."""
    apply: Callable[..., torch.Tensor]
    """Called with a MatrixPair and every parameter by name; `alpha`, where there is one, arrives as the number that the
    policy gives for this matrix, and `seed` as this matrix's own."""
    around: Literal["base", "post"]
    """Whose other tensors stand around the edited matrices, and keep theirs outside the scope."""
    order: int
    """Its place in every list."""
    parameters: tuple[Parameter, ...] = ()
    about: Literal["scale", "rotation", "both", "control"] = "both"
    """Which part of the change it looks at."""
    undoes: str | None = None
    """The recipe whose damage it puts right."""
    needs_control: bool = False
    """It breaks something on purpose, so that it proves something only beside the same edit of noise."""
    expects_no_change: bool = False
    """The claim is that nothing is lost: it is tested for equivalence, on as many documents as there are."""
    compares_with_line: bool = False
    """It may merely go back towards the base, so that the straight line at the same distance stands beside it."""
    uses_factors: bool = True
    seeded: bool = False
    matrices: tuple[str, ...] | None = None
    """Matrix types edited unless others are asked for; None means all."""
    by_default: tuple[Mapping[str, Any], ...] = ()
    """The settings in which it is made of every descendant unless a family says otherwise."""
    note: Callable[[Mapping[str, Any]], str] = lambda values: ""
    """What is to be said of parameters that stretch its meaning; nothing in most cases."""

    @property
    def takes_alpha(self) -> bool:
        """Whether a scale factor enters, chosen by one of the policies of docs/methods.md, section 3."""
        return any(parameter.name == "alpha" for parameter in self.parameters)

    @property
    def is_control(self) -> bool:
        """Whether it is the noise control itself."""
        return self.about == "control"

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


_RESERVED = ("recipe", "matrices", "layers", "of", "base", "post", "out", "seed", "data", "device", "workers")
"""What every edit has beside its recipe's parameters, in a plan or on the command line."""

RECIPES: dict[str, Recipe] = {}
"""Every recipe by name, in their declared order."""


def recipe(
    name: str,
    formula: str,
    *,
    question: str,
    order: int,
    around: Literal["base", "post"],
    parameters: Iterable[Parameter] = (),
    **traits: Any,
) -> Callable[[Callable[..., torch.Tensor]], Callable[..., torch.Tensor]]:
    """Register a function as a recipe; the first paragraph of its docstring says what is made. `traits`: see Recipe.

    Raises RecipeError when the name is taken, or when a parameter has the name of something that every edit has, or
    that of another recipe's parameter with another meaning: both would be the same option of the command line.
    """

    def register(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        text = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        made = Recipe(
            name=name,
            formula=formula,
            text=text,
            question=question,
            apply=function,
            around=around,
            order=order,
            parameters=tuple(parameters),
            **traits,
        )
        reserved = [parameter.name for parameter in made.parameters if parameter.name in _RESERVED]
        if reserved:
            raise RecipeError(f"the recipe {name} cannot have a parameter {reserved[0]!r}: every edit has that already")
        if name in RECIPES:
            raise RecipeError(f"there are two recipes {name!r}; give one of them another name")
        for parameter in made.parameters:
            if parameter.name in parameters_of_all() and parameter not in parameters_of_all()[parameter.name]:
                raise RecipeError(f"{parameter.name!r} of the recipe {name} means something else in another; rename it")
        RECIPES[name] = made
        in_order = sorted(RECIPES.values(), key=lambda one: (one.order, one.name))
        RECIPES.clear()
        RECIPES.update((one.name, one) for one in in_order)
        return function

    return register


def parameters_of_all() -> dict[str, dict[Parameter, list[str]]]:
    """By name, each parameter with the names of the recipes that have it, in the recipes' order."""
    found: dict[str, dict[Parameter, list[str]]] = {}
    for one in RECIPES.values():
        for parameter in one.parameters:
            found.setdefault(parameter.name, {}).setdefault(parameter, []).append(one.name)
    return found


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises RecipeError listing what there is.
    """
    if name in RECIPES:
        return RECIPES[name]
    close = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise RecipeError(f"there is no recipe {name!r}.{hint} There are: {', '.join(RECIPES)}.")


def undone_by(name: str) -> tuple[str, ...]:
    """The recipes that put right what the recipe `name` breaks."""
    return tuple(one.name for one in RECIPES.values() if one.undoes == name)


def noise_control() -> Recipe:
    """The recipe that makes the noise control."""
    return next(one for one in RECIPES.values() if one.is_control)
