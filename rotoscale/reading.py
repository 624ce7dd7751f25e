"""One sentence that reads a comparison the way docs/methods.md says it should be read."""

from __future__ import annotations

UNCHANGED_NF = 0.003
"""Storing weights in bfloat16 alone gives an NF of about 0.002: below this, say "unchanged"."""

ABOUT = 0.10
"""NF within 10 % of its null counts as "what noise does": the two nulls agree no better than that."""

UNRELATED = 0.9
"""From 90 % of the unrelated level on, a pair looks unrelated."""


def read_comparison(
    *,
    relative_change: float | None,
    alpha: float | None,
    alpha_p05: float | None,
    alpha_p95: float | None,
    nf: float | None,
    nf_over_unrelated: float | None,
    nf_over_null: float | None,
) -> str:
    """One sentence on a pair of checkpoints from the medians over its matrices (docs/methods.md, sections 1 and 2).

    relative_change: |post - base| / |base|; alpha, with its 5th and 95th percentile: scale factor; nf: median NF;
    nf_over_unrelated and nf_over_null: the same over the unrelated level and over the null.
    """
    if not relative_change:
        return "The principal matrices are the same in both: nothing was changed there."
    if nf is None or alpha is None:
        return "The matrices have no singular values to compare."
    if nf_over_unrelated is not None and nf_over_unrelated >= UNRELATED:
        return (
            f"NF is {100 * nf_over_unrelated:.0f} % of the level of unrelated matrices: by its weights this model does "
            "not descend from that base (or its neurons were permuted)."
        )
    if nf < UNCHANGED_NF:
        return f"NF is {nf:.4f}, no more than storing the weights in bfloat16 leaves: the vectors are unchanged."
    scale = f"Singular values were scaled by {alpha:.4f} (5-95 %: {alpha_p05:.4f} to {alpha_p95:.4f})"
    if alpha < 1:
        scale += ", as plain weight decay would too"
    if nf_over_null is None:
        return f"{scale}; the rotation of the singular vectors has no null to be read against."
    if nf_over_null < 1 - ABOUT:
        rotation = "left and right vectors rotated together more than noise of the same size rotates them"
    elif nf_over_null > 1 + ABOUT:
        rotation = "left and right vectors came apart more than noise of the same size drives them"
    else:
        rotation = "the vectors rotated as noise of the same size rotates them, no sign of more"
    return f"{scale}; {rotation} (NF over its null {nf_over_null:.2f})."
