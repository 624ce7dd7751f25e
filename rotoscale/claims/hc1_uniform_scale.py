"""HC1: singular values are scaled by nearly one factor."""

from __future__ import annotations

from statistics import median

from rotoscale.claims.arithmetic import coin_p, share_power, shown
from rotoscale.claims.claim import REFUTED, SUPPORTED, UNDECIDED, Claim, Evidence, Rows, Verdict, not_tested, number
from rotoscale.claims.claim import numbers as values_of

BANDS = 0.01
"""How far the scale factors of the largest, central and smallest tenth may lie apart."""


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, HC1: the share of matrices whose ratio spreads less than under noise, by a coin."""
    rows = evidence.of_model("scale_statistics")
    rests_on = (Rows("scale_statistics", {"model_id": evidence.model_id, "base_id": evidence.base_id}),)
    spreads = [(number(row, "ratio_cv"), number(row, "ratio_cv_noise")) for row in rows]
    pairs = [(own, noise) for own, noise in spreads if own is not None and noise is not None and own != noise]
    if not pairs:
        return not_tested("no matrix has the spread of its ratio under noise beside its own", rests_on)
    from rotoscale.intervals import wilson

    below, n = sum(own < noise for own, noise in pairs), len(pairs)
    share = wilson(below, n)
    bands = [median(found) for band in ("top", "middle", "bottom") if (found := values_of(rows, f"alpha_{band}"))]
    apart = max(bands) / min(bands) - 1 if len(bands) == 3 and min(bands) > 0 else None
    together = apart is not None and apart <= BANDS
    text = (
        f"the ratio of singular values spreads less than under noise of the same size in {below} of {n} matrices "
        f"(median {shown(median(o for o, _ in pairs), 4)}, noise {shown(median(c for _, c in pairs), 4)}), and the "
        f"scale factors of its bands lie {shown(None if apart is None else 100 * apart, 2)} % apart"
    )
    word = UNDECIDED
    if share.low > 0.5 and together:
        word = SUPPORTED
    elif share.high < 0.5:
        word = REFUTED
    alphas = values_of(rows, "alpha_median")
    if word == SUPPORTED and alphas and median(alphas) < 1:
        text += "; a uniform factor below 1 is also what plain weight decay leaves"
    return Verdict(
        verdict=word,
        reason=text,
        statistic="share of matrices whose ratio spreads less than under noise",
        estimate=share.estimate,
        ci_low=share.low,
        ci_high=share.high,
        control=0.5,
        p_value=coin_p(below, n),
        n=n,
        power=share_power(n),
        rests_on=rests_on,
    )


CLAIM = Claim(
    name="HC1",
    sentence="Post-training scales the singular values of a matrix by nearly one factor.",
    evidence="The ratio of post to base singular values of every matrix: its coefficient of variation, and the median "
    "ratio in the largest, central and smallest tenth.",
    control="The same spread after Gaussian noise of the change's size in the base's own basis, one draw for each "
    "matrix; a uniform factor below 1 is also what weight decay leaves.",
    supported_by="The ratio spreads less than under noise in most matrices (the 95 % score interval of their share "
    "lies above one half), and the median factors of the three bands are within 1 % of each other.",
    refuted_by="The ratio spreads more than under noise in most matrices: the 95 % score interval of the share that "
    "spreads less lies below one half.",
    otherwise="Undecided in between; not tested without the spread under noise.",
    rule_version="1",
    tables=("scale_statistics",),
    needs=("scale_statistics",),
    rule=rule,
)
