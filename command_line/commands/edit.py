"""`rotoscale edit BASE POST --recipe R --out DIR`: one edited checkpoint for use elsewhere.

Options and the list of recipes are made from what the recipes declare.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from command_line import completing
from command_line.options import workspace_options
from rotoscale.recipes import RECIPES, Parameter, parameters_of_all

_TYPES = {"number": click.FLOAT, "count": click.INT, "choice": click.STRING}

_QUESTION = textwrap.TextWrapper(width=78, initial_indent=" " * 20, subsequent_indent=" " * 20)
_RECIPES = "\n".join(
    f"  {recipe.name:<17} {recipe.formula}\n{_QUESTION.fill(recipe.question)}" for recipe in RECIPES.values()
)

_HELP = f"""\
Write one edited checkpoint: one change that POST made to BASE put back, broken, or taken alone.

BASE and POST are local folders or Hugging Face ids (org/name or org/name@revision); POST may be a LoRA adapter.
Everything outside the scope stays byte for byte what it was, and the result loads with transformers.

\b
Recipes (U S V are singular vectors and values; b the base's, p the post's):
{_RECIPES}

\b
Examples:
  rotoscale edit BASE POST --recipe disrupt-left --out broken/
  rotoscale edit BASE POST --recipe disrupt-left --of-noise --out control/
  rotoscale edit BASE POST --recipe replace-scale --alpha type \\
      --matrices q,k --layers 0-3,7 --out edited/
"""


def _option(parameter: Parameter, recipes: list[str]) -> Callable[[Any], Any]:
    """The option of one parameter; a flag that is on by default is switched off by its opposite."""
    about = f"For {', '.join(recipes)}: "
    if parameter.kind == "flag":
        if parameter.default:
            return click.option(
                f"--{parameter.word(False)}",
                parameter.name,
                flag_value=False,
                default=None,
                help=f"{about}do not {parameter.text}.",
            )
        return click.option(*_names(parameter), is_flag=True, default=None, help=f"{about}{parameter.text}.")
    note = f" ({parameter.expected}" + (f"; default {parameter.default})" if parameter.default is not None else ")")
    return click.option(*_names(parameter), type=_TYPES[parameter.kind], help=f"{about}{parameter.text}{note}.")


def _names(parameter: Parameter) -> tuple[str, str]:
    """The option as it is typed, and the recipe's own name of the parameter."""
    return f"--{parameter.name.replace('_', '-')}", parameter.name


def _recipe_options(command: Any) -> Any:
    """Add one option for each parameter that a recipe has."""
    for variants in reversed(list(parameters_of_all().values())):
        for parameter, recipes in variants.items():
            command = _option(parameter, recipes)(command)
    return command


@click.command(help=_HELP)
@click.argument("base", shell_complete=completing.checkpoints)
@click.argument("post", shell_complete=completing.checkpoints)
@click.option("--recipe", required=True, help="One of the recipes above.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write; only an empty one, or an earlier edit, is replaced.",
)
@click.option("--matrices", help="Matrix types to edit, such as q,k (default: all).")
@click.option("--layers", help="Layers to edit, such as 0-3,7 (default: all).")
@_recipe_options
@click.option("--of-noise", is_flag=True, help="Apply the recipe to the noise control instead of POST.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the noise (default: $ROTOSCALE_SEED, else 0).")
@workspace_options
def edit(
    base: str,
    post: str,
    recipe: str,
    out: Path,
    matrices: str | None,
    layers: str | None,
    of_noise: bool,
    seed: int | None,
    **parameters: Any,
) -> None:
    """Write one edited checkpoint."""
    from command_line import show
    from command_line.running import bar, open_workspace
    from resources import progress
    from resources.edits import read_plan
    from resources.edits.build import Builder
    from resources.families import unregistered
    from resources.location import Location

    given = {"matrices": matrices, "layers": layers, **parameters, "of": "noise" if of_noise else None}
    plan = read_plan({"recipe": recipe, **{name: value for name, value in given.items() if value is not None}})
    space = open_workspace()
    # Nothing is registered: a checkpoint that is only edited should not appear in the UI and be analysed.
    entries = [unregistered(text, space.registry) for text in (base, post)]
    base_folder, post_folder = (space.folder(entry) for entry in entries)
    builder = Builder(
        Location(base_folder).open(),
        Location(post_folder, base_folder if (post_folder / "adapter_config.json").exists() else None).open(),
        space.factors,
        device=space.settings.device,
        seed=space.settings.seed if seed is None else seed,
    )
    facts = {"base": entries[0].id, "post": entries[1].id}
    label = f"writing {out}"
    with bar(show.errors()):
        built = builder.build(plan, out, facts=facts, progress=lambda done, total: progress.report(label, done, total))
    space.factors.trim()
    console = show.output()
    show.say(
        console,
        f"{plan.recipe}: {built.matrices} matrices edited in {built.seconds:.1f} s, {built.bytes:,} bytes. Relative "
        f"distance to {entries[1].id}: {show.number(built.weight_error)} (doing nothing, that is the base's own "
        f"matrices: {show.number(built.base_error)}).",
    )
    if plan.note:
        show.say(console, f"Note: {plan.note}.")
    show.say(console, "What it is stands in its edit.json. Load it with")
    show.code(console, f'AutoModelForCausalLM.from_pretrained("{out}")')
