"""Circuits: the attention heads that do entity tracking in a base, and what became of them in its descendants."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import circuit_frames, colours, parts, sentences, state, text
from dashboard.figures import circuits, score
from dashboard.parts import meaning
from dashboard.queries import circuits as queries

TITLE = "Circuits"
ICON = ":material/hub:"
ORDER = 45
URL = "circuits"
OPENS_MODEL = True
TABLES = (
    "circuit_heads", "circuit_edges", "circuit_faithfulness", "circuit_overlap", "component_masks",
    "cross_model_patching",
)  # fmt: skip

ABLATIONS = ("mean", "counterfactual")
LOOK = "Materialize `circuits`, `circuit_faithfulness`, `component_masks` and `cross_model_patching`, or run "


def show() -> None:
    """Draw the page; parts with choices of their own are fragments, so that a choice redraws that part alone."""
    st.header("Circuits", anchor=False)
    known = queries.in_circuits(parts.source()).assign(is_floor=False)
    pair = parts.choose_pair(known, offer_floor=False)
    if pair is None:
        parts.nothing("No circuits yet", f"{LOOK}`rotoscale circuit MODEL` for a look of its own.", link=text.dagster())
        return
    model, base = pair
    sentences.about(URL, model, base, most=4)
    heads = queries.circuit_heads(parts.source(), base)
    steps = queries.circuit_steps(parts.source(), base)
    if heads.empty:
        reasons = steps["reason"].dropna().unique()
        parts.nothing("No head was scored", "; ".join(map(text.code, reasons)) or "See the run in Dagster.")
    else:
        _heads(heads, steps)
        _graph(heads, steps, model, base)
        _attention(heads, model, base)
    _faithfulness(model, base)
    _masks(model, base)
    _exchange(model, base)
    _robustness(steps, model, base)


@state.fragment
def _heads(heads: pd.DataFrame, steps: pd.DataFrame) -> None:
    st.subheader("Heads", anchor=False, help=meaning("score", "circuit_heads"))
    groups = [group for group in circuit_frames.GROUPS if group in set(heads["circuit_group"])]
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    group = state.select("Step", groups, "step", names=lambda g: circuit_frames.GROUPS[g], where=left)
    models = list(dict.fromkeys(heads["model_id"]))
    picked = state.several("Models", models, "models", default=models[:8], names=text.short, where=right)
    shown = heads[(heads["circuit_group"] == group) & heads["model_id"].isin(picked)]
    if shown.empty:
        parts.nothing("Nothing to draw", "This step was not taken in the models picked, or none is picked.")
    else:
        present = [model for model in picked if model in set(shown["model_id"])]
        parts.figure(
            circuits.head_grids(shown, present, parts.theme()), "circuit-heads", shown,
            alt="Score of every head by layer, a tile per model on one colour scale",
        )  # fmt: skip
        st.caption(
            "Relative change of the right object's probability when the head's path is patched; blue takes it away. "
            "Dots mark heads of the circuit."
        )
    with st.expander("Every step of every model"):
        parts.table(
            steps, "circuit-steps", of="circuit_screens", digits=2,
            order=["model_id", "circuit_group", "n_candidates", "n_kept", "best_score", "n_prompts", "n_senders",
                   "n_exact", "rank_correlation", "estimated_misses", "reason"],
        )  # fmt: skip


def _graph(heads: pd.DataFrame, steps: pd.DataFrame, model: str, base: str) -> None:
    st.subheader("The circuit", anchor=False, help=meaning("probability_score", "circuit_edges"))
    kept = circuit_frames.kept(heads, base)
    before = queries.circuit_edges(parts.source(), base)
    after = before if model == base else queries.followed_edges(parts.source(), model, base)
    st.markdown(f"The circuit of {text.code(base)}" + ("" if model == base else f" as it is in {text.code(model)}"))
    if said := " ".join(circuit_frames.empty_groups(steps, base)):
        st.caption(said)
    edges = circuit_frames.compared(before, after)
    if kept.empty or edges.empty:
        parts.nothing("No graph to draw", "The circuit has no heads, or its edges were not measured in this model.")
        return
    parts.figure(
        circuits.graph(kept, edges, parts.theme()), "circuit-graph", edges,
        alt="Heads of the circuit by group, edges between them as wide as they are strong",
    )  # fmt: skip
    st.caption(
        f"Read from left to right; at most {circuits.MOST_EDGES} edges, the strongest. Coloured edges differ from the "
        "base's by more than two standard errors and by at least 0.02."
    )


@state.fragment
def _attention(heads: pd.DataFrame, model: str, base: str) -> None:
    st.subheader("Where a head looks", anchor=False, help=meaning("weights", "attention_patterns"))
    known = queries.patterned(parts.source(), model, base)
    if known.empty:
        parts.nothing("No attention kept", "It comes with `circuits`.")
        return
    members = circuit_frames.memberships(heads, base)
    found = dict.fromkeys(zip(known["layer"].tolist(), known["head"].tolist(), strict=True))
    by_name = {f"{layer}.{head}": (layer, head) for layer, head in sorted(found, key=lambda one: one not in members)}
    boxes = known["queried_box"].drop_duplicates().tolist()
    left, right = st.columns(2)
    name = state.select(
        "Head", list(by_name), "head", where=left,
        names=lambda one: f"{one} ({', '.join(members[by_name[one]])})" if by_name[one] in members else one,
    )  # fmt: skip
    box = state.select("Prompt", boxes, "box", names=lambda one: f"asks for box {one} of those told", where=right)
    layer, head = by_name[name]
    shown = pd.concat([queries.pattern(parts.source(), one, layer, head, box) for one in dict.fromkeys((base, model))])
    if shown.empty:
        parts.nothing("Not kept", f"Head {layer}.{head} is not among the strongest of these models on this prompt.")
        return
    parts.figure(
        circuits.patterns(shown.to_dict("records"), parts.theme()), "attention-pattern", shown,
        alt="Attention of one head on one prompt: which token looks at which, a tile per model",
    )  # fmt: skip
    answers = "; ".join(f"{text.code(row.model_id)} answers {text.code(row.predicted)}" for row in shown.itertuples())
    st.caption(
        f"Down: the token that looks; across: what it sees. Right would be {text.code(shown['answer'].iloc[0])}; "
        f"{answers}. Attention says what a head reads, not whether the answer needs it: that is what patching says."
    )


@state.fragment
def _faithfulness(model: str, base: str) -> None:
    st.subheader("Faithfulness", anchor=False, help=meaning("faithfulness", "circuit_faithfulness"))
    data = queries.faithfulness(parts.source(), base)
    if data.empty:
        parts.nothing("Not measured yet", "Materialize `circuit_faithfulness`.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Accuracy of the base's circuit in each model**", help=meaning("accuracy_random"))
        dots = circuit_frames.faithfulness_dots(data, base)
        parts.figure(
            score.dots(dots, guides=False), "circuit-faithfulness", dots,
            alt="Accuracy of the whole model, of the circuit, and of random circuits, a line per model",
        )  # fmt: skip
        st.caption("Whiskers are 95 % intervals; of random circuits, the middle 95 % of their draws.")
    with right:
        st.markdown("**f of the strongest heads**", help=meaning("f", "faithfulness_curves"))
        curves = queries.faithfulness_curves(parts.source(), base)
        ablation = state.segments(
            "Other heads are replaced by their", ABLATIONS, "ablation", help=meaning("ablation", "faithfulness_curves")
        )
        shown = curves[curves["ablation"] == ablation]
        if shown["f"].notna().any():
            models = list(dict.fromkeys(shown["model_id"]))
            parts.figure(
                circuits.curves(shown, colours.assigned(models), model), "faithfulness-curves", shown,
                alt="f by the number of heads kept, a line per model, with the band of random heads",
            )  # fmt: skip
            st.caption(f"Shaded: as many random heads in {text.code(model)}.")
        else:
            parts.nothing("No curves", "They come with `circuit_faithfulness`.")
    parts.table(
        data, "circuit-faithfulness-table", of="circuit_faithfulness", digits=2,
        order=["model_id", "circuit_model_id", "accuracy_full", "accuracy_circuit", "accuracy_random",
               "accuracy_random_low", "accuracy_random_high", "p_value", "rank_p", "faithfulness", "f",
               "f_counterfactual",
               "completeness_random", "completeness_groups", "n_heads", "n_prompts"],
    )  # fmt: skip
    boxes = queries.by_box(parts.source(), base)
    if len(boxes):
        with st.expander("By the position of the queried box"):
            parts.table(boxes, "circuit-boxes", digits=2)


def _masks(model: str, base: str) -> None:
    st.subheader("What each group carries", anchor=False, help=meaning("desideratum", "component_masks"))
    data = queries.masks(parts.source(), base)
    data = data[data["model_id"].isin([model, base])]
    if data.empty:
        parts.nothing("No masks", "They are learned by `component_masks` for groups that have heads.")
        return
    dots = circuit_frames.mask_dots(data, model, base)
    parts.figure(
        score.dots(dots, guides=False), "component-masks", data,
        alt="Accuracy of the learned masks in base and descendant beside random masks, a tile per kind of information",
    )  # fmt: skip
    st.caption(
        "How often the object is named that follows if this kind of information comes from another prompt. "
        "Controls are random masks of the same size, in the same layers where these hold enough. Whiskers are 95 % "
        "intervals, of controls the middle 95 % of their draws."
    )
    with st.expander("Masks as a table"):
        parts.table(
            data, "component-masks-table", of="component_masks", digits=2,
            order=["model_id", "circuit_group", "desideratum", "heads", "accuracy", "accuracy_low", "accuracy_high",
                   "accuracy_random", "accuracy_random_high", "p_value", "rank_p", "n_prompts"],
        )  # fmt: skip


def _exchange(model: str, base: str) -> None:
    st.subheader("Heads exchanged with the base", anchor=False, help=meaning("accuracy_patched"))
    data = queries.exchanges(parts.source(), model)
    if data.empty:
        what = "A base has nobody to exchange with; pick a descendant." if model == base else "No heads were exchanged."
        parts.nothing("Nothing exchanged", what)
        return
    dots = circuit_frames.exchange_dots(data, base)
    parts.figure(
        score.dots(dots, guides=False), "cross-model-patching", data,
        alt="Accuracy with the other model's heads, group by group and both ways, beside random heads",
    )  # fmt: skip
    st.caption(
        "Each tile is one model run with the other's heads, group by group. Controls are as many random heads of the "
        "donor, in the same layers where these hold enough. Whiskers are 95 % intervals, of controls the middle 95 % "
        "of their draws."
    )
    with st.expander("Exchanges as a table"):
        parts.table(
            data, "cross-model-table", of="cross_model_patching", digits=2,
            order=["recipient_id", "donor_id", "component", "accuracy_recipient", "accuracy_patched",
                   "accuracy_random", "accuracy_random_high", "p_value", "rank_p", "random_draws", "random_in_layers",
                   "n_prompts"],
        )  # fmt: skip


def _robustness(steps: pd.DataFrame, model: str, base: str) -> None:
    st.subheader("How sure", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Own circuit against the base's**", help=meaning("jaccard", "circuit_overlap"))
        overlaps = queries.overlaps(parts.source(), base)
        if overlaps.empty:
            parts.nothing("Not compared yet", "Descendants' own circuits are compared by `circuit_faithfulness`.")
        else:
            parts.table(
                overlaps, "circuit-overlap", of="circuit_overlap", digits=2,
                order=["model_id", "what", "precision", "recall", "jaccard", "jaccard_low", "jaccard_high"],
            )  # fmt: skip
    with right:
        st.markdown("**The search done again**", help=meaning("jaccard_heads", "circuit_stability"))
        stability = queries.stability(parts.source(), base)
        if stability.empty:
            parts.nothing("Not repeated yet", "It comes with `circuits`.")
        else:
            parts.table(
                stability, "circuit-stability", of="circuit_stability", digits=2,
                order=["model_id", "resample", "jaccard_heads", "jaccard_edges", "n_heads", "n_edges"],
            )  # fmt: skip
        left_out = [name for name in steps["model_id"].drop_duplicates() if name not in set(stability["model_id"])]
        if len(stability) and left_out:
            st.caption(
                f"Not computed for {', '.join(map(text.code, left_out))}: below 105 prompts "
                "(`ROTOSCALE_CIRCUIT_PROMPTS`) only the base's search is done again."
            )
    data = queries.knockouts(parts.source(), model)
    if len(data):
        st.markdown("**Attention knocked out**", help=meaning("probability_change", "attention_knockouts"))
        pair = data["query_position"].fillna("") + " sees no " + data["key_position"].fillna("")
        data = data.assign(pair=pair.str.replace("_", " "))
        pairs = list(dict.fromkeys(data["pair"]))
        parts.figure(
            circuits.knockouts(data, colours.assigned(pairs)), "attention-knockouts", data,
            alt="Change of the right object's probability by layer, a line per pair of positions",
        )  # fmt: skip
        st.caption(
            "How much of the right object's probability is lost (−1: all of it) when, in a window of layers, one "
            "position does not see another. *Query label* is the letter of the box asked for, *previous query label* "
            "the same letter where the box was told of, *last* the position that answers."
        )
