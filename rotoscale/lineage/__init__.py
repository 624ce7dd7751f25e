"""Lineage: whether two models share an initialisation, from their MLP weights alone (docs/methods.md, section 5).

Read on in `matching` (which neuron of one matrix is which of the other) and `ranks` (what a correlation of two orders
is worth), then the two tests: `exact` rests on the order of the neurons, `invariant` does without it, over a common
residual basis (`basis`). `control` is what each is held against, `verdict` the rules, `result` the numbers of a pair.
`tails` and `attention` are indications, without a verdict.
"""
