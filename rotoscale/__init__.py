"""Rotoscale's science: tensors in, tensors or plain dataclasses out.

Everything here works on plain `torch` tensors in a notebook, without Dagster, DuckDB, files or network. Names are
loaded on first use, so that importing the package costs nothing where only its errors are needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rotoscale.change import RowChange, TensorChange, row_change, tensor_change
    from rotoscale.decomposition import Decomposition, decompose
    from rotoscale.errors import MatrixError, RotoscaleError
    from rotoscale.null import gaussian_step, null_nf, unrelated_nf
    from rotoscale.overlap import Overlaps, overlaps
    from rotoscale.polar import nf_without_svd, polar_factor
    from rotoscale.rotation import RotationStatistics, rotation_statistics
    from rotoscale.scale import ScaleStatistics, scale_statistics
    from rotoscale.spectra import Spectrum, spectrum

_HOME = {
    "Decomposition": "decomposition",
    "MatrixError": "errors",
    "Overlaps": "overlap",
    "RotationStatistics": "rotation",
    "RotoscaleError": "errors",
    "RowChange": "change",
    "ScaleStatistics": "scale",
    "Spectrum": "spectra",
    "TensorChange": "change",
    "decompose": "decomposition",
    "gaussian_step": "null",
    "nf_without_svd": "polar",
    "null_nf": "null",
    "overlaps": "overlap",
    "polar_factor": "polar",
    "rotation_statistics": "rotation",
    "row_change": "change",
    "scale_statistics": "scale",
    "spectrum": "spectra",
    "tensor_change": "change",
    "unrelated_nf": "null",
}

__all__ = [  # noqa: RUF022 (in the order of a first reading)
    "decompose",
    "Decomposition",
    "spectrum",
    "Spectrum",
    "scale_statistics",
    "ScaleStatistics",
    "overlaps",
    "Overlaps",
    "rotation_statistics",
    "RotationStatistics",
    "null_nf",
    "unrelated_nf",
    "gaussian_step",
    "polar_factor",
    "nf_without_svd",
    "tensor_change",
    "TensorChange",
    "row_change",
    "RowChange",
    "RotoscaleError",
    "MatrixError",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"rotoscale.{_HOME[name]}"), name)
    raise AttributeError(f"module 'rotoscale' has no attribute {name!r}")
