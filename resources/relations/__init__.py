"""Relations among the models of a family beyond lineage: rows about pairs of descendants, and about the lines between.

`descendants` reads weights, one matrix of three models at a time; `lines` runs models that are mixed in memory.
"""
