"""Two changes of one matrix: known relations are found, and what is called chance is what chance gives."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from rotoscale.errors import MatrixError
from rotoscale.two_changes.compare import leading, margins_overlap, overlap_sd, two_changes

torch.set_num_threads(1)

M, N = 48, 32


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (M, N)), generator=torch.Generator().manual_seed(seed))


def low_rank(seed: int, rank: int = 3) -> torch.Tensor:
    return noise(seed, M, rank) @ noise(seed + 5000, rank, N)


BASE = noise(9999)


def test_the_same_change_and_the_opposite_one() -> None:
    same = two_changes(BASE, BASE + low_rank(1), BASE + low_rank(1))
    assert same.cosine == pytest.approx(1)
    assert same.sign_agreement == 1
    assert same.largest_overlap == 1
    assert same.k == 3
    assert same.left_overlap == pytest.approx(1)
    assert max(same.right_angles) < 1e-3
    opposite = two_changes(BASE, BASE + low_rank(1), BASE - low_rank(1))
    assert opposite.cosine == pytest.approx(-1, abs=1e-5)
    assert opposite.cosine_p == 1 / 1000
    assert opposite.sign_agreement == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("make", [noise, low_rank])
def test_p_of_unrelated_changes_is_uniform_and_the_spread_is_as_stated(make) -> None:
    found = [two_changes(BASE, BASE + make(seed), BASE + make(seed + 1000), seed=seed) for seed in range(200)]
    assert stats.kstest([one.cosine_p for one in found], "uniform").pvalue > 0.01
    z = [one.cosine / one.cosine_chance for one in found]
    assert torch.tensor(z).std() == pytest.approx(1, abs=0.15)
    signs = [(one.sign_agreement - 0.5) / one.sign_chance_sd for one in found]
    assert abs(sum(signs)) / 200**0.5 < 4 * torch.tensor(signs).std()


def test_half_shared_changes_are_seen() -> None:
    shared = noise(1)
    found = two_changes(BASE, BASE + shared + noise(2), BASE + shared + noise(3))
    assert found.cosine == pytest.approx(0.5, abs=0.06)
    assert found.cosine_p == 1 / 1000
    assert found.sign_agreement == pytest.approx(2 / 3, abs=0.04)  # arccos(1/2) is a third of half a turn


def test_angles_of_shared_directions() -> None:
    """Two changes of rank 2 with one left direction in common, the other at right angles; right spaces apart."""
    U, V = torch.linalg.qr(noise(1, M, 3)).Q, torch.linalg.qr(noise(2, N, 4)).Q
    a = U[:, [0, 1]] @ V[:, [0, 1]].T
    b = U[:, [0, 2]] @ V[:, [2, 3]].T
    found = two_changes(torch.zeros(M, N), a, b)
    assert found.k == 2
    assert found.left_angles == pytest.approx([0, 90], abs=0.1)
    assert found.right_angles == pytest.approx([90, 90], abs=0.1)
    assert (found.left_overlap, found.left_chance) == (pytest.approx(0.5, abs=1e-3), 2 / M)


def test_overlap_of_random_spaces_has_the_stated_mean_and_spread() -> None:
    k, n = 4, 24
    overlaps = []
    for seed in range(400):
        first, second = (torch.linalg.qr(noise(seed + shift, n, k)).Q for shift in (0, 7000))
        overlaps.append(float((first.T @ second).square().sum()) / k)
    assert torch.tensor(overlaps).mean() == pytest.approx(k / n, abs=0.01)
    assert torch.tensor(overlaps).std() == pytest.approx(overlap_sd(k, n), rel=0.1)


def test_leading_vectors_of_a_large_matrix_are_those_of_the_full_decomposition() -> None:
    """A spectrum that falls by one per cent a component."""
    left, right = (torch.linalg.qr(noise(seed, 600, 600).double()).Q for seed in (1, 2))
    D = (left * torch.logspace(0, -2.6, 600, dtype=torch.float64)) @ right.T
    U, s, V = leading(D)
    assert s.tolist() == pytest.approx(torch.linalg.svdvals(D)[:8].tolist(), rel=1e-2)
    assert float((left[:, :8].T @ U).square().sum()) / 8 > 0.98
    assert float((right[:, :8].T @ V).square().sum()) / 8 > 0.98


def test_masks_over_chance_and_over_their_margins() -> None:
    """Rows that both change are no overlap of elements; the same elements are."""
    mask = torch.rand(M, N, generator=torch.Generator().manual_seed(1)) < 0.2
    same = two_changes(BASE, BASE + mask * noise(1), BASE + mask * noise(2))
    assert same.changed_a == same.changed_both == pytest.approx(float(mask.double().mean()))
    assert same.changed_both > 4 * same.changed_chance
    rows = torch.zeros(M, N, dtype=torch.bool)
    rows[:12] = True
    some = [rows & (torch.rand(M, N, generator=torch.Generator().manual_seed(seed)) < 0.5) for seed in (1, 2)]
    found = two_changes(BASE, BASE + some[0] * noise(1), BASE + some[1] * noise(2))
    assert found.changed_both > 3 * found.changed_chance
    assert found.changed_both == pytest.approx(found.changed_chance_margins, rel=0.1)
    assert margins_overlap(rows, ~rows) == 0


def test_an_element_that_rounding_alone_moved_is_not_changed() -> None:
    rounded = BASE.bfloat16().float()
    found = two_changes(BASE, rounded, BASE + noise(1), dtypes=("bfloat16", "float32"))
    assert (found.changed_a, found.changed_b) == (0, 1)
    assert two_changes(BASE, rounded, BASE + noise(1)).changed_a > 0.9


def test_what_a_later_stage_takes_back() -> None:
    first, last = noise(1), noise(2)
    later = two_changes(BASE, BASE + first, BASE + 0.7 * first + 0.3 * last, later=True)
    assert later.undone == pytest.approx(0.3, abs=0.03)
    assert later.undone / later.undone_chance > 5
    alone = two_changes(BASE, BASE + first, BASE + first + last, later=True)
    assert abs(alone.undone) < 4 * alone.undone_chance
    further = two_changes(BASE, BASE + first, BASE + 1.5 * first, later=True)
    assert further.undone == pytest.approx(-0.5, abs=1e-5)
    assert two_changes(BASE, BASE + first, BASE + last).undone is None


def test_no_change_and_other_shapes() -> None:
    found = two_changes(BASE, BASE, BASE + noise(1))
    assert (found.norm_a, found.changed_a, found.changed_both) == (0, 0, 0)
    assert found.cosine is found.left_overlap is None
    with pytest.raises(MatrixError, match="differ"):
        two_changes(BASE, BASE[1:], BASE)
