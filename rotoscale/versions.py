"""Versions of the methods, part of the identity of everything stored. Light, so that freshness is judged quickly."""

DECOMPOSITION = "svd-1"
"""Change it whenever the same weights could give other factors."""

COMPARISON = "pair-1"
"""Change it whenever the same pair of matrices could give other statistics."""
