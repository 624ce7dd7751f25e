"""The statistics of matrices and pairs of matrices: names, types and explanations, without any arithmetic.

Every field is missing (None, or an empty list) unless it is given, and all are given by name. A table's columns are
made from these fields (`rotoscale.statistic.described`), so that this module stays light: no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from rotoscale.statistic import statistic


@dataclass(frozen=True, kw_only=True)
class SingularValues:
    """Size, rank and singular values of one matrix."""

    rows: int | None = statistic("Output features m.")
    cols: int | None = statistic("Input features n.")
    rank: int | None = statistic("Numerical rank: components above max(m, n) eps s[0].")
    singular_values: list[float] = statistic("Singular values, descending.", factory=list)


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Norms and ranks of one matrix, all from its singular values s (r,); no rank of a zero matrix."""

    frobenius_norm: float | None = statistic("Root of the sum of squared entries.")
    spectral_norm: float | None = statistic("Largest singular value.")
    nuclear_norm: float | None = statistic("Sum of the singular values.")
    stable_rank: float | None = statistic("|W|_F^2 / s[0]^2.")
    effective_rank: float | None = statistic("exp of the entropy of the normalised singular values.")


@dataclass(frozen=True, kw_only=True)
class DecompositionQuality:
    """How a decomposition was made, and how good it is."""

    residual: float | None = statistic(
        "Relative reconstruction error of the factors, estimated with 16 random probes; empty for values alone."
    )
    orthogonality_error: float | None = statistic(
        "Orthogonality of the vectors: largest |U^T U - I| found, by random probes and of the last ones entry by entry."
    )
    kernel: str | None = statistic(
        "Route taken: gram-eigh (fast) or full-svd (badly conditioned); gram-values or svd-values without vectors."
    )
    weight_hash: str | None = statistic("SHA-256 of the matrix, independent of how it is stored.")
    seconds: float | None = statistic("Time spent decomposing, by whoever did it first.")


@dataclass(frozen=True, kw_only=True)
class ScaleStatistics:
    """Scale of a post-trained matrix against its base (docs/methods.md, section 1); missing for a zero base."""

    alpha_median: float | None = statistic("Scale factor: median of s_post / s_base.")
    alpha_mean: float | None = statistic("Scale factor: mean of s_post / s_base.")
    alpha_least_squares: float | None = statistic("Scale factor that minimises |s_post - alpha s_base|.")
    alpha_frobenius: float | None = statistic("Scale factor |W_post|_F / |W_base|_F.")
    ratio_cv: float | None = statistic(
        "Standard deviation of s_post / s_base over its mean: 0 is perfectly uniform scaling."
    )
    ratio_p05: float | None = statistic("5th percentile of s_post / s_base.")
    ratio_p95: float | None = statistic("95th percentile of s_post / s_base.")
    unexplained: float | None = statistic("|s_post - alpha s_base| / |s_post|: what one factor leaves unexplained.")
    alpha_top: float | None = statistic("Median ratio in the largest tenth of the singular values.")
    alpha_middle: float | None = statistic("Median ratio in the central tenth.")
    alpha_bottom: float | None = statistic("Median ratio in the smallest tenth.")
    ratio_cv_noise: float | None = statistic(
        "ratio_cv that noise of the change's size would have left (one draw); empty where nothing changed."
    )
    unexplained_noise: float | None = statistic("unexplained of that draw.")
    alpha_top_noise: float | None = statistic("alpha_top of that draw.")
    alpha_bottom_noise: float | None = statistic("alpha_bottom of that draw.")
    ratio: list[float | None] = statistic("s_post / s_base, component by component.", factory=list)


_ROW_NORM_RATIO = "Mean ratio of row norms, post over base."
_ROW_COSINE = "Mean cosine between matching rows."


@dataclass(frozen=True, kw_only=True)
class RowChange:
    """Magnitude and angle of a matrix's rows (docs/methods.md, section 6), averaged over rows that are not zero."""

    row_norm_ratio: float | None = statistic(_ROW_NORM_RATIO)
    row_cosine: float | None = statistic(_ROW_COSINE)


@dataclass(frozen=True, kw_only=True)
class RotationStatistics:
    """Rotation of a post-trained matrix against its base (docs/methods.md, section 2), beside what noise would show.

    Missing where the matrix has no singular vectors. `rotoscale.rotation_statistics` fills in what follows from the
    overlaps; the change's size, its rows and the nulls are added by whoever knows them. At standard depth, without the
    post model's vectors, there are only the size and the rows.
    """

    numerical_rank: int | None = statistic("Components compared: the smaller numerical rank of the two.")
    relative_change: float | None = statistic("|W_post - W_base|_F / |W_base|_F.")
    nf: float | None = statistic("|I_orth - I|_F / sqrt(r): 0 when one shared rotation moved left and right vectors.")
    orth_distance: float | None = statistic("|I_orth - I|_F, undivided.")
    nf_null: float | None = statistic(
        "NF expected of Gaussian noise of the same norm, first-order theory, capped at unrelated."
    )
    nf_null_simulated: float | None = statistic(
        "NF of the base plus Gaussian noise of the same norm, the median of null_draws draws; only where asked for."
    )
    nf_null_low: float | None = statistic("The smallest of those draws; none where there is one.")
    nf_null_high: float | None = statistic("The largest of those draws; none where there is one.")
    nf_over_null: float | None = statistic(
        "NF over its null, the simulated one where asked for, else nf_null; read tau for a verdict."
    )
    nf_unrelated: float | None = statistic("NF of two unrelated matrices of this shape.")
    nf_top: float | None = statistic("NF of the leading block of components.")
    nf_middle: float | None = statistic("NF of the central block.")
    nf_bottom: float | None = statistic("NF of the trailing block.")
    left_top: float | None = statistic("Mean |diag U_base^T U_post| of the leading block: 1 is an unrotated vector.")
    left_middle: float | None = statistic("The same, central block.")
    left_bottom: float | None = statistic("The same, trailing block.")
    right_top: float | None = statistic("Mean |diag V_base^T V_post| of the leading block.")
    right_middle: float | None = statistic("The same, central block.")
    right_bottom: float | None = statistic("The same, trailing block.")
    left_diagonal: list[float] = statistic("|diag U_base^T U_post|, component by component.", factory=list)
    right_diagonal: list[float] = statistic("|diag V_base^T V_post|, component by component.", factory=list)
    leak: float | None = statistic(
        "Share of the longer side's singular space that left the base's; 0 for square matrices."
    )
    formula_error: float | None = statistic("|W_hat - W_post|_F / |W_post|_F of the shared-rotation formula.")
    base_error: float | None = statistic("|W_base - W_post|_F / |W_post|_F: what doing nothing would miss.")
    row_norm_ratio: float | None = statistic(_ROW_NORM_RATIO)
    row_cosine: float | None = statistic(_ROW_COSINE)
    intruders: int | None = statistic(
        "Among the post's 10 leading left vectors, those with |cos| < 0.5 to every base vector."
    )
    null_draws: int | None = statistic(
        "Draws of the simulated null (ROTOSCALE_NULL_DRAWS); empty where there are none."
    )
    null_seed: int | None = statistic(
        "Seed of the simulated null's first draw, the next ones following.", type="BIGINT"
    )
    picture: list[float] = statistic("I_orth reduced to picture_size x picture_size blocks, row by row.", factory=list)
    picture_size: int | None = statistic("Side of the picture.")


@dataclass(frozen=True, kw_only=True)
class TensorChange:
    """Change of one tensor from base to post; missing where a norm is zero and the ratio has no meaning."""

    relative_change: float | None = statistic("|post - base| / |base|.")
    cosine: float | None = statistic("Cosine between the two, accumulated in double precision.")
    identical_share: float | None = statistic(
        "Share of elements bit-identical after rounding to the post's number format."
    )
    largest_change: float | None = statistic("Largest absolute change of an element.")
    base_norm: float = statistic("|base|, to weigh tensors against each other.", default=0.0)
    norm: float = 0.0
    """|post - base|; no column, since it is relative_change times base_norm."""
