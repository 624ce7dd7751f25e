"""`rotoscale adapter-init BASE --band B --rank R --out DIR`: a LoRA that starts from a band of the base's spectrum."""

from __future__ import annotations

from pathlib import Path

import click

from command_line.options import workspace_options
from rotoscale.adapter_start import STARTS


@click.command()
@click.argument("base")
@click.option("--band", required=True, type=click.Choice(STARTS), help="Which of the base's components.")
@click.option("--rank", required=True, type=click.IntRange(min=1), help="How many components, the adapter's r.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write; only an empty one, or an earlier result, is replaced.",
)
@click.option("--matrices", help="Matrix types that get an adapter, such as q,v (default: all).")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the random band (default: $ROTOSCALE_SEED, else 0).")
@workspace_options
def adapter_init(base: str, band: str, rank: int, out: Path, matrices: str | None, seed: int | None) -> None:
    """Write a PEFT LoRA adapter that starts from a band of BASE's singular vectors, and the residual base it stands on.

    BASE is a registered model, a local folder or a Hugging Face id (org/name or org/name@revision).

    \b
    OUT/base      BASE without the band, in float32; load it in place of BASE
    OUT/adapter   the band as a LoRA (lora_alpha = r), to be trained on
                  OUT/base with PEFT

    Before any training the two together are BASE.

    \b
    Examples:
      rotoscale adapter-init BASE --band middle --rank 16 --out start/
      rotoscale adapter-init BASE --band top --rank 8 --matrices q,v --out start/

    Training then begins with PeftModel.from_pretrained(model, "OUT/adapter", is_trainable=True); more in
    docs/adapter-init.md.
    """
    from command_line import show
    from command_line.running import bar, open_workspace
    from resources import progress
    from resources.adapter_init import write_adapter_start
    from resources.checkpoints import open_checkpoint
    from resources.families import unregistered

    space = open_workspace()
    checkpoint = open_checkpoint(space.folder(unregistered(base, space.registry)))
    label = f"writing {out}"
    with bar(show.errors()):
        written = write_adapter_start(
            checkpoint,
            out,
            space.factors,
            band=band,
            rank=rank,
            matrices=[name.strip() for name in matrices.split(",")] if matrices else (),
            seed=space.settings.seed if seed is None else seed,
            device=space.settings.device,
            progress=lambda done, total: progress.report(label, done, total),
        )
    space.factors.trim()
    console = show.output()
    show.say(
        console,
        f"{written.matrices} matrices: the adapter holds {100 * written.energy:.3g} % of their squared norm ({band} "
        f"band, rank {rank}). Residual and adapter together differ from the base by at most "
        f"{show.number(written.largest_error)} in any element.",
    )
    show.say(console, "Load them with")
    show.code(console, f'model = AutoModelForCausalLM.from_pretrained("{written.base}")')
    show.code(console, f'PeftModel.from_pretrained(model, "{written.adapter}", is_trainable=True)')
