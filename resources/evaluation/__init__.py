"""What models can do: the evaluation harness, fixed prompts, attention and hidden states, and where results are kept.

    subjects   a checkpoint as a live model, also one that is an adapter or was deleted and is made again
    harness    lm-eval tasks on a live model: scores, their errors, and every document's own score
    probes     what a model writes after fixed prompts, how sharp its attention is, its hidden states
    store      finished results by what they were made from, so that nothing is scored twice
    scoring    all of this for one subject; one that fails is a result with its reason
    contrasts  paired comparisons of subjects that were scored on the same documents
    behaviour  everything about one model: it, its edits and its controls, as rows of the warehouse

Importing this package imports neither torch nor lm-eval.
"""
