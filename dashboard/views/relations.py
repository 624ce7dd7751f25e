"""Relations: which models of a family share an origin, which changed alike, and what lies between them."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import parts, relation_frames, state, text
from dashboard.figures import heat, relations
from dashboard.parts import meaning
from dashboard.quantities import Quantity
from dashboard.queries import relations as queries

TITLE = "Relations"
ICON = ":material/family_history:"
ORDER = 47
URL = "relations"

_COSINE = Quantity(
    "relations", "cosine", "cosine", "descendant_relations", "cosine", frozenset({"map"}), '"cosine"', 0.0
)


def show() -> None:
    """Draw the page."""
    st.header("Relations", anchor=False)
    families = queries.families(parts.source())
    if not families:
        parts.nothing(
            "No two models stand beside each other yet",
            "Materialize `lineage`, `descendant_relations` and `straight_lines`, or run `rotoscale run`.",
            link=text.dagster(),
        )
        return
    family = state.select("Family", families, "family", names=text.short, where=st.columns(3)[0])
    members = queries.members(parts.source(), family)
    lineage = queries.lineage(parts.source(), family)
    pairs = queries.pairs(parts.source(), family)
    lines = queries.lines(parts.source(), family)
    st.markdown(
        f"{relation_frames.lineage_sentence(members, lineage)} {relation_frames.alike_sentence(pairs)} "
        f"{relation_frames.line_sentence(members, lines)}"
    )
    _lineage(family, members, lineage, pairs)
    _alike(pairs)
    _lines(members, lines, family)


def _lineage(family: str, members: pd.DataFrame, lineage: pd.DataFrame, pairs: pd.DataFrame) -> None:
    st.subheader("Shared origin", anchor=False, help=meaning("verdict", "lineage"))
    if lineage.empty:
        parts.nothing("Not tested yet", "Materialize `lineage`.")
    else:
        models = [model for model in members["model_id"] if model in set(lineage["model_a"]) | set(lineage["model_b"])]
        parts.figure(
            relations.verdicts(lineage, models, parts.theme()),
            "lineage",
            lineage,
            alt="Verdict on every two models of the family",
        )
        st.caption(
            "Related means a shared initialisation: one descends from the other, both from a third, or one seed "
            "started both. Unrelated means that nothing was found where half of one model would have been."
        )
        with st.expander("Every pair as a table"):
            parts.table(
                lineage, "lineage-table", of="lineage", digits=3,
                order=["model_a", "model_b", "verdict", "reason", "p_exact", "p_match", "approximate", "distance",
                       "cosine", "cosine_matched", "earlier", "control_pairs", "control_smallest_p", "note"],
            )  # fmt: skip
    nodes = relation_frames.tree(members, lineage, pairs)
    if nodes:
        st.markdown("**The family tree**", help=meaning("distance", "lineage"))
        parts.figure(
            relations.tree(nodes, parts.theme()), "family-tree", pd.DataFrame([vars(node) for node in nodes]),
            alt="The base at the left, each model as far from it as its weights are, with the p value of the test",
            on_pick="rerun",
        )  # fmt: skip
        parts.opened("figure_family-tree", members.assign(family=family))
        st.caption(
            "Drawn as the family file declares it; across, the distance from the base. A click on a point opens its "
            "model. The p value is the smaller one of the two tests for a shared initialisation. A model that is not "
            "found related is not connected; an arrow is one that lies beyond the axis, at the distance written beside "
            "it."
        )


@state.fragment
def _alike(pairs: pd.DataFrame) -> None:
    st.subheader("Did they move alike?", anchor=False, help=meaning("cosine", "descendant_relations"))
    if pairs.empty:
        parts.nothing(
            "No two descendants compared yet", "Materialize `descendant_relations`; it takes two of one base."
        )
        return
    names = _pair_names(pairs)
    where = st.columns(2)[0]
    picked = state.select("Two descendants", list(names), "pair", names=_shortened, where=where)
    a, b = names[picked]
    data = queries.cosines(parts.source(), a, b)
    if data["value"].notna().any():
        reach = heat.reach_of([abs(float(v)) for v in data["value"].dropna()], 0.0)
        parts.figure(
            heat.layer_map(data, _COSINE, theme=parts.theme(), reach=reach), "change-cosines", data,
            alt="Cosine of the two changes by layer and matrix type",
        )  # fmt: skip
        chance = data["chance"].dropna()
        spread = f" Chance: 0 ± {chance.median():.3f} (median over matrices)." if len(chance) else ""
        st.caption(f"At 1 it is the same change, at 0 nothing in common; below 0 one goes against the other.{spread}")
    else:
        parts.nothing("Nothing to draw", "One of the two left every matrix as it was.")
    parts.table(
        pairs, "pairs", of="descendant_relations", digits=2,
        order=["model_a", "model_b", "cosine", "cosine_chance", "matrices_beyond_chance", "matrices", "sign_agreement",
               "largest_overlap", "largest_chance", "left_overlap", "left_chance", "right_overlap", "right_chance",
               "changed_both", "changed_chance_margins", "undone", "undone_chance"],
    )  # fmt: skip
    st.caption(
        "A row is about all matrices of two models together: *cosine* and *undone* take them as one vector, the other "
        "columns are medians over matrices. What chance would give stands beside each."
    )


@state.fragment
def _lines(members: pd.DataFrame, lines: pd.DataFrame, family: str) -> None:
    st.subheader("Straight lines", anchor=False, help=meaning("barrier", "straight_lines"))
    if lines.empty:
        parts.nothing(
            "No line scored yet",
            "Materialize `straight_lines`: families with tasks, and models that are small unless "
            "`ROTOSCALE_LINE_DOCUMENTS` asks for more.",
        )
        return
    names = _pair_names(lines)
    where = st.columns(2)[0]
    picked = state.select("From one model to another", list(names), "line", names=_shortened, where=where)
    a, b = names[picked]
    shown = lines[(lines["model_a"] == a) & (lines["model_b"] == b)]
    parts.figure(
        relations.losses(shown), "straight-line", shown, alt="Loss along the line, a tile per task, with its chord"
    )
    n = int(shown["n"].max()) if shown["n"].notna().any() else 0
    st.caption(
        f"At t the weights are (1 − t) of {text.code(a)} and t of {text.code(b)}; the loss is −log p of the right "
        f"answer in nats, the mean of {n} documents of each task. A barrier is a loss above the dashed chord."
    )
    parts.table(relation_frames.barriers(lines), "barriers", digits=3)
    features = queries.linearity(parts.source(), family)
    if features["error"].notna().any():
        strangers = set(members.loc[members["role"] == "unrelated", "model_id"])
        st.markdown("**Features halfway**", help=meaning("error", "feature_linearity"))
        parts.figure(
            relations.linearity(features, strangers), "feature-linearity", features,
            alt="How far features halfway are from the mean of the ends, by layer, a line per pair",
        )  # fmt: skip
        st.caption(
            "At 0 they are the mean of the two ends' features. Lines to a model that the family file calls unrelated "
            "are dashed."
        )


def _shortened(pair: str) -> str:
    return text.short(pair, 80)


def _pair_names(data: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Pairs by the name that the address has for them."""
    found = dict.fromkeys(zip(data["model_a"], data["model_b"], strict=True))
    return {f"{a} – {b}": (a, b) for a, b in found}
