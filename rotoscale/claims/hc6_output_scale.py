"""HC6: in reasoning models the attention output is scaled up beyond query, key and value."""

from __future__ import annotations

from statistics import median

from rotoscale.claims.arithmetic import median_interval, p_above, shown
from rotoscale.claims.claim import (
    LEVEL,
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Claim,
    Evidence,
    Rows,
    Verdict,
    not_tested,
    number,
)
from rotoscale.multiple import benjamini_hochberg

REASONING, INSTRUCT = "reasoning", "instruct"
OTHERS = ("q", "k", "v")


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, HC6: alpha of o against the largest of q, k and v, paired over layers."""
    models = {
        method: [row for row in evidence.rows("models", method=method, role="descendant")]
        for method in (REASONING, INSTRUCT)
    }
    bases = {row["base_id"] for row in models[REASONING]} & {row["base_id"] for row in models[INSTRUCT]}
    for method, found in models.items():
        if not found:
            return not_tested(f"the family has no descendant of the method {method}")
    if not bases:
        return not_tested("no reasoning and instruct model of the family have the same base")
    layers = {
        (method, row["model_id"]): _by_layer(evidence, row["model_id"], row["base_id"])
        for method, found in models.items()
        for row in found
        if row["base_id"] in bases
    }
    layers = {key: found for key, found in layers.items() if found}
    rests_on = tuple(Rows("scale_statistics", {"model_id": model}) for _, model in layers)
    for method in (REASONING, INSTRUCT):
        if not any(key[0] == method for key in layers):
            return not_tested(f"no {method} model has the scale factors of q, k, v and o", rests_on)
    names = list(layers)
    above = dict(zip(names, _corrected([[o - max(rest) for o, *rest in layers[key]] for key in names]), strict=True))
    below = dict(zip(names, _corrected([[min(rest) - o for o, *rest in layers[key]] for key in names]), strict=True))
    reasoning, instruct = ([key for key in names if key[0] == method] for method in (REASONING, INSTRUCT))
    up, up_instruct = ([key for key in keys if above[key] < LEVEL] for keys in (reasoning, instruct))
    word = UNDECIDED
    if len(up) == len(reasoning) and not up_instruct:
        word = SUPPORTED
    elif all(below[key] < LEVEL for key in reasoning):
        word = REFUTED
    excess = [o - sum(rest) / len(rest) for key in reasoning for o, *rest in layers[key]]
    control = median(o - sum(rest) / len(rest) for key in instruct for o, *rest in layers[key])
    middle, low, high = median_interval(excess)
    text = (
        f"alpha of o exceeds those of q, k and v by {shown(middle, 4)} in the median over layers of reasoning models "
        f"and by {shown(control, 4)} in instruct models; it is shown to be the largest in {len(up)} of "
        f"{len(reasoning)} reasoning and {len(up_instruct)} of {len(instruct)} instruct models"
    )
    fewest = min(len(layers[key]) for key in reasoning)
    if fewest < 5:
        text += f"; {fewest} layers are too few for the test to show anything"
    p_values = [p_above([o - max(rest) for o, *rest in layers[key]]) for key in reasoning]
    return Verdict(
        verdict=word,
        reason=text,
        statistic="alpha of o less the mean of q, k and v, median over layers of reasoning models",
        estimate=middle,
        ci_low=low,
        ci_high=high,
        control=control,
        p_value=max(p_values),
        q_value=max(above[key] for key in reasoning),
        n=len(excess),
        rests_on=rests_on,
    )


def _by_layer(evidence: Evidence, model: str, base: str) -> list[tuple[float, ...]]:
    """Alphas of o, q, k and v of every layer that has all four."""
    found: dict[int, dict[str, float]] = {}
    for row in evidence.rows("scale_statistics", model_id=model, base_id=base):
        alpha = number(row, "alpha_median")
        if row["matrix"] in ("o", *OTHERS) and alpha is not None:
            found.setdefault(row["layer"], {})[row["matrix"]] = alpha
    wanted = ("o", *OTHERS)
    return [tuple(of[name] for name in wanted) for _, of in sorted(found.items()) if len(of) == len(wanted)]


def _corrected(samples: list[list[float]]) -> list[float]:
    return [1.0 if q is None else q for q in benjamini_hochberg([p_above(sample) for sample in samples])]


CLAIM = Claim(
    name="HC6",
    sentence="Reasoning models scale the attention output o up beyond q, k and v; instruct models do not.",
    evidence="The scale factor (median ratio) of o against those of q, k and v in every layer of the family's "
    "reasoning models, paired over layers by signed ranks.",
    control="The instruct descendants of the same base.",
    supported_by="In every reasoning model alpha of o is above the largest of q, k and v (q < 0.05), and in no "
    "instruct model of the same base.",
    refuted_by="The opposite order: in every reasoning model alpha of o is below the smallest of q, k and v (q < "
    "0.05).",
    otherwise="Undecided in between, as with fewer than 5 layers, where no such test can show anything; not tested "
    "without a reasoning and an instruct model of one base.",
    rule_version="1",
    tables=("models", "scale_statistics"),
    needs=("models", "scale_statistics"),
    rule=rule,
    scope="family",
)
