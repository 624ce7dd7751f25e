"""Lineage of two checkpoints: what of them is read, in which order, and the row that comes of it.

`comparing` does the whole; `neurons` finds the matrices and norms of an MLP, `tokens` the tokens that both models have.
The arithmetic is in `rotoscale.lineage`.
"""
