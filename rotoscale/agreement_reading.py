"""What the numbers on a pair of models say, in sentences that are true of identical, scaled, and unrelated pairs too.

Agreement is reported as "left and right changed together", never as a proof of rotation: gains of rows and columns
give it as well. What was not measured is said at the end. docs/methods.md, section 2b.
"""

from __future__ import annotations

from collections.abc import Mapping

from rotoscale.agreement_statistics import FULL
from rotoscale.multiple import WORTH_SAYING
from rotoscale.pair_summary import PairSummary

FORMULA = 0.9
"""Median tau from which the two sides agree about as closely as He and Cao's formula has it."""

UNEVEN = 1.1
"""The part that changed most is named where it changed more than this many times as much as the least changed one."""

_EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def read_pair(pair: PairSummary) -> list[str]:
    """The reading of a pair of models: how much and where, scale, agreement, and what is not known."""
    if not pair.matrices:
        return ["There are no principal matrices to compare."]
    if not pair.changed:
        return ["The principal matrices are identical in both models: nothing was changed there."]
    if pair.looks_unrelated:
        return _unrelated(pair)
    sentences = [_how_much(pair), *_rounding(pair), *_scale(pair), *_agreement(pair), *_budget(pair), *_leading(pair)]
    return sentences + _not_known(pair)


def rounding_level(dtype: str) -> float | None:
    """|error| / |W| that storing Gaussian weights in this format leaves: about a fifth of its eps; None if unknown."""
    epsilon = _EPSILON.get(dtype)
    return None if epsilon is None else 0.21 * epsilon


def _unrelated(pair: PairSummary) -> list[str]:
    sentences = [
        f"The weights of the two models, as they are stored, have nothing in common (cosine {pair.cosine:.3f} in the "
        f"median over {pair.changed} matrices). Scale and agreement of such a pair mean nothing.",
        f"Lineage: {pair.lineage}. {pair.lineage_reason}"
        if pair.lineage
        else "Whether they share an initialisation was not tested; `rotoscale lineage` tests it.",
    ]
    if pair.nf_over_unrelated is not None:
        sentences.append(f"NF is {percent(pair.nf_over_unrelated)} of the level of unrelated matrices.")
    return sentences


def _how_much(pair: PairSummary) -> str:
    where = "" if pair.changed == pair.matrices else f", in {pair.changed} of {pair.matrices} matrices"
    if pair.relative_change is None:
        return f"The weights changed{where}."
    text = f"The weights changed by {percent(pair.relative_change)}{where} (|post - base| / |base|"
    least, most = _extremes(pair.change_by_type) if pair.change_by_type else ("", "")
    if least != most and pair.change_by_type[most] > UNEVEN * pair.change_by_type[least]:
        text += f"; least in {least}, {percent(pair.change_by_type[least])}, most in {most}, "
        text += percent(pair.change_by_type[most])
    text += ")"
    if pair.identical_share is not None:
        text += f"; {percent(pair.identical_share)} of the weights are bit-identical in the median matrix"
    return text + "."


def _rounding(pair: PairSummary) -> list[str]:
    level = rounding_level(pair.dtype) if pair.dtype else None
    if level is None or pair.relative_change is None or pair.relative_change > 2 * level:
        return []
    return [
        f"That is no more than about what storing weights in {pair.dtype} leaves ({percent(level)}): much of it may "
        "be rounding, which is why agreement is held against the tau that rounding would give."
    ]


def _scale(pair: PairSummary) -> list[str]:
    share = pair.budget.get("scale")
    if pair.alpha is None or share is None:
        return []
    alpha = f"{pair.alpha:.4f} (5 to 95 % of matrices: {pair.alpha_p05:.4f} to {pair.alpha_p95:.4f})"
    decay = ", as plain weight decay would leave" if round(pair.alpha, 4) < 1 else ""
    if not pair.with_tau and share > FORMULA:
        return [f"The matrices were merely scaled, by {alpha}{decay}: nothing beside it is larger than rounding."]
    text = f"One factor per matrix, {alpha}{decay}, makes {percent(share)} of the change's energy"
    if pair.ratio_cv is not None and pair.ratio_cv_noise is not None:
        text += (
            f"; the ratio of the singular values spreads by {percent(pair.ratio_cv)}, "
            f"under noise of the change's size by {percent(pair.ratio_cv_noise)}"
        )
    return [f"{text}."]


def _agreement(pair: PairSummary) -> list[str]:
    n, without = pair.with_tau, pair.changed - pair.with_tau
    if not n or pair.tau_median is None:
        return ["Left and right cannot be compared: no matrix changed off the diagonal by more than rounding."]
    taus = f"median tau {pair.tau_median:.3f}, {pair.tau_smallest:.3f} to {pair.tau_largest:.3f}"
    meaning = "1 is He and Cao's formula, 0 is noise"
    if pair.together:
        text = f"Left and right changed together in {pair.together} of {n} matrices ({taus}; {meaning})"
        if pair.tau_median >= FORMULA:
            text += ", about as closely as He and Cao's formula has it"
    else:
        text = f"In none of {n} matrices were left and right shown to change together ({taus}; {meaning})"
    text += "."
    if pair.weakly_together:
        more = "more " if pair.together else ""
        text += (
            f" In {pair.weakly_together} {more}the agreement is significant but weak (tau up to {WORTH_SAYING:g}), "
            "a small part of the change."
        )
    if pair.together and pair.together_without_gains is not None:
        text += (
            f" In {pair.together_without_gains} of the {pair.together} it remains after gains of rows and columns are "
            "taken out."
        )
    if pair.apart:
        text += f" In {pair.apart} of {n} they changed apart, each side in its own way."
    if without:
        text += f" {without} of {pair.changed} matrices have no tau: off the diagonal nothing is larger than rounding."
    return [text]


def _budget(pair: PairSummary) -> list[str]:
    if not pair.budget or not pair.budget_expected or not pair.with_tau:
        return []
    words = {
        "diagonal": "the rest of the diagonal",
        "shared": "both sides together",
        "apart": "the sides apart",
        "outside": "outside the base's spaces",
    }
    parts = ", ".join(
        f"{word} {percent(pair.budget[part])} ({percent(pair.budget_expected[part])})" for part, word in words.items()
    )
    text = f"Energy of the change, and in brackets that of noise: {parts}"
    if pair.together and len(pair.together_by_type) > 1:
        _, most = _extremes(pair.together_by_type)
        if pair.together_by_type[most] > 0.01:
            text += f"; together exceeds apart most in {most}, by {percent(pair.together_by_type[most])}"
    return [text + "."]


def _leading(pair: PairSummary) -> list[str]:
    if pair.principal_over_expected is None or not pair.with_tau:
        return []
    return [
        f"The block of the base's leading tenth of components holds {pair.principal_over_expected:.2g} times the "
        "energy that noise would put there."
    ]


def _not_known(pair: PairSummary) -> list[str]:
    unknown = []
    if pair.cosine is None and pair.nf_over_unrelated is None:
        unknown.append("whether the two models are related at all")
    if pair.identical_share is None:
        unknown.append("how many weights are bit-identical")
    if pair.alpha is None:
        unknown.append("the scale")
    if pair.depth != FULL:
        unknown.append("how far the post model's own singular vectors rotated (NF and angles: full depth)")
    if pair.together and pair.together_without_gains is None:
        unknown.append("what of the agreement is gains of rows and columns")
    if pair.together or pair.weakly_together:
        unknown.append("whether a shared rotation is the cause: changing together is no proof of it")
    elif pair.with_tau:
        unknown.append("whether there is agreement too weak to be shown")
    unknown.append("whether any of this matters for what the model does, which only edits and scores can tell")
    return [f"Not known: {'; '.join(unknown)}."]


def _extremes(values: Mapping[str, float]) -> tuple[str, str]:
    ordered = sorted(values, key=lambda kind: values[kind])
    return ordered[0], ordered[-1]


def percent(share: float) -> str:
    """`12 %`, `1.2 %`, `0.012 %`; what is only nearly 0 or 100 % is said to be so."""
    if 0 < share < 1e-5:
        return "less than 0.001 %"
    if 0.9995 < share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.3g} %" if abs(share) < 10 else f"{100 * share:.0f} %"
