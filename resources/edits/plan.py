"""What an edit is to be: recipe, parameters, scope, and whether of the real pair or of its noise control.

A plan is data. It can be written in a family file (`disrupt-left`, or a mapping with `recipe:` and the rest), given on
the command line, or read back from a row of `edited_checkpoints`, and always means the same weights.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rotoscale.errors import RotoscaleError
from rotoscale.recipes import RECIPES, Recipe, find_recipe, noise_control

if TYPE_CHECKING:
    from resources.checkpoints import MatrixKey

POST, NOISE = "post", "noise"
"""What the recipe is applied to beside the base: the post model, or the base with noise of the same norm."""

DEFAULT_RECIPES: tuple[str | dict[str, Any], ...] = tuple(
    {"recipe": recipe.name, **settings} if settings else recipe.name
    for recipe in RECIPES.values()
    for settings in recipe.by_default
)
"""What is made of a descendant unless its family says otherwise; controls of those that need one come by themselves."""

_SCOPE = ("matrices", "layers")
_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


class PlanError(RotoscaleError):
    """An edit that is described wrongly, or that has nothing to edit."""


@dataclass(frozen=True)
class EditPlan:
    """One edit to be made of a pair of models."""

    recipe: str
    parameters: tuple[tuple[str, Any], ...] = ()
    """All parameters of the recipe with their values, in its order."""
    matrices: tuple[str, ...] | None = None
    """Matrix types in scope; None means all."""
    layers: tuple[int, ...] | None = None
    """Layers in scope; None means all."""
    of: str = POST

    @property
    def definition(self) -> Recipe:
        """The recipe itself."""
        return find_recipe(self.recipe)

    @property
    def is_control(self) -> bool:
        """Whether it shows what noise does rather than what the post model did."""
        return self.of == NOISE or self.definition.is_control

    @property
    def around(self) -> str:
        """Whose other tensors stand around the edited matrices: base or post. A noise model is a changed base."""
        return "base" if self.of == NOISE else self.definition.around

    @property
    def control(self) -> EditPlan | None:
        """The same edit of the noise control, for a recipe on the real pair that proves nothing without it."""
        if self.of == NOISE or not self.definition.needs_control:
            return None
        return replace(self, of=NOISE)

    def straight_line(self, distance: float | None) -> EditPlan | None:
        """The point on the line from base to post, in the same scope, that is as far from the base as this edit is.

        distance: |W_edit - W_base| / |W_post - W_base|. None for a recipe that asks for no such comparison, or a
        distance that is not known.
        """
        if self.of == NOISE or not self.definition.compares_with_line or distance is None:
            return None
        values = find_recipe("interpolate").read({"t": round(distance, 4)})
        return EditPlan("interpolate", tuple(values.items()), self.matrices, self.layers)

    @property
    def undone(self) -> EditPlan | None:
        """For a recipe that puts something right: the edit in the same scope that broke it."""
        if self.definition.undoes is None:
            return None
        broken = find_recipe(self.definition.undoes)
        return EditPlan(broken.name, tuple(broken.read({}).items()), self.matrices, self.layers, self.of)

    @property
    def note(self) -> str:
        """What is to be said of parameters that stretch the recipe's meaning; empty in most cases."""
        return self.definition.note(dict(self.parameters))

    def chosen(self, key: MatrixKey) -> bool:
        """Whether a matrix is in scope."""
        return (self.matrices is None or key.matrix in self.matrices) and (
            self.layers is None or key.layer in self.layers
        )

    def as_json(self) -> dict[str, Any]:
        """The plan as it stands in `edited_checkpoints.parameters`; `read_plan` reads it back."""
        return {
            "recipe": self.recipe,
            **dict(self.parameters),
            "matrices": None if self.matrices is None else list(self.matrices),
            "layers": None if self.layers is None else _as_ranges(self.layers),
            "of": self.of,
        }

    @property
    def label(self) -> str:
        """A short readable name: the recipe, what differs from its defaults, and its scope."""
        definition = self.definition
        words = [self.recipe]
        for parameter in definition.parameters:
            value = dict(self.parameters)[parameter.name]
            if parameter.kind == "flag":
                words += [] if value == parameter.default else [parameter.word(value)]
            elif parameter.kind == "choice":
                words.append(str(value))
            elif value is not None:
                words.append(f"{parameter.name}{value:g}")
        if self.matrices is not None and self.matrices != definition.matrices:
            words.append("+".join(self.matrices))
        if self.layers is not None:
            words.append("layers" + _as_ranges(self.layers).replace(",", "+"))
        if self.of == NOISE:
            words.append("of-noise")
        return "-".join(words)

    def edit_id(self, model_id: str, *identity: Any) -> str:
        """`<model>--<label>-<hash>`: the same plan of the same model, base and seed is always called the same."""
        text = json.dumps([self.as_json(), *identity], sort_keys=True, default=str)
        return f"{model_id}--{self.label}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def read_plan(described: str | Mapping[str, Any]) -> EditPlan:
    """A plan from a recipe's name, or a mapping with `recipe` and its parameters, `matrices`, `layers` and `of`.

    `matrices` is a list or a text `q,k`; `layers` a list or a text `0-3,7`.

    Raises PlanError or RecipeError naming what is wrong and what there is.
    """
    given = {"recipe": described} if isinstance(described, str) else dict(described)
    name = given.pop("recipe", None)
    if not isinstance(name, str):
        raise PlanError(f"an edit needs `recipe`, the name of one; found {described!r}")
    recipe = find_recipe(name)
    of = given.pop("of", POST)
    if of not in (POST, NOISE):
        raise PlanError(f"`of` is {of!r}; it must be {POST} or {NOISE}")
    if of == NOISE and recipe.is_control:
        raise PlanError(f"{name} is the noise control itself; it is not made of noise once more")
    matrices, layers = (given.pop(word, None) for word in _SCOPE)
    parameters = recipe.read(given)
    types = recipe.matrices if matrices is None else _words(matrices)
    return EditPlan(name, tuple(parameters.items()), types, None if layers is None else read_layers(layers), of)


def _words(value: Any) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, Sequence) or not all(isinstance(word, str) and word.strip() for word in words):
        raise PlanError(f"matrices is {value!r}; give matrix types such as q,k,v,o,gate,up,down")
    return tuple(dict.fromkeys(word.strip() for word in words))


def read_layers(value: Any) -> tuple[int, ...]:
    """Layers from a list of numbers or a text such as `0-3,7`, sorted.

    Raises PlanError saying what it may be.
    """
    found: set[int] = set()
    for item in str(value).split(",") if isinstance(value, str | int) else value:
        match = _RANGE.fullmatch(str(item).strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise PlanError(f"layers is {value!r}; give numbers and ranges such as 0-3,7")
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def _as_ranges(layers: Sequence[int]) -> str:
    """Layers as a text that `read_layers` reads: 0-3,7."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def default_plans(single_controls: bool = True) -> list[EditPlan]:
    """The plans of DEFAULT_RECIPES, with the single controls that they need unless draws are made instead."""
    found = plans_of(DEFAULT_RECIPES, single_controls)
    return [plan for plan in found if single_controls or not plan.is_control]


def plans_of(described: Iterable[str | Mapping[str, Any]], single_controls: bool = True) -> list[EditPlan]:
    """Plans of a list as family files have it, no plan twice.

    With `single_controls` each one that needs a control is followed by it, and by the noise that it is made of, without
    which it would be nothing. Where many draws are made in memory instead, a single one says no more.

    Raises PlanError or RecipeError for the first entry that is wrong.
    """
    plans: dict[EditPlan, None] = {}
    for item in described:
        plan = read_plan(item)
        plans[plan] = None
        if plan.control and single_controls:
            plans[plan.control] = None
            noise = noise_control()
            plans[EditPlan(noise.name, (), plan.matrices, plan.layers)] = None
    return list(plans)
