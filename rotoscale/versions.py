"""Versions of the methods, part of the identity of everything stored. Light, so that freshness is judged quickly."""

CHECKPOINT = "checkpoint-1"
"""Change it whenever the same files could give another row of the catalogue."""

DECOMPOSITION = "svd-1"
"""Change it whenever the same weights could give other factors."""

COMPARISON = "pair-4"
"""Change it whenever the same pair of matrices could give other statistics."""

EDIT = "edit-4"
"""Part of every edited checkpoint's identity: change it whenever the same plan could give other weights."""

EVALUATION = "evaluation-3"
"""Part of every stored score's identity: change it whenever the same model and task could give another score."""

DOCUMENTS = "documents-1"
"""Of the documents kept as texts: change it whenever the same scores could give other rows of `document_answers`."""

CONTROLS = "controls-2"
"""Change it whenever the same edits could be given other control draws, or another test against them."""

CLAIMS = "claims-4"
"""Of the tables of claims and sentences; each claim's rule has a version of its own beside it."""

PROBE = "probe-2"
"""Of stored texts, attention entropies and similarities: change it whenever the same model and prompts could give
another result."""

CIRCUIT = "circuit-2"
"""Change it whenever the same model and prompts could give another circuit, or the same circuit other measures."""

BACKLOG = "backlog-1"
"""Of the list of what waits: change it whenever the same state could give other rows."""

RELEASES = "releases-1"
"""Of the rows of releases: change it whenever the same listing could be decided otherwise."""

LINEAGE = "lineage-1"
"""Change it whenever the same two models could give another row of `lineage`; the verdict's rules have their own."""

TWO_CHANGES = "two-changes-1"
"""Change it whenever the same three matrices could give another row of `descendant_relations`."""

STRAIGHT_LINES = "straight-lines-1"
"""Change it whenever the same two models and documents could give other rows along the line between them."""
