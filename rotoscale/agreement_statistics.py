"""The row of statistics on left-right agreement and the energy of a change, each with the text that users read.

Without torch or numpy, because everything that loads the tables' definitions loads it. How the numbers come about is
in docs/methods.md, section 2b; they are computed by `rotoscale.agreement`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rotoscale.statistic import statistic

STANDARD, FULL = "standard", "full"


@dataclass(frozen=True)
class AgreementStatistics:
    """One matrix: did left and right change together, and where does the change's energy lie?

    Written with dW = W_post - W_base, and D = U^T dW V, U and V the base's singular vectors over its numerical rank.
    None where there is nothing to measure: no change at all, or none beyond rounding.
    """

    depth: str = statistic(
        "How deep it goes: standard (the base's singular vectors alone) or full (the post model's as well).",
        default=STANDARD,
    )
    numerical_rank: int = statistic("Components of the base that have defined singular vectors: D has this size.")
    tau: float | None = statistic(
        "Left-right agreement, sum of D_ij D_ji over sum of D_ij^2, i and j different: 1 for He and Cao's formula, 0 "
        "for noise, below 0 where the two sides rotated differently; empty where the change is a multiple of the base "
        "up to rounding."
    )
    z: float | None = statistic("The numerator of tau over its standard deviation under random sign flips.")
    p_together: float | None = statistic(
        "One-sided p of tau above what sign flips, and independent rounding of the elements, give."
    )
    p_apart: float | None = statistic("One-sided p of tau below the same.")
    q_together: float | None = statistic("p_together after Benjamini and Hochberg over the matrices of the model.")
    q_apart: float | None = statistic("p_apart after Benjamini and Hochberg over the matrices of the model.")
    tau_rounding: float | None = statistic(
        "The tau to be expected if the elements' changes had their sizes but independent signs, as rounding has."
    )
    tau_without_gains: float | None = statistic(
        "tau of what is left of dW after the best gains of rows and columns; noise gives tau_without_gains_expected."
    )
    tau_without_gains_expected: float | None = statistic("tau_without_gains of white noise fitted in the same way.")
    p_without_gains: float | None = statistic("One-sided p of tau_without_gains above its expectation, by sign flips.")
    gains_share: float | None = statistic("Share of |dW|^2 that gains of rows and columns explain, uniform scale too.")
    share_scale: float | None = statistic("Share of |dW|^2 that is one uniform scale of the base.")
    share_diagonal: float | None = statistic("Share of |dW|^2 in the rest of D's diagonal: an uneven scale.")
    share_shared: float | None = statistic("Share of |dW|^2 in the symmetric part of D off the diagonal: together.")
    share_apart: float | None = statistic("Share of |dW|^2 in the antisymmetric part of D: the sides apart.")
    share_outside: float | None = statistic("Share of |dW|^2 outside the spaces of the base's singular vectors.")
    share_scale_expected: float | None = statistic("share_scale of white noise.")
    share_diagonal_expected: float | None = statistic("share_diagonal of white noise.")
    share_shared_expected: float | None = statistic("share_shared of white noise.")
    share_apart_expected: float | None = statistic("share_apart of white noise.")
    share_outside_expected: float | None = statistic("share_outside of white noise.")
    principal_share: float | None = statistic("Share of |dW|^2 in the block of the base's leading components.")
    principal_share_expected: float | None = statistic("principal_share of white noise.")
    p_principal: float | None = statistic("p of a principal_share this large under white noise.")
    principal_k: int = statistic("Components in the leading block: a tenth of the rank, at least 8.")
    n_flips: int | None = statistic("Sign flips drawn for each p value.")
    seed: int | None = statistic("Seed of the sign flips.", type="BIGINT")
    principal_angle: float | None = statistic(
        "Sine of the largest angle between the two models' leading principal_k singular vectors, the larger of left "
        "and right (full depth)."
    )
    change_stable_rank: float | None = statistic(
        "|dW|_F^2 / |dW|_2^2: about how many directions carry dW (full depth)."
    )
    change_rank_90: int | None = statistic(
        "Components of dW's own decomposition that hold 90 % of |dW|^2 (full depth)."
    )
    change_top_energy: float | None = statistic(
        "Share of |dW|^2 in the leading principal_k components of dW's own decomposition (full depth)."
    )
