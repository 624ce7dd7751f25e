"""The audit of one tensor: every way to merge wrongly has its verdict, and the rounding of the format is the floor."""

from __future__ import annotations

import pytest
import torch

from rotoscale.audit import AuditRow, State, audit_change, audit_copy, summarize_copies, summarize_merge
from rotoscale.audit.formats import formats_of, on_grid, spacing
from rotoscale.audit.scales import Way
from rotoscale.errors import MatrixError

torch.set_num_threads(1)

M, N, RANK = 96, 64, 4
FORMATS = ("float32", "float16", "bfloat16")


def rounded(X: torch.Tensor, name: str) -> torch.Tensor:
    return X.to(getattr(torch, name)).float()


def made(stored: str = "bfloat16", size: float = 0.05, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A base on the grid of a format and a low-rank change in float32."""
    generator = torch.Generator().manual_seed(seed)
    base = rounded(torch.randn(M, N, generator=generator) * 0.1, stored)
    A, B = torch.randn(RANK, N, generator=generator), torch.randn(M, RANK, generator=generator)
    change = B @ A
    return base, change * (size * base.norm() / change.norm())


def audit(base: torch.Tensor, change: torch.Tensor, found: torch.Tensor, stored: str, expected: str | None = None):
    return audit_change(base, change, found, stored=stored, expected=expected or stored)


@pytest.mark.parametrize("stored", FORMATS)
def test_a_merge_rounded_once_is_exact(stored: str) -> None:
    base, change = made(stored)
    verdict = audit(base, change, rounded(base + change, stored), stored)
    assert (verdict.state, verdict.format, verdict.outside) == (State.EXACT, stored, 0)
    assert verdict.is_right
    assert verdict.scale_low < 1 < verdict.scale_high
    assert verdict.scale_high - verdict.scale_low < {"float32": 1e-4, "float16": 0.02, "bfloat16": 0.1}[stored]


@pytest.mark.parametrize("stored", FORMATS)
@pytest.mark.parametrize("scale", [2.0, 0.5, -1.0, 16.0, 1.2])
def test_another_scale_is_named_with_hard_limits(stored: str, scale: float) -> None:
    base, change = made(stored)
    verdict = audit(base, change, rounded(base + scale * change, stored), stored)
    assert verdict.state is State.SCALED
    assert verdict.scale_low <= scale <= verdict.scale_high
    assert verdict.scale_high - verdict.scale_low < 0.1 * abs(scale)


def test_a_merge_that_was_rounded_names_the_format() -> None:
    base, change = made("float32")
    for name in ("float16", "bfloat16"):
        for stored in ("float32", name):
            verdict = audit(base, change, rounded(base + change, name), stored, "float32")
            assert (verdict.state, verdict.format, verdict.way) == (State.ROUNDED, name, Way.ONCE)


def test_a_merge_computed_in_the_format_is_rounded_more_than_once() -> None:
    """As a merge of a bfloat16 model: product, scale and sum each rounded, from rounded factors."""
    base, _ = made("bfloat16")
    generator = torch.Generator().manual_seed(1)
    A, B = torch.randn(RANK, N, generator=generator), torch.randn(M, RANK, generator=generator)
    A, B = A.bfloat16(), B.bfloat16()
    merged = (base.bfloat16() + (B @ A) * 0.03).float()
    verdict = audit(base, (B.float() @ A.float()) * 0.03, merged, "bfloat16")
    assert (verdict.state, verdict.way, verdict.outside) == (State.ROUNDED, Way.MERGED, 0)


@pytest.mark.parametrize("stored", ["bfloat16", "float16"])
def test_no_honest_merge_is_accused(stored: str) -> None:
    """Over ranks, sizes and seeds, computed in the format or in float32: nothing else is said to have changed."""
    dtype = getattr(torch, stored)
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        rank, size = 2 ** (seed % 7), 10.0 ** -(seed % 4)
        base = rounded(torch.randn(M, N, generator=generator) * 0.1, stored)
        A, B = torch.randn(rank, N, generator=generator), torch.randn(M, rank, generator=generator) * size
        half = (base.to(dtype) + (B.to(dtype) @ A.to(dtype)) * 0.05).float()
        found = [
            audit(base, 0.05 * (B @ A), half, stored),
            audit(base, 0.05 * (B @ A), rounded(base + 0.05 * (B @ A), stored), stored),
        ]
        assert {verdict.state for verdict in found} <= {State.EXACT, State.ROUNDED, State.BELOW}, seed
        assert found[1].state is State.EXACT
        assert sum(verdict.outside for verdict in found) == 0


def test_the_base_alone_and_missing_parts() -> None:
    base, change = made()
    assert audit(base, change, base, "bfloat16").state is State.ABSENT
    found = rounded(base + change, "bfloat16")
    found[32:48] = base[32:48]
    verdict = audit(base, change, found, "bfloat16")
    assert (verdict.state, verdict.how) == (State.PARTIAL, "missing in rows 32 to 47 (16 of 96)")
    found = rounded(base + change, "bfloat16")
    found[:, N // 2 :] = base[:, N // 2 :]
    assert audit(base, change, found, "bfloat16").how == f"missing in columns 32 to 63 (32 of {N})"


def test_a_change_below_the_rounding_cannot_be_told() -> None:
    base, change = made(size=1e-6)
    found = rounded(base + change, "bfloat16")
    assert torch.equal(found, base)
    assert audit(base, change, found, "bfloat16").state is State.BELOW


def test_one_element_or_one_row_changed_besides() -> None:
    base, change = made()
    found = rounded(base + change, "bfloat16")
    found[5, 7] += 0.25
    verdict = audit(base, change, found, "bfloat16")
    assert (verdict.state, verdict.outside, verdict.place) == (State.EXACT, 1, (5, 7))
    assert verdict.largest == pytest.approx(0.25, rel=0.05)
    assert not verdict.is_right
    found = rounded(base + 2 * change, "bfloat16")
    found[9] = torch.randn(N, generator=torch.Generator().manual_seed(4))
    verdict = audit(base, change, found, "bfloat16")
    assert (verdict.state, verdict.outside_rows) == (State.SCALED, 1)
    assert verdict.scale_low <= 2 <= verdict.scale_high
    found = base.clone()
    found[3] = 1.0
    verdict = audit(base, change, found, "bfloat16")
    assert (verdict.state, verdict.outside_rows) == (State.ABSENT, 1)


def test_beneath_a_larger_change_everywhere() -> None:
    base, change = made()
    noise = torch.randn(M, N, generator=torch.Generator().manual_seed(2))
    noise *= 3 * change.norm() / noise.norm()
    verdict = audit(base, change, rounded(base + change + noise, "bfloat16"), "bfloat16")
    assert verdict.state is State.BENEATH
    assert verdict.scale_low < 1 < verdict.scale_high
    assert verdict.outside > 0.9 * M * N
    assert audit(base, change, rounded(base + noise, "bfloat16"), "bfloat16").state is State.UNEXPLAINED


def test_beneath_is_said_rarely_where_nothing_is_there() -> None:
    """Five standard errors: of 200 unrelated changes of twice the size, none."""
    base, change = made()
    states = set()
    for seed in range(200):
        noise = torch.randn(M, N, generator=torch.Generator().manual_seed(100 + seed))
        found = rounded(base + noise * (2 * change.norm() / noise.norm()), "bfloat16")
        states.add(audit(base, change, found, "bfloat16").state)
    assert states == {State.UNEXPLAINED}


SCRAMBLED = {
    "rows in another order": lambda base, change, order: base + change[order],
    "columns in another order": lambda base, change, order: base + change[:, torch.arange(N).roll(5)],
    "the whole tensor: rows in another order": lambda base, change, order: (base + change)[order],
    "the change's norm, and not its values": lambda base, change, order: (
        base + change.flatten()[torch.randperm(M * N, generator=torch.Generator().manual_seed(3))].view(M, N)
    ),
}


@pytest.mark.parametrize("how", SCRAMBLED)
@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_right_norm_and_values_in_other_places(how: str, stored: str) -> None:
    base, change = made(stored, size=0.3)
    order = torch.randperm(M, generator=torch.Generator().manual_seed(2))
    verdict = audit(base, change, rounded(SCRAMBLED[how](base, change, order), stored), stored)
    assert (verdict.state, verdict.how) == (State.MISPLACED, how)


def test_transposed_and_of_another_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    base = rounded(torch.randn(64, 64, generator=generator), "bfloat16")
    change, other = (
        torch.randn(64, RANK, generator=generator) @ torch.randn(RANK, 64, generator=generator) * 0.1 for _ in "ab"
    )
    verdict = audit(base, change, rounded(base + change.T, "bfloat16"), "bfloat16")
    assert (verdict.state, verdict.how) == (State.MISPLACED, "transposed")
    found = rounded(base + other, "bfloat16")
    verdict = audit_change(
        base, change, found, stored="bfloat16", expected="bfloat16", elsewhere=lambda: [("layers.3.q", other)]
    )
    assert (verdict.state, verdict.how) == (State.MISPLACED, "the change of layers.3.q")


def test_other_shapes_are_an_error() -> None:
    base, change = made()
    with pytest.raises(MatrixError, match="differ"):
        audit(base, change, base[1:], "bfloat16")


# Two copies.


def test_equal_copies_and_copies_that_were_rounded() -> None:
    X = torch.randn(M, N, generator=torch.Generator().manual_seed(0))
    assert audit_copy(X, X.clone(), of_original="float32", of_copy="float32").is_right
    verdict = audit_copy(X, rounded(X, "bfloat16"), of_original="float32", of_copy="bfloat16")
    assert (verdict.state, verdict.format, verdict.way, verdict.how) == (State.ROUNDED, "bfloat16", Way.ONCE, "")
    back = audit_copy(rounded(X, "float16"), X, of_original="float16", of_copy="float32")
    assert (back.state, back.format, back.how) == (State.ROUNDED, "float16", "the first is the second, rounded")
    cut = (X.view(torch.int32) & -65536).view(torch.float32)  # bfloat16 by cutting bits off
    assert not torch.equal(cut, rounded(X, "bfloat16"))
    verdict = audit_copy(X, cut, of_original="float32", of_copy="bfloat16")
    assert (verdict.state, verdict.way) == (State.ROUNDED, Way.COPIED)


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_one_element_off_by_one_unit_is_seen_in_a_copy(stored: str) -> None:
    X = rounded(torch.randn(M, N, generator=torch.Generator().manual_seed(0)), stored)
    copy = X.clone()
    copy[11, 13] += float(spacing(X[11:12, 13:14], stored))
    verdict = audit_copy(X, copy, of_original=stored, of_copy=stored)
    assert (verdict.outside, verdict.place) == (1, (11, 13))
    assert not verdict.is_right


def test_multiples_scrambles_and_zeros_of_a_copy() -> None:
    X = rounded(torch.randn(M, N, generator=torch.Generator().manual_seed(0)), "bfloat16")
    twice = audit_copy(X, 1.5 * X, of_original="bfloat16", of_copy="float32")
    assert twice.state is State.SCALED
    assert twice.scale_low <= 1.5 <= twice.scale_high
    order = torch.arange(M).view(2, M // 2).T.flatten()  # halves interleaved, as rotary conversions do
    verdict = audit_copy(X, X[order], of_original="bfloat16", of_copy="bfloat16")
    assert (verdict.state, verdict.how) == (State.MISPLACED, "rows in another order")
    other = torch.randn(M, N, generator=torch.Generator().manual_seed(1))
    assert audit_copy(X, other, of_original="bfloat16", of_copy="float32").state is State.UNEXPLAINED
    mixed = X.flatten()[torch.randperm(M * N, generator=torch.Generator().manual_seed(3))].view(M, N)
    assert audit_copy(X, mixed, of_original="bfloat16", of_copy="bfloat16").how == "the same values in another order"
    assert audit_copy(torch.zeros(2, 3), torch.ones(2, 3), of_original="float32", of_copy="float32").outside == 6
    assert audit_copy(X, torch.zeros_like(X), of_original="bfloat16", of_copy="bfloat16").state is State.SCALED


# Formats.


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_rounding_moves_no_number_by_more_than_half_the_spacing(name: str) -> None:
    scale = torch.logspace(-6, 1, 4096, dtype=torch.float64)
    X = torch.randn(4096, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * scale
    there = rounded(X, name)
    assert on_grid(there, name)
    moved = (X - there.double()).abs()
    assert bool((moved <= spacing(there, name) / 2).all())
    assert bool((moved > spacing(there, name) / 2.1).any())


def test_formats_are_the_stored_one_and_the_coarser_ones_whose_numbers_these_are() -> None:
    X = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)) * 1e-6
    assert formats_of(X, "float32") == ["float32"]
    assert formats_of(rounded(X, "bfloat16"), "float32") == ["float32", "bfloat16"]
    assert formats_of(rounded(1e6 * X, "float16"), "float16") == ["float16"]


# The whole checkpoint, from rows.


def row(found: torch.Tensor, name: str = "w", targeted: bool = True, size: float = 0.05) -> AuditRow:
    base, change = made(size=size)
    return AuditRow(tensor=name, targeted=targeted, verdict=audit(base, change, found, "bfloat16"))


def test_summary_names_what_is_missing_and_a_known_mistake() -> None:
    base, change = made()
    whole, none = row(rounded(base + change, "bfloat16"), "a"), row(base, "b")
    assert summarize_merge([whole]).verdicts == ["merged exactly"]
    assert summarize_merge([none]).verdicts == ["not merged at all"]
    partly = summarize_merge([whole, none])
    assert partly.verdicts == ["layers or parts missing"]
    assert "1 of 2 tensors: b" in partly.sentences[0]
    twice = summarize_merge([row(rounded(base + 2 * change, "bfloat16"))], [(2.0, "as if merged twice")])
    assert twice.verdicts == ["merged with another scale"]
    assert "as if merged twice" in twice.sentences[0]
    assert twice.scale_low <= 2 <= twice.scale_high
    small = made(size=1e-6)[0]
    assert summarize_merge([row(small, size=1e-6)]).verdicts == ["too small a change to tell"]


def test_summary_of_copies() -> None:
    X = torch.randn(M, N, generator=torch.Generator().manual_seed(0))

    def copy(Y: torch.Tensor, stored: str = "float32") -> AuditRow:
        return AuditRow(tensor="w", verdict=audit_copy(X, Y, of_original="float32", of_copy=stored))

    assert summarize_copies([copy(X)]).verdicts == ["equal"]
    assert summarize_copies([copy(rounded(X, "bfloat16"), "bfloat16")]).verdicts == ["equal up to rounding"]
    changed = X.clone()
    changed[0, 0] += 1
    assert summarize_copies([copy(changed), copy(X)]).verdicts == ["different"]
    assert summarize_copies([copy(X), AuditRow(tensor="x", presence="second")]).verdicts == ["different"]


def test_a_vector_that_was_trained_is_not_in_another_order() -> None:
    """A norm's weights lie so close together that each has a neighbour within the rounding."""
    generator = torch.Generator().manual_seed(0)
    norm = 0.4 + 0.3 * torch.rand(1, 512, generator=generator)
    trained = (norm + 0.01 * torch.randn(1, 512, generator=generator)).clamp(0.41, 0.69)
    trained = rounded(trained, "bfloat16")
    verdict = audit_copy(norm, trained, of_original="float32", of_copy="bfloat16")
    assert verdict.state is not State.MISPLACED
    assert verdict.outside > 256
    order = torch.randperm(512, generator=generator)
    verdict = audit_copy(norm, rounded(norm[:, order], "bfloat16"), of_original="float32", of_copy="bfloat16")
    assert (verdict.state, verdict.how) == (State.MISPLACED, "columns in another order")
