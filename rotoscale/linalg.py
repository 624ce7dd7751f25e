"""Dense float64 kernels, the one place that knows which library does the work.

On the CPU this is NumPy and SciPy: their OpenBLAS was 1.1 to 2.5 times faster than torch's MKL for the same float64
product, eigendecomposition and SVD on AMD processors. Eigenvalues alone are torch's: a tenth slower on AMD, 1.8 times
faster on Intel. The choice is fixed rather than timed at start so that the same weights give the same bits on every
run. On CUDA it is all torch. Apple's MPS has no float64, so there the float64
work stays on the CPU: the precision never depends on the device.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch

from rotoscale.errors import MatrixError

EPSILON = torch.finfo(torch.float64).eps


def working_device(device: torch.device | str) -> torch.device:
    """The device on which float64 work for `device` is done: itself, or the CPU where it has no float64 (MPS)."""
    device = torch.device(device)
    return torch.device("cpu") if device.type == "mps" else device


def as_matrix(W: torch.Tensor, device: torch.device | str = "cpu") -> torch.Tensor:
    """`W` as a float64 matrix (m x n) on the working device.

    Raises MatrixError when `W` is not two-dimensional, has no entries, or holds NaN or infinity.
    """
    if W.ndim != 2 or 0 in W.shape:
        raise MatrixError(f"expected a matrix, found shape {tuple(W.shape)}; pass one two-dimensional weight")
    W = W.detach().to(working_device(device), torch.float64)
    # A sum is finite only if every term is, unless finite terms overflow it: then they are counted one by one.
    if not bool(torch.isfinite(W.sum())):
        bad = int((~torch.isfinite(W)).sum())
        if bad:
            raise MatrixError(f"{bad} of {W.numel()} entries are NaN or infinite; such a weight has no singular values")
    return W


def product(X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
    """The matrix product `X Y`."""
    if X.device.type != "cpu":
        return X @ Y
    return torch.from_numpy(X.numpy() @ Y.numpy())


def symmetric_eigen(G: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues (n,) ascending and eigenvectors (n x n, columns) of a symmetric float64 matrix."""
    if G.device.type != "cpu":
        return torch.linalg.eigh(G)
    values, vectors = scipy.linalg.eigh(G.numpy(), driver="evd", check_finite=False)
    return torch.from_numpy(values), torch.from_numpy(vectors)


def eigenvalues(G: torch.Tensor) -> torch.Tensor:
    """Eigenvalues (n,) ascending of a symmetric float64 matrix, without its vectors."""
    return torch.linalg.eigvalsh(G)


def singular_values_of(T: torch.Tensor) -> torch.Tensor:
    """Singular values (r,) descending of a float64 matrix, without its vectors."""
    if T.device.type != "cpu":
        return torch.linalg.svdvals(T)
    return torch.from_numpy(scipy.linalg.svdvals(T.numpy(), check_finite=False))


def full_svd(T: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Thin SVD `T = U diag(s) V^T` in float64: U (m x r), s (r,) descending, V (n x r).

    Divide and conquer, and where that does not converge the slower QR iteration.
    """
    if T.device.type != "cpu":
        U, s, Vh = torch.linalg.svd(T, full_matrices=False)
        return U, s, Vh.mH.contiguous()
    X = T.numpy()
    try:
        U, s, Vh = scipy.linalg.svd(X, full_matrices=False, check_finite=False, lapack_driver="gesdd")
    except np.linalg.LinAlgError:
        U, s, Vh = scipy.linalg.svd(X, full_matrices=False, check_finite=False, lapack_driver="gesvd")
    # Row by row as factors are stored and read: a product must not depend on where its operands come from.
    return torch.from_numpy(np.ascontiguousarray(U)), torch.from_numpy(s), torch.from_numpy(Vh.T.copy())
