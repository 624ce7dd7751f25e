"""Tables of the group `circuits`. Section numbers refer to docs/methods.md, groups and steps to docs/circuits.md."""

from __future__ import annotations

from resources.warehouse import table

_MODEL = "model_id VARCHAR Model in which it was measured.\n"
_OF = "circuit_model_id VARCHAR Model whose circuit it is.\n"
_GROUP = "circuit_group VARCHAR Group of heads: A to D of the chain, K and V of the direct steps.\n"
_EDGE = """
circuit_group VARCHAR Group of the sender.
sender_layer INTEGER Block of the sending head, counted from 0.
sender_head INTEGER Sending head.
receiver_layer INTEGER Block of the receiving head; -1 where the logits receive.
receiver_head INTEGER Receiving head; -1 where the logits receive.
via VARCHAR What of the receiver is patched: q, k, v, or logits.
position VARCHAR Named position at which the sender works.
ablation VARCHAR What the sender's output was replaced by: counterfactual, or mean.
probability_score DOUBLE Mean relative change of the right object's probability; most negative is strongest.
logit_score DOUBLE Mean change of the logit difference between the right object and the others.
screened BOOLEAN Whether it is a gradient's estimate and was not patched.
prompt_scores FLOAT[] Relative change of the probability prompt by prompt; empty for estimates.
"""
_EDGE_KEY = "circuit_group sender_layer sender_head receiver_layer receiver_head via ablation"

TABLES = (
    table(
        "circuit_heads",
        "circuits",
        "model_id circuit_group layer head",
        "Every head in every step of path patching that was taken (methods, section 4).",
        _MODEL
        + _GROUP
        + """
        layer INTEGER Block, counted from 0.
        head INTEGER Attention head, counted from 0.
        score DOUBLE Mean relative change of the right object's probability when the head is patched; negative counts.
        stderr DOUBLE Standard error of the score over prompts.
        logit_score DOUBLE Mean change of the logit difference between the right object and the others.
        screened BOOLEAN Whether the score is a gradient's estimate: the head was not patched.
        candidate BOOLEAN Whether the score makes it a member of the group.
        needed DOUBLE What the circuit gains by it once its redundant partners are out; empty where nothing can be said.
        kept BOOLEAN Whether it belongs to the circuit.
        prompt_scores FLOAT[] The score prompt by prompt; empty for a head without a path to the receivers.
        """,
    ),
    table(
        "circuit_edges",
        "circuits",
        "model_id " + _EDGE_KEY,
        "Edges of a model's circuit, from head to head or to the logits (methods, section 4).",
        _MODEL + _EDGE,
    ),
    table(
        "circuit_screens",
        "circuits",
        "model_id circuit_group",
        "Each step of path patching: how many heads it had and found, the best score, and the audit of its screen.",
        _MODEL
        + _GROUP
        + """
        n_prompts INTEGER Prompts patched, all of them answered rightly.
        n_candidates INTEGER Heads that passed.
        n_kept INTEGER Heads that the circuit needs.
        best_score DOUBLE Strongest mean score of any head; of an empty group, the best rejected one.
        n_senders INTEGER Heads with a path to the receivers.
        n_exact INTEGER Heads that were patched exactly.
        n_audited INTEGER Heads patched at random to audit the screen.
        rank_correlation DOUBLE Of the screen's estimates with exact scores.
        estimated_misses DOUBLE Candidates that the screen is expected to have missed.
        reason VARCHAR Why groups are empty or unpruned.
        """,
    ),
    table(
        "circuit_stability",
        "circuits",
        "model_id resample",
        "The whole search again on other prompts and with other words: how much of the circuit comes back.",
        _MODEL
        + """
        resample VARCHAR Number of the other draw of prompts, or the second template.
        jaccard_heads DOUBLE Heads in both circuits over heads in either.
        jaccard_edges DOUBLE The same of edges.
        n_heads INTEGER Heads found this time, by group.
        n_edges INTEGER Edges found this time.
        """,
    ),
    table(
        "attention_knockouts",
        "circuits",
        "model_id query_position key_position first_layer",
        "What is lost when one position may not see another in a window of layers.",
        _MODEL
        + """
        query_position VARCHAR Position that looks.
        key_position VARCHAR Position that it may not see.
        first_layer INTEGER First block of the window.
        last_layer INTEGER Last block of the window.
        accuracy DOUBLE Share of right answers, of prompts that are answered rightly otherwise.
        probability_change DOUBLE Mean relative change of the right object's probability.
        n_prompts INTEGER Prompts.
        """,
    ),
    table(
        "attention_patterns",
        "circuits",
        "model_id queried_box layer head",
        "Where the strongest heads look on a few prompts, the same for a whole family: to look at, not a score.",
        _MODEL
        + """
        queried_box INTEGER Position of the queried box, from 1; there is one prompt for each.
        answer VARCHAR The right object.
        predicted VARCHAR Most likely token of the whole vocabulary.
        tokens VARCHAR[] The prompt, token by token.
        previous_query_label INTEGER Token at which the queried letter is told, from 0.
        query_label INTEGER Token at which it is asked for.
        last INTEGER Token at which the answer is read.
        layer INTEGER Block, counted from 0.
        head INTEGER Attention head, counted from 0.
        weights FLOAT[] Attention of token 0 to itself, of token 1 to tokens 0 and 1, and so on, to three decimals.
        """,
    ),
    table(
        "circuit_checks",
        "circuits",
        "model_id check",
        "Interventions whose result is known, done with the same code that finds circuits.",
        _MODEL
        + """
        check VARCHAR What must hold.
        error DOUBLE Largest deviation from it.
        tolerance DOUBLE Deviation that rounding explains.
        passed BOOLEAN Whether it holds.
        """,
    ),
    table(
        "circuit_faithfulness",
        "circuit_faithfulness",
        "model_id circuit_model_id",
        "A circuit run inside a model with all other heads replaced, beside random circuits (methods, section 4).",
        _MODEL
        + _OF
        + """
        accuracy_full DOUBLE Accuracy of the whole model.
        accuracy_full_low DOUBLE Lower end of its 95 % interval (Wilson).
        accuracy_full_high DOUBLE Upper end of its 95 % interval (Wilson).
        accuracy_circuit DOUBLE Accuracy with the circuit's heads alone, the others replaced by their means.
        accuracy_circuit_low DOUBLE Lower end of its 95 % interval (Wilson).
        accuracy_circuit_high DOUBLE Upper end of its 95 % interval (Wilson).
        accuracy_empty DOUBLE Accuracy without any head.
        accuracy_random DOUBLE Mean accuracy of random circuits with as many heads at each position in each layer.
        accuracy_random_low DOUBLE 2.5th percentile of the random circuits.
        accuracy_random_high DOUBLE 97.5th percentile of the random circuits.
        p_value DOUBLE Chance of as good a random one: rank p from 199 draws on, prediction t-test of fewer.
        rank_p DOUBLE (1 + random circuits at least as good) / (1 + random circuits).
        random_draws INTEGER Random circuits drawn.
        faithfulness DOUBLE Accuracy of the circuit over accuracy of the model.
        f DOUBLE Share of the logit difference that the circuit keeps, above the model without heads; 1 is all of it.
        accuracy_circuit_counterfactual DOUBLE Accuracy of the circuit, others replaced by counterfactual outputs.
        faithfulness_counterfactual DOUBLE The same over accuracy of the model.
        f_counterfactual DOUBLE f with counterfactual replacement.
        completeness_random DOUBLE Mean gap between circuit and model, both without a random half of the circuit.
        completeness_groups DOUBLE Largest gap between circuit and model, both without one whole group.
        n_heads INTEGER Heads of the circuit.
        n_components INTEGER Heads by position: one head may serve two groups.
        n_prompts INTEGER Prompts.
        accuracy_full_by_box FLOAT[] Accuracy of the model by the position of the queried box.
        accuracy_circuit_by_box FLOAT[] Accuracy of the circuit by the position of the queried box.
        """,
    ),
    table(
        "faithfulness_curves",
        "circuit_faithfulness",
        "model_id circuit_model_id ablation n_heads",
        "f of the first heads by their strongest score, up to the whole model, beside as many random heads.",
        _MODEL
        + """
        circuit_model_id VARCHAR Model by whose scores heads are ordered.
        ablation VARCHAR What other heads are replaced by: counterfactual, or mean.
        n_heads INTEGER Heads kept, each at every position.
        f DOUBLE Share of the logit difference that they keep.
        f_random_low DOUBLE 2.5th percentile of as many random heads in the same layers.
        f_random_high DOUBLE 97.5th percentile of as many random heads in the same layers.
        cpr DOUBLE Area under f over the share of heads, of the whole curve.
        cmd DOUBLE Area of |1 - f| over the share of heads, of the whole curve.
        cpr_log DOUBLE Area under f over the logarithm of the number of heads.
        cmd_log DOUBLE Area of |1 - f| over the logarithm of the number of heads.
        """,
    ),
    table(
        "followed_edges",
        "circuit_faithfulness",
        "model_id circuit_model_id " + _EDGE_KEY,
        "Edges of the base's circuit, patched in a descendant.",
        _MODEL + _OF + _EDGE,
    ),
    table(
        "circuit_overlap",
        "circuit_faithfulness",
        "model_id circuit_model_id what",
        "A descendant's own circuit against the base's.",
        "model_id VARCHAR Model whose own circuit is compared.\n"
        + _OF
        + """
        what VARCHAR heads, or edges.
        precision DOUBLE Share of the model's own circuit that the other one has.
        recall DOUBLE Share of the other circuit that the model's own has.
        jaccard DOUBLE Common items over all items.
        jaccard_low DOUBLE Lower end of its 95 % bootstrap interval over prompts.
        jaccard_high DOUBLE Upper end of its 95 % bootstrap interval over prompts.
        """,
    ),
    table(
        "component_masks",
        "component_masks",
        "model_id circuit_model_id circuit_group desideratum",
        "What a group of heads carries: by learned masks, beside random masks of that size (methods, section 4).",
        _MODEL
        + _OF
        + _GROUP
        + """
        desideratum VARCHAR object, positional, lexical, or reflexive.
        heads VARCHAR[] Heads that the mask takes from the alternate prompt.
        n_heads INTEGER Heads that the mask takes.
        n_group INTEGER Heads of the group.
        accuracy DOUBLE How often the model then names what follows from the alternate's information.
        accuracy_low DOUBLE Lower end of its 95 % interval (Wilson).
        accuracy_high DOUBLE Upper end of its 95 % interval (Wilson).
        accuracy_random DOUBLE Mean accuracy of random masks of as many heads.
        accuracy_random_low DOUBLE 2.5th percentile of the random masks.
        accuracy_random_high DOUBLE 97.5th percentile of the random masks.
        p_value DOUBLE Chance of as good a random one: rank p from 199 draws on, prediction t-test of fewer.
        rank_p DOUBLE (1 + random masks at least as good) / (1 + random masks).
        random_draws INTEGER Random masks drawn.
        random_in_layers BOOLEAN Whether random ones have as many heads in each layer, not only in all.
        n_prompts INTEGER Prompts, none of them used to learn the mask.
        accuracy_by_box FLOAT[] Accuracy by the position of the queried box.
        """,
    ),
    table(
        "component_gains",
        "component_masks",
        "model_id base_id circuit_group desideratum",
        "Whether a group got better at what it carries, from base to descendant.",
        "model_id VARCHAR Descendant.\nbase_id VARCHAR Base, whose circuit it is.\n"
        + _GROUP
        + """
        desideratum VARCHAR object, positional, lexical, or reflexive.
        accuracy_base DOUBLE Accuracy of the mask in the base.
        accuracy DOUBLE Accuracy of the mask in the descendant, on the same prompts.
        gain DOUBLE Descendant minus base.
        n_prompts INTEGER Prompts.
        """,
    ),
    table(
        "cross_model_patching",
        "cross_model_patching",
        "recipient_id donor_id component",
        "One model's heads in the other, group by group and both ways, beside random heads (methods, section 4).",
        """
        model_id VARCHAR Descendant of the pair; the other one is its base.
        recipient_id VARCHAR Model that is run.
        donor_id VARCHAR Model whose head outputs it gets.
        component VARCHAR Group of heads that is exchanged.
        circuit_model_id VARCHAR Model whose circuit the group belongs to.
        n_heads INTEGER Heads exchanged.
        accuracy_recipient DOUBLE Accuracy of the recipient alone.
        accuracy_donor DOUBLE Accuracy of the donor alone.
        accuracy_patched DOUBLE Accuracy of the recipient with the donor's heads.
        accuracy_patched_low DOUBLE Lower end of its 95 % interval (Wilson).
        accuracy_patched_high DOUBLE Upper end of its 95 % interval (Wilson).
        accuracy_random DOUBLE Mean accuracy with as many random heads of the donor.
        accuracy_random_low DOUBLE 2.5th percentile of the random heads.
        accuracy_random_high DOUBLE 97.5th percentile of the random heads.
        p_value DOUBLE Chance of as good a random one: rank p from 199 draws on, prediction t-test of fewer.
        rank_p DOUBLE (1 + random draws at least as good) / (1 + random draws).
        random_draws INTEGER Draws of random heads.
        random_in_layers BOOLEAN Whether random ones have as many heads in each layer, not only in all.
        n_prompts INTEGER Prompts.
        """,
    ),
)
