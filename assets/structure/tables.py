"""Tables of the group `structure`: spectra, scale, rotation, and what became of every tensor.

Section numbers refer to docs/methods.md.
"""

from __future__ import annotations

from resources.warehouse import table
from rotoscale.agreement_statistics import AgreementStatistics
from rotoscale.statistics import (
    DecompositionQuality,
    RotationStatistics,
    ScaleStatistics,
    SingularValues,
    Spectrum,
    TensorChange,
)

_PLACE = """
layer INTEGER Block, counted from 0.
matrix VARCHAR q, k, v, o, gate, up, down, or the architecture's own word.
expert INTEGER Expert of a mixture-of-experts block; -1 elsewhere.
"""
_PAIR = """
model_id VARCHAR Post-trained checkpoint.
base_id VARCHAR Checkpoint it is compared with.
"""

TABLES = (
    table(
        "decompositions",
        "decompositions",
        "model_id layer matrix expert",
        "Singular values of every principal matrix.",
        "model_id VARCHAR Checkpoint." + _PLACE,
        SingularValues,
        Spectrum,
        DecompositionQuality,
    ),
    table(
        "scale_statistics",
        "scale_statistics",
        "model_id base_id layer matrix expert",
        "How post-training scaled the singular values (methods, section 1).",
        _PAIR + _PLACE,
        ScaleStatistics,
    ),
    table(
        "rotation_statistics",
        "rotation_statistics",
        "model_id base_id layer matrix expert",
        "How the singular vectors were rotated (methods, section 2); at standard depth the change's size alone.",
        _PAIR + _PLACE,
        RotationStatistics,
    ),
    table(
        "agreement",
        "agreement",
        "model_id base_id layer matrix expert",
        "Whether left and right changed together, and where the change's energy lies (methods, section 2b).",
        _PAIR + _PLACE,
        AgreementStatistics,
    ),
    table(
        "tensor_changes",
        "tensor_changes",
        "model_id base_id tensor",
        "How far every tensor moved, principal or not.",
        _PAIR
        + """
        tensor VARCHAR Tensor name; where a tensor holds several principal matrices, with the matrix appended.
        principal BOOLEAN Whether it is one of the decomposed matrices.
        layer INTEGER Block of a principal matrix, counted from 0; empty for other tensors.
        matrix VARCHAR Which principal matrix; empty for other tensors.
        expert INTEGER Expert of a principal matrix, -1 outside mixture-of-experts blocks; empty for other tensors.
        shape INTEGER[] Shape compared; the common rows where a vocabulary grew.
        """,
        TensorChange,
    ),
    table(
        "coverage",
        "tensor_changes",
        "model_id base_id tensor",
        "What became of every tensor of either checkpoint.",
        _PAIR
        + """
        tensor VARCHAR Tensor name.
        state VARCHAR analysed, skipped, only_base, only_post, or shape (shapes differ).
        reason VARCHAR Why it was not decomposed.
        parameters BIGINT Number of elements.
        """,
    ),
)
