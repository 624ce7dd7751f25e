"""Relations among the models of a family: lineage, changes of descendants, and straight lines between models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.source import Source, remembered
from resources.warehouse.summaries.measures import FORGOTTEN

if TYPE_CHECKING:
    import pandas as pd

_FAMILY = "(SELECT model_id FROM models WHERE family = $family AND status IS DISTINCT FROM $gone)"
_BESIDE_ANOTHER = (
    "("
    + " UNION ".join(
        f"SELECT {model} FROM {table}"
        for table in ("lineage", "descendant_relations", "straight_lines")
        for model in ("model_a", "model_b")
    )
    + ")"
)
_BOTH = f"model_a IN {_FAMILY} AND model_b IN {_FAMILY}"


def _of_family(source: Source, family: str, columns: str, table: str, rest: str) -> pd.DataFrame:
    return source.frame(f"SELECT {columns} FROM {table} WHERE {_BOTH} {rest}", {"family": family, "gone": FORGOTTEN})


@remembered
def families(source: Source) -> list[str]:
    """Families of which at least two models stand beside each other."""
    found = source.frame(
        f"SELECT DISTINCT family FROM models WHERE status IS DISTINCT FROM $gone AND model_id IN {_BESIDE_ANOTHER} "
        "ORDER BY family",
        {"gone": FORGOTTEN},
    )
    return [str(name) for name in found["family"].fillna("")]


@remembered
def members(source: Source, family: str) -> pd.DataFrame:
    """Models of a family that stand beside another: the base first, then descendants, then unrelated ones."""
    return source.frame(
        "SELECT model_id, role, base_id, method FROM models WHERE family = $family AND status IS DISTINCT FROM $gone "
        f"AND model_id IN {_BESIDE_ANOTHER} ORDER BY role <> 'base', role <> 'descendant', model_id",
        {"family": family, "gone": FORGOTTEN},
    )


@remembered
def lineage(source: Source, family: str) -> pd.DataFrame:
    """Every two models: verdict, p values, and indications of degree and direction."""
    return _of_family(source, family, "*", "lineage", "ORDER BY model_a, model_b")


@remembered
def pairs(source: Source, family: str) -> pd.DataFrame:
    """Every two descendants of one base, all matrices together: sums where vectors add up, medians of the rest."""
    columns = """
        model_a, model_b, any_value(base_id) AS base_id, count(*) AS matrices,
        sum(cosine * norm_a * norm_b) / nullif(sqrt(sum(norm_a ** 2) * sum(norm_b ** 2)), 0) AS cosine,
        sqrt(sum((cosine_chance * norm_a * norm_b) ** 2)) / nullif(sqrt(sum(norm_a ** 2) * sum(norm_b ** 2)), 0)
            AS cosine_chance,
        count(*) FILTER (cosine_q < 0.05) AS matrices_beyond_chance,
        median(sign_agreement) AS sign_agreement,
        median(largest_overlap) AS largest_overlap, median(largest_chance) AS largest_chance,
        median(left_overlap) AS left_overlap, median(left_chance) AS left_chance,
        median(right_overlap) AS right_overlap, median(right_chance) AS right_chance,
        median(changed_both) AS changed_both, median(changed_chance_margins) AS changed_chance_margins,
        sum(undone * norm_a ** 2) / nullif(sum(norm_a ** 2) FILTER (undone IS NOT NULL), 0) AS undone,
        sqrt(sum((undone_chance * norm_a ** 2) ** 2)) / nullif(sum(norm_a ** 2) FILTER (undone IS NOT NULL), 0)
            AS undone_chance
    """
    return _of_family(
        source, family, columns, "descendant_relations", "GROUP BY model_a, model_b ORDER BY model_a, model_b"
    )


@remembered
def cosines(source: Source, model_a: str, model_b: str) -> pd.DataFrame:
    """Cosine of two descendants' changes by layer and matrix type; of experts the median."""
    return source.frame(
        "SELECT layer, matrix, median(cosine) AS value, median(cosine_chance) AS chance, count(*) AS matrices "
        "FROM descendant_relations WHERE model_a = ? AND model_b = ? GROUP BY layer, matrix ORDER BY layer, matrix",
        [model_a, model_b],
    )


@remembered
def lines(source: Source, family: str) -> pd.DataFrame:
    """Loss at every scored point of every line."""
    columns = "model_a, model_b, task, t, loss, stderr, chord, barrier, barrier_low, barrier_high, n"
    return _of_family(source, family, columns, "straight_lines", "ORDER BY model_a, model_b, task, t")


@remembered
def linearity(source: Source, family: str) -> pd.DataFrame:
    """Features halfway between two models, by layer."""
    columns = "model_a, model_b, layer, error, stderr, cosine, cosine_ends, prompts"
    return _of_family(source, family, columns, "feature_linearity", "ORDER BY model_a, model_b, layer")
