"""Checkpoints on disk: any known layout read as principal matrices, safely and one matrix at a time.

    checkpoint = open_checkpoint("path/to/model")          # a folder, a Hub snapshot, or an adapter with its base
    for key in checkpoint.matrices():                      # layers.0.q, layers.0.k, ... in order
        matrix = checkpoint.read(key)                      # float32, out_features x in_features

Read on in ``checkpoint`` (what a checkpoint can be asked); ``header`` and ``inventory`` (what is on disk),
``architectures``, ``architecture_files`` and ``known_layouts`` (layouts as data), ``assembly`` and ``ends`` (both
brought together), ``parts`` (the result); ``tensors`` (bytes to numbers), ``verify`` (the pass over all of them),
``adapter`` and ``name_patterns`` (LoRA), ``quantization`` (fp8), ``writer`` and ``place`` (edited copies); ``errors``
(all that can be wrong). Importing this package does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.checkpoints.checkpoint import Checkpoint, open_checkpoint
from resources.checkpoints.errors import (
    AdapterError,
    BadArchitectureFile,
    BadConfig,
    BadIndex,
    CheckpointError,
    CorruptHeader,
    MissingShard,
    MissingTensor,
    NonFiniteWeights,
    PickleCheckpoint,
    QuantizedFormat,
    RemoteCode,
    ShapeMismatch,
    TruncatedFile,
    UnknownArchitecture,
    UnsafePath,
    WriteError,
)
from resources.checkpoints.keys import UNEXPLAINED, MatrixKey, StoredTensor, TensorCoverage, TensorHashes, Verified

if TYPE_CHECKING:
    import torch

__all__ = [
    "UNEXPLAINED",
    "AdapterError",
    "BadArchitectureFile",
    "BadConfig",
    "BadIndex",
    "Checkpoint",
    "CheckpointError",
    "CorruptHeader",
    "MatrixKey",
    "MissingShard",
    "MissingTensor",
    "NonFiniteWeights",
    "PickleCheckpoint",
    "QuantizedFormat",
    "RemoteCode",
    "ShapeMismatch",
    "StoredTensor",
    "TensorCoverage",
    "TensorHashes",
    "TruncatedFile",
    "UnknownArchitecture",
    "UnsafePath",
    "Verified",
    "WriteError",
    "open_checkpoint",
    "weight_hash",
]


def weight_hash(matrix: torch.Tensor) -> str:
    """sha256 of a matrix's shape and float32 little-endian bytes: the same for the same numbers, however stored.

    Bits count: 0.0 and -0.0 are different.
    """
    from resources.checkpoints import verify

    return verify.weight_hash(matrix)
