"""Tables of the group `behaviour`: edits with their controls, scores, comparisons, texts and probes.

Section numbers refer to docs/methods.md.
"""

from __future__ import annotations

from resources.warehouse import table
from rotoscale.degeneration import Degeneration

TABLES = (
    table(
        "control_draws",
        "control_draws",
        "model_id recipe control draw task",
        "Disruptive edits and every draw of their controls, made in memory (methods, section 3).",
        """
        model_id VARCHAR Post-trained checkpoint.
        recipe VARCHAR Label of the disruptive edit.
        control VARCHAR edit, noise (base plus noise, disrupted) or mirror (post with the vectors of post plus noise).
        draw INTEGER Number of the draw, counted from 0.
        task VARCHAR Evaluation task.
        mean_log_likelihood DOUBLE Of the right answer, nats, mean over documents.
        start_log_likelihood DOUBLE The same of what was disrupted.
        n INTEGER Documents.
        weight_error DOUBLE |W_disrupted - W_start|_F / |W_start|_F over the edited matrices, as stored.
        """,
    ),
    table(
        "control_tests",
        "control_draws",
        "model_id recipe control task",
        "Does a disruptive edit hurt more than its control? Losses are changes of log-likelihood (methods, section 3).",
        """
        model_id VARCHAR Post-trained checkpoint.
        recipe VARCHAR Label of the disruptive edit.
        control VARCHAR noise or mirror; the mirror control starts from the post model as the edit does.
        task VARCHAR Evaluation task.
        loss DOUBLE Mean change of log-likelihood that the edit makes, nats per document; negative is a loss.
        control_loss DOUBLE The same of the control, mean over draws.
        control_spread DOUBLE Standard deviation over draws.
        p_worse DOUBLE One-sided prediction t-test: one more draw of the control would be as bad as the edit.
        rank_p_worse DOUBLE Rank p of the same, never below 1 / (draws + 1).
        draws INTEGER Draws of the control.
        difference DOUBLE The edit's loss minus its control's, nats per document; negative: the edit hurts more.
        difference_low DOUBLE Of its 95 % interval, documents and draws both left to chance.
        difference_high DOUBLE The upper end of the same.
        p_difference DOUBLE One-sided: the edit hurts more than its control.
        q_difference DOUBLE Benjamini-Hochberg over the edits and tasks of this model and control.
        p_no_worse DOUBLE One-sided: the control loses less than four fifths of what the edit loses.
        q_no_worse DOUBLE Benjamini-Hochberg over the same; below 0.05 the edit is shown to hurt no more.
        n INTEGER Documents.
        weight_error DOUBLE Of the edit: how far its matrices are from the post model's.
        control_weight_error DOUBLE Of the control from what it disrupts, mean over draws.
        note VARCHAR Why it could not be tested, or that edit and control are both worse than the base.
        """,
    ),
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
        line_id VARCHAR The edit on the straight line from base to post at the same distance from the base, or empty.
        other_tensors_of VARCHAR base or post: whose tensors stand around the edited matrices.
        parameters JSON Recipe, its options and scope; `rotoscale edit` and the asset make the same weights of it again.
        seed BIGINT Seed of the noise.
        path VARCHAR Folder of the checkpoint; empty when it was evaluated and deleted.
        bytes BIGINT Size on disk when written.
        content_hash VARCHAR SHA-256 over all tensors.
        weight_error DOUBLE |W_edit - W_post|_F / |W_post|_F over the edited matrices.
        base_error DOUBLE The same of the base's own matrices: what doing nothing would miss.
        base_distance DOUBLE |W_edit - W_base|_F / |W_post - W_base|_F: 0 at the base, 1 as far away as the post model.
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
        "document_answers",
        "evaluation_scores",
        "edit_id task doc_id",
        "Some documents of every task as texts, and what base, post model and edit answered: up to 20 on which the "
        "edit's score differs most from the post model's, and 20 drawn by the seed.",
        """
        edit_id VARCHAR Edit or control.
        model_id VARCHAR Post-trained checkpoint the edit belongs to.
        task VARCHAR Evaluation task.
        doc_id INTEGER Document of the task, as in evaluation_samples.
        chosen VARCHAR changed (edit and post model differ most), or drawn (by chance).
        prompt VARCHAR Text given, of a long one the end; empty where the document itself is what is scored.
        right_answer VARCHAR Text that counts as right, or the document itself.
        base_answer VARCHAR What the base answered; empty where the task only asks how likely the right answer is.
        post_answer VARCHAR What the post model answered.
        edit_answer VARCHAR What the edit answered.
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
        "degeneration",
        "evaluation_scores",
        "subject_id",
        "Variety of what a subject writes after the fixed prompts: is it still text (methods, section 3)?",
        """
        subject_id VARCHAR Model or edit.
        model_id VARCHAR Post-trained checkpoint the subject belongs to.
        """,
        Degeneration,
    ),
    table(
        "recovered_gain",
        "evaluation_scores",
        "edit_id task",
        "How far an edit is on the way from base to post, by what it can do (methods, section 3).",
        """
        edit_id VARCHAR Edit.
        task VARCHAR Evaluation task.
        model_id VARCHAR Post-trained checkpoint the edit belongs to.
        recipe VARCHAR What was done to the weights.
        metric VARCHAR The task's first metric; of a perplexity, the log-likelihoods that it is made of.
        gain DOUBLE (edit - base) / (post - base) of mean document scores: 0 at the base's level, 1 at the post model's.
        ci_low DOUBLE Of its 95 % interval (Fieller); empty where post minus base may be zero, so that it has no ends.
        ci_high DOUBLE The upper end of the same.
        straight_line DOUBLE The gain of the edit on the straight line that is as far from the base; empty without one.
        straight_line_low DOUBLE Of its 95 % interval.
        straight_line_high DOUBLE The upper end of the same.
        base_value DOUBLE Mean document score of the base.
        post_value DOUBLE Mean document score of the post model.
        p_gain DOUBLE Two-sided: post and base differ at all.
        trained BOOLEAN Post is better than the base at q < 0.05 over the tasks: only then is there a gain to recover.
        n INTEGER Documents that all three were scored on.
        """,
    ),
    table(
        "equivalence",
        "evaluation_scores",
        "edit_id task metric",
        "Is nothing lost where a recipe claims that nothing happens? Two one-sided tests (methods, section 3).",
        """
        edit_id VARCHAR Edit.
        task VARCHAR Evaluation task.
        metric VARCHAR Accuracy, or a perplexity, which is tested on log-likelihoods.
        model_id VARCHAR Post-trained checkpoint the edit is held against.
        recipe VARCHAR What was done to the weights.
        difference DOUBLE Edit minus post model, larger is better: accuracy, or nats per document or word.
        stderr DOUBLE Standard error of the paired difference.
        low DOUBLE Of the 90 % interval, which lies within the margins exactly when the two are equivalent.
        high DOUBLE The upper end of the same.
        margin DOUBLE What counts as nothing: 0.02 of accuracy, log(1.01) of perplexity.
        p_value DOUBLE Of equivalence: below 0.05 the difference is shown to be smaller than the margin.
        p_not_worse DOUBLE Of the lower half alone: below 0.05 no loss beyond the margin.
        p_worse DOUBLE One-sided: below 0.05 worse beyond the margin.
        p_better DOUBLE One-sided: below 0.05 better than the post model.
        power DOUBLE Chance to find equivalence if there is no difference at all, with this spread and n.
        n INTEGER Documents both were scored on.
        """,
    ),
    table(
        "divergence",
        "evaluation_scores",
        "model_id task",
        "Mean token KL(base || post) on each task's prompts, which forgetting follows (methods, section 3).",
        """
        model_id VARCHAR Post-trained checkpoint.
        task VARCHAR Evaluation task whose prompts are read.
        kl DOUBLE Nats per token, mean over texts.
        stderr DOUBLE Standard error over texts.
        n INTEGER Texts.
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
        "temperature_test",
        "evaluation_scores",
        "model_id base_id",
        "Predicted temperature against measured entropy change, layers as units (methods, section 1).",
        """
        model_id VARCHAR Post-trained checkpoint.
        base_id VARCHAR Checkpoint it is compared with.
        spearman DOUBLE Rank correlation over layers; positive where a higher temperature goes with more entropy.
        ci_low DOUBLE Of its 95 % interval.
        ci_high DOUBLE The upper end of the same.
        p_value DOUBLE One-sided, of permuted layers.
        n_layers INTEGER Layers with a prediction.
        note VARCHAR What makes it undecided or approximate.
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
