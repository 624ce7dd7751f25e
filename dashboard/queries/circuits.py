"""Circuits of attention heads: what was found in each model of a family, and what became of the base's circuit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.source import Source, remembered
from resources.warehouse.summaries.measures import FORGOTTEN

if TYPE_CHECKING:
    import pandas as pd

_FAMILY = "(SELECT model_id FROM models WHERE (model_id = $base OR base_id = $base) AND status IS DISTINCT FROM $gone)"
"""A base and everything that is compared with it."""
_FIRST = "model_id <> $base, model_id"
_EDGE = (
    "circuit_group, sender_layer, sender_head, receiver_layer, receiver_head, via, ablation, probability_score, "
    "logit_score, screened, list_aggregate(prompt_scores, 'stddev_samp') / sqrt(len(prompt_scores)) AS stderr"
)


def _of_family(source: Source, columns: str, table: str, base_id: str, order: str) -> pd.DataFrame:
    return source.frame(
        f"SELECT {columns} FROM {table} WHERE model_id IN {_FAMILY} ORDER BY {_FIRST}, {order}",
        {"base": base_id, "gone": FORGOTTEN},
    )


@remembered
def in_circuits(source: Source) -> pd.DataFrame:
    """Models in which a circuit was looked for, or run; a base's `base_id` is its own id."""
    return source.frame(
        """
        SELECT m.model_id, m.family, m.role, m.method, coalesce(nullif(m.base_id, ''), m.model_id) AS base_id
        FROM models m
        WHERE m.status IS DISTINCT FROM $gone AND m.model_id IN
              (SELECT model_id FROM circuit_screens UNION SELECT model_id FROM circuit_faithfulness)
        ORDER BY m.family, m.role = 'base', m.role <> 'descendant', m.model_id
        """,
        {"gone": FORGOTTEN},
    )


@remembered
def circuit_heads(source: Source, base_id: str) -> pd.DataFrame:
    """Every head's score in every step, of a base and its descendants."""
    columns = "* EXCLUDE (prompt_scores)"
    return _of_family(source, columns, "circuit_heads", base_id, "circuit_group, layer, head")


@remembered
def circuit_steps(source: Source, base_id: str) -> pd.DataFrame:
    """Each step of path patching, those that found nothing with their best rejected score."""
    return _of_family(source, "*", "circuit_screens", base_id, "circuit_group")


@remembered
def circuit_edges(source: Source, model_id: str) -> pd.DataFrame:
    """Edges of a model's own circuit, by counterfactual patching."""
    return source.frame(
        f"SELECT {_EDGE} FROM circuit_edges WHERE model_id = ? AND ablation = 'counterfactual' "
        "ORDER BY circuit_group, probability_score, sender_layer, sender_head, receiver_layer, receiver_head",
        [model_id],
    )


@remembered
def followed_edges(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """Edges of the base's circuit as they are in a descendant, by counterfactual patching."""
    return source.frame(
        f"SELECT {_EDGE} FROM followed_edges WHERE model_id = ? AND circuit_model_id = ? "
        "AND ablation = 'counterfactual' "
        "ORDER BY circuit_group, probability_score, sender_layer, sender_head, receiver_layer, receiver_head",
        [model_id, base_id],
    )


@remembered
def faithfulness(source: Source, base_id: str) -> pd.DataFrame:
    """What the base's circuit does in each model, and each model's own circuit in itself."""
    columns = "* EXCLUDE (accuracy_full_by_box, accuracy_circuit_by_box)"
    return _of_family(source, columns, "circuit_faithfulness", base_id, "circuit_model_id <> $base")


@remembered
def by_box(source: Source, base_id: str) -> pd.DataFrame:
    """Accuracy of each model, and of the base's circuit in it, by the position of the queried box (from 1)."""
    return source.frame(
        f"SELECT model_id, generate_subscripts(accuracy_full_by_box, 1) AS box, unnest(accuracy_full_by_box) AS model, "
        f"unnest(accuracy_circuit_by_box) AS circuit FROM circuit_faithfulness "
        f"WHERE circuit_model_id = $base AND model_id IN {_FAMILY} ORDER BY {_FIRST}, box",
        {"base": base_id, "gone": FORGOTTEN},
    )


@remembered
def faithfulness_curves(source: Source, base_id: str) -> pd.DataFrame:
    """f of the first heads by the base's order, in every model."""
    return source.frame(
        f"SELECT * FROM faithfulness_curves WHERE circuit_model_id = $base AND model_id IN {_FAMILY} "
        f"ORDER BY {_FIRST}, ablation, n_heads",
        {"base": base_id, "gone": FORGOTTEN},
    )


@remembered
def masks(source: Source, base_id: str) -> pd.DataFrame:
    """What each group of the base's circuit carries, in every model."""
    columns = "* EXCLUDE (accuracy_by_box)"
    return _of_family(source, columns, "component_masks", base_id, "desideratum, circuit_group")


@remembered
def exchanges(source: Source, model_id: str) -> pd.DataFrame:
    """A model's heads in its base, and the other way round."""
    return source.frame(
        "SELECT * FROM cross_model_patching WHERE model_id = ? ORDER BY recipient_id = model_id, component", [model_id]
    )


@remembered
def overlaps(source: Source, base_id: str) -> pd.DataFrame:
    """Each model's own circuit against the base's."""
    return _of_family(source, "*", "circuit_overlap", base_id, "what DESC")


@remembered
def stability(source: Source, base_id: str) -> pd.DataFrame:
    """How much of a circuit comes back on other prompts and with other words."""
    return _of_family(source, "*", "circuit_stability", base_id, "length(resample), resample")


@remembered
def patterned(source: Source, model_id: str, base_id: str) -> pd.DataFrame:
    """Heads and queried boxes of which a model's or its base's attention is kept."""
    return source.frame(
        "SELECT DISTINCT layer, head, queried_box FROM attention_patterns WHERE model_id IN (?, ?) "
        "ORDER BY queried_box, layer, head",
        [model_id, base_id],
    )


@remembered
def pattern(source: Source, model_id: str, layer: int, head: int, queried_box: int) -> pd.DataFrame:
    """Attention of one head on one prompt; no row where it is not kept."""
    return source.frame(
        "SELECT * FROM attention_patterns WHERE model_id = ? AND layer = ? AND head = ? AND queried_box = ?",
        [model_id, layer, head, queried_box],
    )


@remembered
def knockouts(source: Source, model_id: str) -> pd.DataFrame:
    """What a model loses where one position may not see another."""
    return source.frame(
        "SELECT * FROM attention_knockouts WHERE model_id = ? ORDER BY query_position, key_position, first_layer",
        [model_id],
    )
