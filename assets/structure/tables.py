"""Tables of the group `structure`: spectra, scale, rotation, and what became of every tensor.

Section numbers refer to docs/methods.md.
"""

from __future__ import annotations

from resources.warehouse import table

TABLES = (
    table(
        "decompositions",
        "decompositions",
        "model_id layer matrix expert",
        "Singular values of every principal matrix.",
        """
        model_id VARCHAR Checkpoint.
        layer INTEGER Block, counted from 0.
        matrix VARCHAR q, k, v, o, gate, up, down, or the architecture's own word.
        expert INTEGER Expert of a mixture-of-experts block; -1 elsewhere.
        rows INTEGER Output features m.
        cols INTEGER Input features n.
        rank INTEGER Numerical rank: components above max(m, n) eps s[0].
        singular_values FLOAT[] Singular values, descending.
        frobenius_norm DOUBLE Root of the sum of squared entries.
        spectral_norm DOUBLE Largest singular value.
        nuclear_norm DOUBLE Sum of the singular values.
        stable_rank DOUBLE |W|_F^2 / s[0]^2.
        effective_rank DOUBLE exp of the entropy of the normalised singular values.
        residual DOUBLE Relative reconstruction error of the factors, estimated with 16 random probes.
        orthogonality_error DOUBLE Largest entry of |U^T U - I| over both sides' checked vectors.
        kernel VARCHAR Route taken: gram-eigh (fast) or full-svd (badly conditioned matrices).
        weight_hash VARCHAR SHA-256 of the matrix, independent of how it is stored.
        seconds DOUBLE Time spent decomposing, by whoever did it first.
        """,
    ),
    table(
        "scale_statistics",
        "scale_statistics",
        "model_id base_id layer matrix expert",
        "How post-training scaled the singular values (methods, section 1).",
        """
        model_id VARCHAR Post-trained checkpoint.
        base_id VARCHAR Checkpoint it is compared with.
        layer INTEGER Block, counted from 0.
        matrix VARCHAR q, k, v, o, gate, up, down, or the architecture's own word.
        expert INTEGER Expert of a mixture-of-experts block; -1 elsewhere.
        alpha_median DOUBLE Scale factor: median of s_post / s_base.
        alpha_mean DOUBLE Scale factor: mean of s_post / s_base.
        alpha_least_squares DOUBLE Scale factor that minimises |s_post - alpha s_base|.
        alpha_frobenius DOUBLE Scale factor |W_post|_F / |W_base|_F.
        ratio_cv DOUBLE Standard deviation of s_post / s_base over its mean: 0 is perfectly uniform scaling.
        ratio_p05 DOUBLE 5th percentile of s_post / s_base.
        ratio_p95 DOUBLE 95th percentile of s_post / s_base.
        unexplained DOUBLE |s_post - alpha s_base| / |s_post|: what one factor leaves unexplained.
        alpha_top DOUBLE Median ratio in the largest tenth of the singular values.
        alpha_middle DOUBLE Median ratio in the central tenth.
        alpha_bottom DOUBLE Median ratio in the smallest tenth.
        ratio FLOAT[] s_post / s_base, component by component.
        """,
    ),
    table(
        "rotation_statistics",
        "rotation_statistics",
        "model_id base_id layer matrix expert",
        "How post-training turned the singular vectors, against what noise would do (methods, section 2).",
        """
        model_id VARCHAR Post-trained checkpoint.
        base_id VARCHAR Checkpoint it is compared with.
        layer INTEGER Block, counted from 0.
        matrix VARCHAR q, k, v, o, gate, up, down, or the architecture's own word.
        expert INTEGER Expert of a mixture-of-experts block; -1 elsewhere.
        numerical_rank INTEGER Components compared: the smaller numerical rank of the two.
        relative_change DOUBLE |W_post - W_base|_F / |W_base|_F.
        nf DOUBLE |I_orth - I|_F / sqrt(r): 0 when left and right vectors turned by one shared rotation.
        orth_distance DOUBLE |I_orth - I|_F, undivided.
        nf_null DOUBLE NF expected of Gaussian noise of the same norm, first-order theory, capped at unrelated.
        nf_null_simulated DOUBLE NF of the base plus Gaussian noise of the same norm, the median of null_draws draws.
        nf_null_low DOUBLE The smallest of those draws; none where there is one.
        nf_null_high DOUBLE The largest of those draws; none where there is one.
        nf_over_null DOUBLE NF over its null: about 1 is what noise does, below it a shared turn, above it a split.
        nf_unrelated DOUBLE NF of two unrelated matrices of this shape.
        nf_top DOUBLE NF of the leading block of components.
        nf_middle DOUBLE NF of the central block.
        nf_bottom DOUBLE NF of the trailing block.
        left_top DOUBLE Mean |diag U_base^T U_post| of the leading block: 1 is an unturned vector.
        left_middle DOUBLE The same, central block.
        left_bottom DOUBLE The same, trailing block.
        right_top DOUBLE Mean |diag V_base^T V_post| of the leading block.
        right_middle DOUBLE The same, central block.
        right_bottom DOUBLE The same, trailing block.
        left_diagonal FLOAT[] |diag U_base^T U_post|, component by component.
        right_diagonal FLOAT[] |diag V_base^T V_post|, component by component.
        leak DOUBLE Share of the longer side's singular space that left the base's; 0 for square matrices.
        formula_error DOUBLE |W_hat - W_post|_F / |W_post|_F of the shared-rotation formula.
        base_error DOUBLE |W_base - W_post|_F / |W_post|_F: what doing nothing would miss.
        row_norm_ratio DOUBLE Mean ratio of row norms, post over base.
        row_cosine DOUBLE Mean cosine between matching rows.
        intruders INTEGER Among the post's 10 leading left vectors, those with |cos| < 0.5 to every base vector.
        null_draws INTEGER Draws of the simulated null: five for small matrices, three for square, one for the others.
        null_seed BIGINT Seed of the simulated null's first draw, the next ones following.
        picture FLOAT[] I_orth reduced to picture_size x picture_size blocks, row by row.
        picture_size INTEGER Side of the picture.
        """,
    ),
    table(
        "tensor_changes",
        "tensor_changes",
        "model_id base_id tensor",
        "How far every tensor moved, principal or not.",
        """
        model_id VARCHAR Post-trained checkpoint.
        base_id VARCHAR Checkpoint it is compared with.
        tensor VARCHAR Tensor name; principal matrices as layers.<layer>.<matrix>.
        principal BOOLEAN Whether it is one of the decomposed matrices.
        shape INTEGER[] Shape compared; the common rows where a vocabulary grew.
        relative_change DOUBLE |post - base| / |base|.
        cosine DOUBLE Cosine between the two, accumulated in double precision.
        identical_share DOUBLE Share of elements bit-identical after rounding to the post's number format.
        largest_change DOUBLE Largest absolute change of an element.
        base_norm DOUBLE |base|, to weigh tensors against each other.
        """,
    ),
    table(
        "coverage",
        "tensor_changes",
        "model_id base_id tensor",
        "What became of every tensor of either checkpoint.",
        """
        model_id VARCHAR Post-trained checkpoint.
        base_id VARCHAR Checkpoint it is compared with.
        tensor VARCHAR Tensor name.
        state VARCHAR analysed, skipped, only_base, only_post, or shape (shapes differ).
        reason VARCHAR Why it was not decomposed.
        parameters BIGINT Number of elements.
        """,
    ),
)
