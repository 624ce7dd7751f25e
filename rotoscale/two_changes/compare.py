"""The statistics on two changes of one matrix, each with what chance gives.

Chance for anything with a sign is random signs of rows and columns: `D_a o D_b` (o the product by elements) becomes
`diag(s) (D_a o D_b) diag(t)`, every size stays where it is, and the standard deviation of the sum is `|D_a o D_b|_F`
exactly. For where the changes lie it is the counts by row and by column alone: that both moved the same neurons is then
no overlap of elements.
"""

from __future__ import annotations

import torch

from rotoscale.errors import MatrixError
from rotoscale.two_changes.result import TwoChanges

K = 8
"""Leading components of each change, as far as it has as many."""

LARGEST = 0.01
"""Share of elements that count as the largest."""

FLIPS = 999

_FLOAT32 = 2.0**-23
"""Times the norms of base and change: components below it may be the rounding of an adapter merged on the fly."""

_EXACT_UP_TO = 512
"""Of a shorter side up to this, all singular vectors are computed; beyond, the leading ones by subspace iteration."""


def two_changes(
    base: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    dtypes: tuple[str, str] = ("float32", "float32"),
    later: bool = False,
    seed: int = 0,
) -> TwoChanges:
    """Compare the changes `a - base` and `b - base` (m x n each).

    docs/methods.md, section 5b. `dtypes`: the formats that a and b are stored in, to tell a changed element from one
    that is the base's, rounded. `later`: b was trained from a. `seed` draws the signs.

    Raises MatrixError when shapes differ.
    """
    if base.shape != a.shape or base.shape != b.shape or base.ndim != 2:
        raise MatrixError(f"shapes {[tuple(X.shape) for X in (base, a, b)]} differ; only matrices of one shape compare")
    changes = [X.double() - base.double() for X in (a, b)]
    Da, Db = changes
    norms = [float(D.norm()) for D in changes]
    masks = [base.to(getattr(torch, dtype)).to(X.dtype) != X for X, dtype in zip((a, b), dtypes, strict=True)]
    shares = [float(mask.double().mean()) for mask in masks]
    found: dict[str, float | int | list[float] | None] = {
        "norm_a": norms[0],
        "norm_b": norms[1],
        "changed_a": shares[0],
        "changed_b": shares[1],
        "changed_both": float((masks[0] & masks[1]).double().mean()),
        "changed_chance": shares[0] * shares[1],
        "changed_chance_margins": margins_overlap(*masks),
    }
    if all(norms):
        found |= _signed(Da, Db, norms, seed)
        found |= _largest(Da, Db)
        found |= _spaces(Da, Db, _FLOAT32 * (float(base.double().norm()) + max(norms)))
        if later:
            step = (Db - Da) * Da
            found["undone"] = -float(step.sum()) / norms[0] ** 2
            found["undone_chance"] = float(step.norm()) / norms[0] ** 2
    return TwoChanges(**found)  # type: ignore[arg-type]


def margins_overlap(first: torch.Tensor, second: torch.Tensor) -> float:
    """Share of elements in both of two masks (m x n) if each were spread by its counts by row and by column alone.

    Element (i, j) of a mask with row shares r, column shares c and share p in all is then set with `r_i c_j / p`.
    """
    rows = [mask.double().mean(1) for mask in (first, second)]
    columns = [mask.double().mean(0) for mask in (first, second)]
    shares = [float(r.mean()) for r in rows]
    if not all(shares):
        return 0.0
    return float((rows[0] * rows[1]).mean() * (columns[0] * columns[1]).mean()) / (shares[0] * shares[1])


def _signed(Da: torch.Tensor, Db: torch.Tensor, norms: list[float], seed: int) -> dict[str, float | None]:
    """Cosine and agreement of signs."""
    C = Da * Db
    size = norms[0] * norms[1]
    both = (C != 0).double()
    n = float(both.sum())
    generator = torch.Generator().manual_seed(seed)
    S, T = (torch.randint(0, 2, (length, FLIPS), generator=generator).mul_(2).sub_(1).to(C) for length in C.shape)
    flipped = ((C @ T) * S).sum(0).abs()
    beyond = int((flipped >= float(C.sum().abs()) * (1 - 1e-12)).sum())
    return {
        "cosine": float(C.sum()) / size,
        "cosine_chance": float(C.norm()) / size,
        "cosine_p": (1 + beyond) / (1 + FLIPS),
        "sign_agreement": float((1 + C.sign().sum() / n) / 2) if n else None,
        "sign_chance_sd": 0.5 / n**0.5 if n else None,
    }


def _largest(Da: torch.Tensor, Db: torch.Tensor) -> dict[str, float]:
    count = max(1, int(LARGEST * Da.numel()))
    masks = []
    for D in (Da, Db):
        mask = torch.zeros(D.numel(), dtype=torch.bool, device=D.device)
        mask[D.abs().flatten().topk(count).indices] = True
        masks.append(mask.view_as(D))
    common = int((masks[0] & masks[1]).sum())
    return {
        "largest_overlap": common / count,
        "largest_chance": margins_overlap(*masks) * Da.numel() / count,
    }


def _spaces(Da: torch.Tensor, Db: torch.Tensor, floor: float) -> dict[str, float | int | list[float]]:
    """The leading left and right spaces of both changes."""
    factors = [leading(D, floor=floor) for D in (Da, Db)]
    k = min(len(s) for _, s, _ in factors)
    found: dict[str, float | int | list[float]] = {"k": k}
    for side, place, length in (("left", 0, Da.shape[0]), ("right", 2, Da.shape[1])):
        first, second = (one[place][:, :k] for one in factors)
        cosines = torch.linalg.svdvals(first.T @ second).clamp(0, 1)
        found[f"{side}_overlap"] = float(cosines.square().mean())
        found[f"{side}_chance"] = k / length
        found[f"{side}_chance_sd"] = overlap_sd(k, length)
        found[f"{side}_angles"] = cosines.arccos().rad2deg().tolist()
    return found


def overlap_sd(k: int, n: int) -> float:
    """Standard deviation of the mean squared cosine between two independent uniform k-spaces of n dimensions.

    From Var tr(P P') = 2 k^2 (n - k)^2 / (n^2 (n - 1) (n + 2)) for projectors P, P' of rank k.
    """
    return (2 * (n - k) ** 2 / (n**2 * (n - 1) * (n + 2))) ** 0.5 if n > 1 else 0.0


def leading(D: torch.Tensor, k: int = K, floor: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The leading left vectors (m x k), values (k,) and right vectors (n x k) of a change.

    Fewer where fewer values lie above `floor`, but one at least. Beyond a shorter side of 512 they come from subspace
    iteration on 4 k seeded random vectors, eight rounds, which is good to about one per cent where the spectrum falls
    by one per cent a component.
    """
    if min(D.shape) <= _EXACT_UP_TO:
        U, s, Vt = torch.linalg.svd(D, full_matrices=False)
        V = Vt.T
    else:
        X = torch.randn(D.shape[1], 4 * k, generator=torch.Generator().manual_seed(0), dtype=D.dtype).to(D.device)
        for _ in range(8):
            X = torch.linalg.qr(D.T @ torch.linalg.qr(D @ X).Q).Q
        U, s, Wt = torch.linalg.svd(D @ X, full_matrices=False)
        V = X @ Wt.T
    k = max(1, min(k, int((s > floor).sum())))
    return U[:, :k], s[:k], V[:, :k]
