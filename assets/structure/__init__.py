"""Asset group `structure`: decompositions and comparisons of weights."""
