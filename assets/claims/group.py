"""Group `claims`: what a family's numbers say of the claims of the two papers, and the sentences on it."""

from __future__ import annotations

from typing import Any

from assets.claims import evidence
from assets.claims.tables import TABLES
from assets.groups import Group, SharedAsset, named
from resources.workspace import Workspace
from rotoscale import versions

READ = (
    "checkpoints", "scale_statistics", "agreement", "edited_checkpoints", "evaluation_scores", "control_draws",
    "recovered_gain", "equivalence", "temperature_test", "divergence", "lineage", "circuits", "circuit_faithfulness",
    "component_masks", "cross_model_patching",
)  # fmt: skip
"""Assets whose tables the rules read; one that is not there yet is left out."""


def _inputs(space: Workspace, key: str) -> Any:
    return evidence.made_from(space, key)


def _inputs_of_sentences(space: Workspace, key: str) -> Any:
    verdicts = evidence.made_from(space, key) if key in evidence.keys(space) else []
    return [verdicts, evidence.sentences_made_from(space, key)]


GROUP = Group(
    "claims",
    shared=(
        SharedAsset(
            "claims", versions.CLAIMS, after=READ, subjects=named(evidence.keys), inputs=_inputs, page="claims"
        ),
        # What verdicts are made from, so that both are out of date together; the sentences read the rows of `claims`.
        SharedAsset(
            "findings",
            versions.CLAIMS,
            after=("claims", "rotation_statistics", "tensor_changes", "evaluation_scores", "lineage"),
            subjects=named(evidence.keys_of_sentences),
            inputs=_inputs_of_sentences,
            page="claims",
        ),
    ),
    tables=TABLES,
)
