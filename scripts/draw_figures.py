"""Draw the figures of docs/reading.md from the published rows of the demo family.

    rotoscale run && python -m scripts.draw_figures [PUBLISHED_FOLDER]

Colours are Okabe and Ito's; every figure shows its null.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from resources.warehouse import read

if TYPE_CHECKING:
    import duckdb

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / "docs" / "figures"
MODELS = ("demo-instruct", "demo-reasoning", "demo-math", "demo-math-lora", "demo-scratch")
TYPES = ("q", "k", "v", "o", "gate", "up", "down")
PARTS = {
    "scale": ("one factor for all singular values", "#0072B2"),
    "diagonal": ("an uneven scale", "#56B4E9"),
    "shared": ("both sides together", "#009E73"),
    "apart": ("each side in its own way", "#D55E00"),
    "outside": ("outside the base's spaces", "#999999"),
}


def agreement(connection: duckdb.DuckDBPyConnection) -> Figure:
    """Tau of every matrix of every model, with what noise and the formula would give."""
    figure, axes = _figure(7.2, 3.0)
    for row, model in enumerate(MODELS):
        found = connection.execute(
            "SELECT tau, tau > 0.05 AND q_together < 0.05 AS called FROM agreement "
            "WHERE model_id = ? AND base_id = 'demo-base' AND tau IS NOT NULL ORDER BY layer, matrix",
            [model],
        ).fetchall()
        for called, face in ((False, "none"), (True, "#009E73")):
            taus = [tau for tau, is_called in found if bool(is_called) is called]
            places = [row + 0.09 * (i % 5 - 2) for i in range(len(taus))]
            axes.scatter(taus, places, s=28, facecolors=face, edgecolors="#009E73", linewidths=0.9, alpha=0.8)
    axes.axvline(0, color="grey", linestyle="--", linewidth=1)
    axes.axvline(1, color="#0072B2", linewidth=1.5)
    axes.text(0, -0.62, "noise", ha="center", va="bottom", color="grey")
    axes.text(1.02, -0.62, "one rotation for both sides", ha="right", va="bottom", color="#0072B2")
    axes.set_yticks(range(len(MODELS)), [*MODELS[:-1], f"{MODELS[-1]}\n(unrelated)"])
    axes.set_ylim(len(MODELS) - 0.5, -0.6)
    axes.set_xlim(-0.1, 1.05)
    axes.set_xlabel("tau, one point per matrix; filled: called together (tau > 0.05, q < 0.05)")
    return figure


def budget(connection: duckdb.DuckDBPyConnection, model: str = "demo-reasoning") -> Figure:
    """Where the energy of a change lies, by matrix type, each beside what white noise would give."""
    figure, axes = _figure(7.2, 3.4)
    shares = ", ".join(f"avg(share_{part}), avg(share_{part}_expected)" for part in PARTS)
    for place, matrix in enumerate(TYPES):
        found = connection.execute(
            f"SELECT {shares} FROM agreement WHERE model_id = ? AND base_id = 'demo-base' AND matrix = ?",
            [model, matrix],
        ).fetchone()
        assert found is not None
        for offset, values, alpha in ((-0.2, found[::2], 1.0), (0.2, found[1::2], 0.35)):
            bottom = 0.0
            for (text, colour), share in zip(PARTS.values(), values, strict=True):
                label = text if place == 0 and alpha == 1.0 else None
                axes.bar(place + offset, share, 0.36, bottom=bottom, color=colour, alpha=alpha, label=label)
                bottom += share
    axes.set_xticks(range(len(TYPES)), TYPES)
    axes.set_ylabel("share of the change's energy")
    axes.set_xlabel(f"{model}, means over layers; left of each pair: found, right and pale: white noise")
    figure.legend(loc="upper center", ncols=3, fontsize="small", frameon=False)
    axes.set_position((0.1, 0.16, 0.87, 0.64))
    return figure


def null(connection: duckdb.DuckDBPyConnection) -> Figure:
    """NF against its null: what looks small is what any change of that size gives."""
    figure, axes = _figure(5.2, 4.2)
    colours = ("#E69F00", "#D55E00", "#009E73", "#0072B2", "#000000")
    for model, colour in zip(MODELS, colours, strict=True):
        found = connection.execute(
            "SELECT nf_null, nf FROM rotation_statistics "
            "WHERE model_id = ? AND base_id = 'demo-base' AND nf IS NOT NULL ORDER BY layer, matrix",
            [model],
        ).fetchall()
        axes.scatter(*zip(*found, strict=True), s=22, color=colour, alpha=0.75, linewidths=0, label=model)
    axes.plot([0.005, 2], [0.005, 2], color="grey", linestyle="--", linewidth=1)
    axes.text(0.3, 0.42, "as noise", rotation=45, color="grey")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("null of NF: noise of the change's size (capped at unrelated)")
    axes.set_ylabel("NF, one point per matrix")
    axes.legend(loc="lower right", fontsize="small", frameon=False)
    axes.set_position((0.14, 0.13, 0.83, 0.84))
    return figure


def control(
    connection: duckdb.DuckDBPyConnection, model: str = "demo-math-lora", recipe: str = "disrupt-left"
) -> Figure:
    """The loss of an edit beside the losses of its controls, draw by draw, one panel per task."""
    figure = Figure(figsize=(7.2, 2.9))
    kinds = {"noise": ("o", "#777777"), "mirror": ("o", "#0072B2"), "edit": ("D", "#D55E00")}
    for place, task in enumerate(("demo_arithmetic", "demo_entity_tracking", "demo_stories")):
        axes = figure.add_axes((0.09 + 0.32 * place, 0.14, 0.24, 0.74))
        axes.spines[["top", "right"]].set_visible(False)
        for at, (kind, (marker, colour)) in enumerate(kinds.items()):
            losses = connection.execute(
                "SELECT mean_log_likelihood - start_log_likelihood FROM control_draws "
                "WHERE model_id = ? AND recipe = ? AND task = ? AND control = ? ORDER BY draw",
                [model, recipe, task, kind],
            ).fetchall()
            across = [at + 0.03 * ((draw % 5) - 2) for draw in range(len(losses))]
            face = colour if kind == "edit" else "none"
            axes.scatter(across, losses, marker=marker, s=24, facecolors=face, edgecolors=colour, linewidths=0.9)
        axes.axhline(0, color="grey", linestyle="--", linewidth=1)
        axes.set_xticks(range(len(kinds)), kinds)
        axes.set_xlim(-0.5, 2.5)
        axes.set_title(task.removeprefix("demo_").replace("_", " "), fontsize="medium")
        if place == 0:
            axes.set_ylabel("change of log-likelihood, nats")
    return figure


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.2, 0.18, 0.77, 0.72))
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw(published: Path, folder: Path) -> list[Path]:
    """Write every figure as SVG; the same rows give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with (
        mpl.rc_context({"svg.hashsalt": "rotoscale", "svg.fonttype": "none", "font.family": "sans-serif"}),
        read(published) as connection,
    ):
        for one in (agreement, budget, null, control):
            made.append(folder / f"{one.__name__}.svg")
            one(connection).savefig(made[-1], metadata={"Date": None}, facecolor="white")
    return made


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "data" / "published"
    for file in draw(given, FOLDER):
        print(f"{file.relative_to(PROJECT)}: {file.stat().st_size / 1000:.0f} kB")
