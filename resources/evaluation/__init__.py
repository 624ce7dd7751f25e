"""What models can do: the evaluation harness, fixed prompts, attention and hidden states, and where results are kept.

    subjects        what is scored, and its model loaded: also an adapter, or an edit that is made again
    weights         are the weights that are about to be scored the ones that were analysed?
    documents       how many documents of a task a subject is scored on
    harness         lm-eval tasks on a loaded model
    scores          the result of a task: its metrics, and every document's own score
    language_model  a loaded model as lm-eval takes it
    log_likelihood  log-likelihoods of continuations on the CPU
    probes          what a model writes after fixed prompts, how sharp its attention is, its hidden states
    store           finished results by what they were made from, so that nothing is scored twice
    scoring         all of this for one subject; one that fails is a result with its reason
    contrasts       paired comparisons of subjects that were scored on the same documents
    texts           the documents of a task as models are given them
    divergence      mean token KL of base and post on the tasks' prompts; divergence_rows gives its table
    loaded_matrices a loaded model's principal matrices, replaced in place and put back
    control_draws   controls of disruptive edits as distributions, made in memory
    drawn_controls  an edit among the draws of its controls: rows, and the tests made of them
    derived_rows    degeneration of texts and recovered gains, from results that are there
    equivalence_rows  is nothing lost where a recipe claims that nothing happens?
    temperature_rows  predicted attention temperature beside measured entropy, and the test of it
    assembling      everything about one model: it, its edits and its controls, as rows of the warehouse

Importing this package imports neither torch nor lm-eval.
"""
