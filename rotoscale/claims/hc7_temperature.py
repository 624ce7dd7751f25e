"""HC7: the scale of query and key sets the temperature of attention."""

from __future__ import annotations

from rotoscale.claims.arithmetic import shown
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

FEWEST_LAYERS = 6


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, HC7: rank correlation of predicted and measured change, layers as units."""
    rests_on = (
        Rows("temperature_test", {"model_id": evidence.model_id}),
        Rows("attention_temperature", {"model_id": evidence.model_id}),
    )
    row = next(iter(evidence.of_model("temperature_test")), None)
    found = None if row is None else number(row, "spearman")
    if row is None or found is None:
        why = str((row or {}).get("note") or "") or "predicted and measured attention cannot be compared"
        return not_tested(why, rests_on)
    layers, p = int(row.get("n_layers") or 0), number(row, "p_value")
    low, high = number(row, "ci_low"), number(row, "ci_high")
    word = UNDECIDED
    if layers >= FEWEST_LAYERS:
        if found > 0 and p is not None and p < LEVEL:
            word = SUPPORTED
        elif high is not None and high < 0:
            word = REFUTED
    text = (
        f"predicted temperature and measured change of attention entropy have the rank correlation {shown(found, 2)} "
        f"over {layers} layers (permutation p {shown(p)})"
    )
    if layers < FEWEST_LAYERS:
        text += f"; fewer than {FEWEST_LAYERS} layers decide nothing"
    return Verdict(
        verdict=word,
        reason=text,
        statistic="Spearman correlation over layers of predicted temperature and change of attention entropy",
        estimate=found,
        ci_low=low,
        ci_high=high,
        control=0.0,
        p_value=p,
        n=layers,
        rests_on=rests_on,
    )


CLAIM = Claim(
    name="HC7",
    sentence="The scale of q and k acts as a temperature of attention.",
    evidence="The temperature that the scale factors of q and k predict against the measured change of attention "
    "entropy, layers as units.",
    control="Permuted layers.",
    supported_by="The rank correlation over layers is positive, with a permutation p below 0.05.",
    refuted_by="The correlation's interval lies below 0.",
    otherwise="Undecided in between and below 6 layers; not tested where the model normalises q and k.",
    rule_version="1",
    tables=("temperature_test",),
    needs=("temperature_test",),
    rule=rule,
)
