"""The warehouse contract as data: every table, its key, and what each column means.

The Parquet writer, the published DuckDB file, the documentation and the dashboard's hover texts are all made from
these definitions, so that a quantity is explained in one place only. Section numbers refer to docs/methods.md.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 1
"""Raised when a column changes its type or meaning, or goes: older files are refused then. A further column needs no
new version: rows from before it have null there."""


@dataclass(frozen=True)
class Column:
    """One column: its DuckDB type and the sentence that explains it to a reader."""

    name: str
    type: str
    text: str


@dataclass(frozen=True)
class Table:
    """One table: `key` columns identify a row; rows are written as one Parquet file per model."""

    name: str
    key: tuple[str, ...]
    text: str
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError when the contract has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")


PROVENANCE = (
    Column("run_id", "VARCHAR", "Dagster run that made the row."),
    Column("code_version", "VARCHAR", "Version of the code that made the row."),
    Column("materialized_at", "TIMESTAMPTZ", "When the row was made."),
)


def _table(name: str, key: str, text: str, columns: str) -> Table:
    """A table from lines `name TYPE explanation`; keys are the words of `key`."""
    parsed = [Column(*line.split(maxsplit=2)) for line in columns.strip().splitlines()]
    return Table(name, tuple(key.split()), text, (*parsed, *PROVENANCE))


_TABLES = (
    _table(
        "models",
        "model_id",
        "Every registered checkpoint: where it comes from, what it is, whether it could be read.",
        """
        model_id VARCHAR Name of the checkpoint, unique in the warehouse.
        family VARCHAR Model family the checkpoint belongs to.
        role VARCHAR base, descendant, or unrelated (a negative control).
        base_id VARCHAR Checkpoint it is compared with; for a base, itself.
        method VARCHAR How it was post-trained: instruct, reasoning, math, adapter, scratch, ...
        source VARCHAR Local folder or Hub repository.
        revision VARCHAR Pinned Hub commit; empty for a local folder.
        architecture VARCHAR Model type as its config states it.
        dtype VARCHAR Number format of most stored weights.
        n_layers INTEGER Transformer blocks.
        hidden_size INTEGER Width of the residual stream.
        n_heads INTEGER Query heads per block.
        n_kv_heads INTEGER Key and value heads per block.
        n_parameters BIGINT Parameters; tied tensors counted once.
        content_hash VARCHAR SHA-256 over all tensors, whatever the sharding.
        status VARCHAR ready, or quarantined.
        status_reason VARCHAR Why it was quarantined, and the remedy.
        """,
    ),
    _table(
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
    _table(
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
    _table(
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
    _table(
        "coverage",
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
    _table(
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
    _table(
        "edited_checkpoints",
        "edit_id",
        "Checkpoints with one change put back or broken, and their controls (methods, section 3).",
        """
        edit_id VARCHAR Name of the edit.
        model_id VARCHAR Post-trained checkpoint the edit belongs to.
        base_id VARCHAR Base of the edit.
        recipe VARCHAR What was done to the weights.
        label VARCHAR The recipe with what differs from its defaults.
        is_control BOOLEAN Whether it shows what noise does: noise itself, or a recipe done to noise.
        control_id VARCHAR The same edit of the noise control; empty where there is none.
        other_tensors_of VARCHAR base or post: whose tensors stand around the edited matrices.
        parameters JSON Recipe, its options and scope; `rotoscale edit` and the asset make the same weights of it again.
        seed BIGINT Seed of the noise.
        path VARCHAR Folder of the checkpoint; empty when it was evaluated and deleted.
        bytes BIGINT Size on disk when written.
        content_hash VARCHAR SHA-256 over all tensors.
        weight_error DOUBLE |W_edit - W_post|_F / |W_post|_F over the edited matrices.
        base_error DOUBLE The same of the base's own matrices: what doing nothing would miss.
        matrices INTEGER Matrices edited.
        seconds DOUBLE Time taken to write it.
        status VARCHAR ready, or failed.
        status_reason VARCHAR Why it failed, and the remedy.
        """,
    ),
    _table(
        "evaluation_scores",
        "subject_id task metric filter",
        "Scores of models, edits and controls by the evaluation harness.",
        """
        subject_id VARCHAR Model or edit.
        model_id VARCHAR Post-trained checkpoint the subject belongs to.
        task VARCHAR Evaluation task.
        metric VARCHAR What is measured.
        filter VARCHAR Answer filter of the harness.
        subject_kind VARCHAR model, edit, or control.
        value DOUBLE Score.
        stderr DOUBLE Standard error of the score.
        higher_is_better BOOLEAN Direction of the metric.
        is_primary BOOLEAN Whether it is the task's first metric, the one that overviews show.
        n_samples INTEGER Documents scored.
        n_shot INTEGER Examples shown before each question.
        seed BIGINT Seed given to the harness.
        harness_version VARCHAR Version of lm-eval.
        task_version VARCHAR Version of the task.
        seconds DOUBLE Time taken.
        status VARCHAR ready, or failed.
        status_reason VARCHAR Why it failed.
        """,
    ),
    _table(
        "evaluation_samples",
        "subject_id task metric filter doc_id",
        "Score of every single document, for paired tests.",
        """
        subject_id VARCHAR Model or edit.
        model_id VARCHAR Post-trained checkpoint the subject belongs to.
        task VARCHAR Evaluation task.
        metric VARCHAR What is measured.
        filter VARCHAR Answer filter of the harness.
        doc_id INTEGER Document of the task.
        score DOUBLE Score of the document; of a perplexity, the document's own.
        """,
    ),
    _table(
        "evaluation_contrasts",
        "subject_id reference_id task metric filter",
        "Paired comparison of two subjects on the same documents.",
        """
        subject_id VARCHAR Model or edit.
        reference_id VARCHAR Model or edit it is compared with.
        model_id VARCHAR Post-trained checkpoint the subject belongs to.
        task VARCHAR Evaluation task.
        metric VARCHAR What is measured.
        filter VARCHAR Answer filter of the harness.
        relation VARCHAR What is compared, such as "edit against post".
        higher_is_better BOOLEAN Direction of the metric.
        is_primary BOOLEAN Whether it is the task's first metric, the one that overviews show.
        difference DOUBLE Subject's score minus the reference's.
        stderr DOUBLE Standard error of the paired difference.
        p_value DOUBLE Two-sided: exact McNemar for accuracies, paired bootstrap otherwise.
        test VARCHAR Which of the two tests.
        n INTEGER Documents both were scored on.
        """,
    ),
    _table(
        "generations",
        "subject_id prompt_id",
        "Greedy continuations of a few fixed prompts: a broken model must be seen, not only scored.",
        """
        subject_id VARCHAR Model or edit.
        model_id VARCHAR Post-trained checkpoint the subject belongs to.
        prompt_id INTEGER Prompt, counted from 0.
        prompt VARCHAR Text given.
        text VARCHAR Text generated.
        n_tokens INTEGER Tokens generated.
        """,
    ),
    _table(
        "attention_temperature",
        "model_id base_id layer head",
        "Attention temperature predicted from scale, and measured attention entropy (methods, section 1).",
        """
        model_id VARCHAR Post-trained checkpoint.
        base_id VARCHAR Checkpoint it is compared with.
        layer INTEGER Block, counted from 0.
        head INTEGER Query head.
        alpha_q DOUBLE Least-squares scale factor of the layer's query matrix.
        alpha_k DOUBLE Least-squares scale factor of the layer's key matrix.
        predicted DOUBLE T = 1 / (alpha_q alpha_k): below 1 sharper attention; empty where not applicable.
        applicability VARCHAR exact, approximate (biases), or not applicable (normalised q and k).
        entropy_base DOUBLE Mean attention entropy of the base, nats.
        entropy_post DOUBLE Mean attention entropy of the post model, nats.
        entropy_stderr DOUBLE Standard error of the difference over prompts.
        n_prompts INTEGER Prompts measured.
        """,
    ),
    _table(
        "representation_similarity",
        "subject_id reference_id layer",
        "Linear CKA (unbiased) between hidden states of two subjects on the same prompts.",
        """
        subject_id VARCHAR Model or edit.
        reference_id VARCHAR Model it is compared with.
        model_id VARCHAR Post-trained checkpoint the subject belongs to.
        layer INTEGER Hidden state: 0 is the embedding, i the output of block i - 1, the last one after the final norm.
        cka DOUBLE 1 for representations equal up to rotation and scale.
        n_tokens INTEGER Token positions compared.
        """,
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _TABLES}
