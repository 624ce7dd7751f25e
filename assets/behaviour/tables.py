"""Tables of the group `behaviour`: edits with their controls, scores, comparisons, texts and probes.

Section numbers refer to docs/methods.md.
"""

from __future__ import annotations

from resources.warehouse import table

TABLES = (
    table(
        "edited_checkpoints",
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
    table(
        "evaluation_scores",
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
    table(
        "evaluation_samples",
        "evaluation_scores",
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
    table(
        "evaluation_contrasts",
        "evaluation_scores",
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
    table(
        "generations",
        "evaluation_scores",
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
    table(
        "attention_temperature",
        "evaluation_scores",
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
    table(
        "representation_similarity",
        "evaluation_scores",
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
