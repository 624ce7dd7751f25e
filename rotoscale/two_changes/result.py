"""The numbers on two descendants' changes of one matrix, each beside what chance gives."""

from __future__ import annotations

from dataclasses import dataclass

from rotoscale.statistic import statistic


@dataclass(frozen=True, kw_only=True)
class TwoChanges:
    """Two changes dW_a, dW_b (m x n) of one base matrix (docs/methods.md, section 5b)."""

    norm_a: float | None = statistic("|dW_a|, Frobenius.")
    norm_b: float | None = statistic("|dW_b|.")
    cosine: float | None = statistic("Cosine of the two changes; missing where one of them is zero.")
    cosine_chance: float | None = statistic(
        "Its standard deviation under random signs of rows and columns, which leave every size in its place; mean 0."
    )
    cosine_p: float | None = statistic("Two-sided p of the cosine by 999 such sign flips.")
    cosine_q: float | None = statistic("The same after Benjamini and Hochberg over the matrices of the pair.")
    sign_agreement: float | None = statistic("Share of equal signs among elements that both changed; chance: one half.")
    sign_chance_sd: float | None = statistic("Standard deviation of that share under random signs of rows and columns.")
    largest_overlap: float | None = statistic("Share of a's largest 1 % of changes that are among b's largest 1 %.")
    largest_chance: float | None = statistic("That share if each had its counts by row and by column, and no more.")
    k: int | None = statistic("Leading components of each change that are compared.")
    left_overlap: float | None = statistic(
        "Mean squared cosine of the principal angles between the k leading left spaces of the two changes."
    )
    left_chance: float | None = statistic("That of two random k-dimensional spaces: k / m.")
    left_chance_sd: float | None = statistic("Its standard deviation.")
    left_angles: list[float] = statistic("Principal angles of the left spaces in degrees, ascending.", factory=list)
    right_overlap: float | None = statistic("The same of the right spaces.")
    right_chance: float | None = statistic("That of two random spaces: k / n.")
    right_chance_sd: float | None = statistic("Its standard deviation.")
    right_angles: list[float] = statistic("Principal angles of the right spaces in degrees, ascending.", factory=list)
    changed_a: float | None = statistic("Share of elements that a changed: not the base's, rounded to a's format.")
    changed_b: float | None = statistic("Share of elements that b changed.")
    changed_both: float | None = statistic("Share of elements that both changed.")
    changed_chance: float | None = statistic("changed_a times changed_b.")
    changed_chance_margins: float | None = statistic(
        "Share that both would have changed if each had its counts by row and by column, and no more."
    )
    undone: float | None = statistic(
        "Where b comes after a: the part of dW_a that the later stage took back, -<dW_b - dW_a, dW_a> / |dW_a|^2; "
        "below 0 it went further the same way."
    )
    undone_chance: float | None = statistic("Its standard deviation under random signs of rows and columns; mean 0.")
