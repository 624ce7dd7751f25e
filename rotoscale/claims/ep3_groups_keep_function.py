"""EP3: a group of heads carries the same information in base and descendant."""

from __future__ import annotations

from dataclasses import dataclass

from rotoscale.claims.arithmetic import beyond_random, shown
from rotoscale.claims.claim import (
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Claim,
    Evidence,
    Row,
    Rows,
    Verdict,
    not_tested,
    number,
)
from rotoscale.multiple import benjamini_hochberg


@dataclass(frozen=True)
class _Leader:
    """The desideratum that a group carries most in one model; `clear` when its interval lies above the next one's."""

    row: Row
    q_value: float
    clear: bool

    @property
    def name(self) -> str:
        return str(self.row["desideratum"])

    @property
    def beyond_random(self) -> bool:
        return beyond_random(self.q_value, number(self.row, "rank_p"))


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, EP3: the leading desideratum of every group of the base's circuit, in both models."""
    models = (evidence.base_id, evidence.model_id)
    rests_on = tuple(
        Rows("component_masks", {"model_id": model, "circuit_model_id": evidence.base_id}) for model in models
    )
    in_base, in_model = (_leaders(evidence, model) for model in models)
    both = [(in_base[group], in_model[group]) for group in sorted(in_base.keys() & in_model.keys())]
    if not both:
        return not_tested("no group of the base's circuit has masks in both models", rests_on)
    carried = [(base, model) for base, model in both if base.beyond_random and base.clear]
    if not carried:
        return Verdict(
            verdict=UNDECIDED,
            reason="in the base no group carries one desideratum clearly and beyond random masks",
            rests_on=rests_on,
        )
    same = [(base, model) for base, model in carried if base.name == model.name and model.beyond_random]
    other = [(b, m) for b, m in carried if b.name != m.name and m.beyond_random and m.clear]
    word = UNDECIDED
    if other:
        word = REFUTED
    elif len(same) == len(carried):
        word = SUPPORTED
    parts = [f"{b.row['circuit_group']} {b.name} ({shown(number(b.row, 'accuracy'), 2)}) and {m.name} "
             f"({shown(number(m.row, 'accuracy'), 2)})" for b, m in carried]  # fmt: skip
    _, weakest = min(carried, key=lambda pair: number(pair[1].row, "accuracy") or 0.0)
    return Verdict(
        verdict=word,
        reason=f"what leads in base and descendant, by group: {'; '.join(parts)}",
        statistic=f"accuracy of the leading desideratum in the descendant, least over groups "
        f"({weakest.row['circuit_group']}, {weakest.name})",
        estimate=number(weakest.row, "accuracy"),
        ci_low=number(weakest.row, "accuracy_low"),
        ci_high=number(weakest.row, "accuracy_high"),
        control=number(weakest.row, "accuracy_random"),
        p_value=number(weakest.row, "p_value"),
        q_value=weakest.q_value,
        n=int(weakest.row.get("n_prompts") or 0),
        rests_on=rests_on,
    )


def _leaders(evidence: Evidence, model: str) -> dict[str, _Leader]:
    rows = [
        row
        for row in evidence.rows("component_masks", model_id=model, circuit_model_id=evidence.base_id)
        if number(row, "accuracy") is not None
    ]
    q_values = benjamini_hochberg([number(row, "p_value") for row in rows])
    by_group: dict[str, list[tuple[float, int]]] = {}
    for i, row in enumerate(rows):
        by_group.setdefault(row["circuit_group"], []).append((float(row["accuracy"]), i))
    found = {}
    for group, of_group in by_group.items():
        (_, first), *rest = sorted(of_group, reverse=True)
        low = number(rows[first], "accuracy_low")
        next_high = [number(rows[i], "accuracy_high") for _, i in rest]
        clear = low is not None and all(high is not None and high < low for high in next_high)
        q = q_values[first]
        found[group] = _Leader(rows[first], 1.0 if q is None else q, clear)
    return found


CLAIM = Claim(
    name="EP3",
    sentence="The circuit's groups of heads keep their function after fine-tuning.",
    evidence="Desiderata-based component masks of every group of the base's circuit, learned in the base and in the "
    "descendant: which desideratum leads.",
    control="Random masks of the same size (q < 0.05 and rank p at most 0.05).",
    supported_by="In every group that clearly carries one desideratum in the base, the same one leads in the "
    "descendant, above random masks.",
    refuted_by="In such a group another desideratum clearly leads in the descendant, above random masks.",
    otherwise="Undecided in between; not tested where a group has no masks in both models, as empty groups have.",
    rule_version="2",
    tables=("component_masks",),
    needs=("component_masks",),
    of_others=("component_masks",),
    rule=rule,
)
