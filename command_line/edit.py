"""`rotoscale edit BASE POST --recipe R --out DIR`: one edited checkpoint for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from command_line.options import workspace_options


@click.command()
@click.argument("base")
@click.argument("post")
@click.option("--recipe", required=True, help="One of the recipes above.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write; only an empty one, or an earlier edit, is replaced.",
)
@click.option("--matrices", help="Matrix types to edit, such as q,k (default: all).")
@click.option("--layers", help="Layers to edit, such as 0-3,7 (default: all).")
@click.option(
    "--alpha",
    help="Scale factor for replace-scale and formula: one, matrix (least squares, default), type or global (means).",
)
@click.option("--unaligned", is_flag=True, help="For disrupt-*: leave the random relative signs of the two SVDs.")
@click.option("--t", type=float, help="For interpolate: 0 is the base, 1 the post model (default 0.5).")
@click.option("--factor", type=float, help="For prescale: what the base's o (or --matrices) is multiplied with.")
@click.option("--band", help="For band: top (default), middle or bottom.")
@click.option("--k", type=int, help="For band: how many components (default: a tenth).")
@click.option("--of-noise", is_flag=True, help="Apply the recipe to the noise control instead of POST.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the noise (default: $ROTOSCALE_SEED, else 0).")
@workspace_options
def edit(base: str, post: str, recipe: str, out: Path, **options: Any) -> None:
    """Write one edited checkpoint: one change that POST made to BASE put back, broken, or taken alone.

    BASE and POST are local folders or Hugging Face ids (org/name or org/name@revision); POST may be a LoRA adapter.
    Everything outside the scope stays byte for byte what it was, and the result loads with transformers.

    \b
    Recipes (U S V are singular vectors and values; b the base's, p the post's):
      replace-scale   U_p (alpha S_b) V_p^T       the base's scale put back
      disrupt-left    U_b S_p V_p^T               the shared rotation broken
      disrupt-right   U_p S_p V_b^T
      restore-left    (U_b Q) S_p V_p^T           and put back by the other side's rotation
      restore-right   U_p S_p (V_b Q)^T
      formula         (U_b Q)(alpha S_b)(V_b Q)^T one factor and one rotation for both sides
      noise           W_b + G                     control: noise of the change's norm
      interpolate     (1 - t) W_b + t W_p
      rotate-only     U_p S_b V_p^T               the base with only the rotation
      scale-only      U_b S_p V_b^T               the base with only the scale
      band            W_b + P (W_p - W_b)         the base with the change along some components only
      prescale        factor W_b                  the base with one matrix type scaled

    \b
    Examples:
      rotoscale edit BASE POST --recipe disrupt-left --out broken/
      rotoscale edit BASE POST --recipe disrupt-left --of-noise --out control/
      rotoscale edit BASE POST --recipe replace-scale --alpha type --matrices q,k --layers 0-3,7 --out edited/
    """
    from command_line import show
    from command_line.running import bar, open_workspace
    from resources import progress
    from resources.edits.build import Builder
    from resources.families import unregistered
    from resources.location import Location

    plan = _plan(recipe, options)
    space = open_workspace()
    # Nothing is registered: a checkpoint that is only edited should not appear in the UI and be analysed.
    entries = [unregistered(text, space.registry) for text in (base, post)]
    base_folder, post_folder = (space.folder(entry) for entry in entries)
    builder = Builder(
        Location(base_folder).open(),
        Location(post_folder, base_folder if (post_folder / "adapter_config.json").exists() else None).open(),
        space.factors,
        device=space.settings.device,
        seed=space.settings.seed if options["seed"] is None else options["seed"],
    )
    facts = {"base": entries[0].id, "post": entries[1].id}
    label = f"writing {out}"
    with bar(show.errors()):
        built = builder.build(plan, out, facts=facts, progress=lambda done, total: progress.report(label, done, total))
    space.factors.trim()
    console = show.output()
    console.print(
        f"{plan.recipe}: {built.matrices} matrices edited in {built.seconds:.1f} s, {built.bytes:,} bytes. Relative "
        f"distance to {entries[1].id}: {show.number(built.weight_error)} (doing nothing, that is the base's own "
        f"matrices: {show.number(built.base_error)}).",
        markup=False,
    )
    # A name may hold brackets, and must not be broken over lines.
    console.print(
        f'Load it with AutoModelForCausalLM.from_pretrained("{out}"); what it is stands in {out}/edit.json.',
        markup=False,
        soft_wrap=True,
    )


def _plan(recipe: str, options: dict[str, Any]) -> Any:
    """The plan that the options describe; an option that the recipe does not have is an error."""
    from resources.edits import read_plan

    given = {name: options[name] for name in ("matrices", "layers", "alpha", "t", "factor", "band", "k")}
    described = {name: value for name, value in given.items() if value is not None}
    if options["unaligned"]:
        described["aligned"] = False
    if options["of_noise"]:
        described["of"] = "noise"
    return read_plan({"recipe": recipe, **described})
