"""Rotoscale's science: tensors in, tensors or plain dataclasses out.

Everything here works on plain `torch` tensors in a notebook, without Dagster, DuckDB, files or network. Names are
loaded on first use, so that importing the package costs nothing where only its errors are needed.
"""

# ruff: noqa: F401
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a type checker sees of the names below
    from rotoscale.agreement_statistics import AgreementStatistics
    from rotoscale.change import row_change, tensor_change
    from rotoscale.decomposition import Decomposition, OnlyValues, decompose, only_values
    from rotoscale.errors import MatrixError, RotoscaleError
    from rotoscale.measure import PairStatistics, pair_statistics, standard_statistics
    from rotoscale.null import gaussian_perturbation, null_nf, unrelated_nf
    from rotoscale.pair import MatrixPair
    from rotoscale.polar import nearest_rotation, nf_without_svd, polar_factor
    from rotoscale.rotation import rotation_statistics
    from rotoscale.scale import scale_statistics
    from rotoscale.spectra import spectrum
    from rotoscale.statistics import RotationStatistics, RowChange, ScaleStatistics, Spectrum, TensorChange

_MODULES = {
    "decomposition": "decompose only_values Decomposition OnlyValues",
    "spectra": "spectrum",
    "scale": "scale_statistics",
    "pair": "MatrixPair",
    "rotation": "rotation_statistics",
    "agreement_statistics": "AgreementStatistics",
    "null": "null_nf unrelated_nf gaussian_perturbation",
    "measure": "pair_statistics standard_statistics PairStatistics",
    "polar": "polar_factor nearest_rotation nf_without_svd",
    "change": "tensor_change row_change",
    "statistics": "Spectrum ScaleStatistics RotationStatistics TensorChange RowChange",
    "errors": "RotoscaleError MatrixError",
}
"""The package's names by module, in the order of a first reading."""

_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"rotoscale.{_HOME[name]}"), name)
    raise AttributeError(f"module 'rotoscale' has no attribute {name!r}")
