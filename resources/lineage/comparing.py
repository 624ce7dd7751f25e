"""The lineage of two checkpoints: matrices read one at a time, both tests, their controls, and the indications.

Of model A the chosen vectors of a few layers are kept; of B one matrix at a time is in memory, laid beside each layer
of A: the same layer is the test, the others are its control. docs/methods.md, section 5.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from resources.lineage.neurons import Neurons, layer_pairs
from resources.lineage.spectra import attention_distances
from resources.lineage.tokens import shared_tokens
from resources.threads import arithmetic_threads
from rotoscale.errors import MatrixError
from rotoscale.lineage.result import RELATED, Lineage

if TYPE_CHECKING:
    import numpy as np
    import torch

    from resources.checkpoints import Checkpoint
    from rotoscale.lineage.ranks import RankTest

Report = Callable[[float, float], None]

_MOST_TOKENS = 8192


def lineage(
    a: Checkpoint,
    b: Checkpoint,
    *,
    names: tuple[str, str] = ("A", "B"),
    seed: int = 0,
    report: Report = lambda done, total: None,
) -> Lineage:
    """Whether two checkpoints share an initialisation, and what hints at more; `names` are what sentences call them.

    Models whose MLPs differ in shape get the spectra of their attention products, and no verdict but `undecided`.
    docs/methods.md, section 5. Raises the CheckpointError of what cannot be read.
    """
    began = time.monotonic()
    with arithmetic_threads(1):
        found = _Comparison(a, b, names, seed, report).run()
    return Lineage(**found, seconds=time.monotonic() - began)


@dataclass
class _Layer:
    """One pair of layers: what is kept of A's, and what came out."""

    a: Neurons
    b: Neurons
    rows: torch.Tensor
    """A's chosen rows of `up`, as stored, for the exact test."""
    vectors: dict[str, torch.Tensor] = field(default_factory=dict)
    """A's chosen vectors by part in B's basis, for the invariant test."""
    exact: RankTest | None = None
    exact_merged: RankTest | None = None
    change: tuple[float, float] = (0.0, 0.0)
    cosine: float | None = None
    cosine_matched: float | None = None
    tails: list[tuple[float | None, float | None]] = field(default_factory=list)


_Orders = dict[tuple[Any, ...], "dict[str, np.ndarray | None]"]
"""Orders of A's neurons in B by what was laid beside what, and by part."""


class _Comparison:
    """One pass over a pair."""

    def __init__(self, a: Checkpoint, b: Checkpoint, names: tuple[str, str], seed: int, report: Report) -> None:
        self.a, self.b, self.names, self.seed = a, b, names, seed
        self._report = report
        self.obstacles: list[str] = []
        self.notes: list[str] = []
        self.orders: _Orders = {}
        self.n_tokens: int | None = None

    def run(self) -> dict[str, Any]:
        """The fields of `Lineage`."""
        pairs = layer_pairs(self.a, self.b)
        if not pairs:
            self.obstacles.append(
                f"the MLPs of {self.names[0]} and {self.names[1]} have no layer of one shape, so that their neurons "
                "cannot be compared"
            )
            return self._verdict([], None) | self._spectra()
        Q = self._map(pairs[0][0].shape[1])
        kept = []
        steps = 2 * sum(len(pair[0].parts) for pair in pairs)
        for a, b in pairs:
            kept.append(self._keep(a, b, Q))
            self._report(len(a.parts) * len(kept), steps)
        done = steps // 2
        for j, layer in enumerate(kept):
            for part in layer.b.parts:
                self._lay_beside(kept, j, part, mapped=Q is not None)
                done += 1
                self._report(done, steps)
        found = self._verdict(kept, Q)
        return found if found["p_match"] is not None and found["p_exact"] is not None else found | self._spectra()

    def _map(self, hidden: int) -> torch.Tensor | None:
        """The map from A's residual basis to B's; None, and an obstacle, where there is none."""
        import torch

        from rotoscale.lineage.basis import residual_map
        from rotoscale.lineage.matching import spread

        tokens, note = shared_tokens(self.a, self.b)
        self.n_tokens = len(tokens)
        if len(tokens) < hidden:
            few = note or f"the two share {len(tokens)} tokens, fewer than the hidden size {hidden}"
            self.obstacles.append(f"{few}: their residual bases cannot be mapped")
            return None
        if note:
            self.notes.append(note)
        chosen = torch.tensor([tokens[i] for i in spread(len(tokens), max(_MOST_TOKENS, 2 * hidden)).tolist()])
        E = [
            model.read_other(model.structure.embedding)[rows].float()
            for model, rows in ((self.a, chosen[:, 0]), (self.b, chosen[:, 1]))
        ]
        if not E[0].shape[1] == E[1].shape[1] == hidden:
            self.obstacles.append("the embeddings do not stand in the residual basis")
            return None
        try:
            return residual_map(*E)
        except MatrixError as error:
            self.obstacles.append(str(error))
            return None

    def _keep(self, a: Neurons, b: Neurons, Q: torch.Tensor | None) -> _Layer:
        """A's side of a pair of layers."""
        from rotoscale.lineage import exact, invariant
        from rotoscale.lineage.matching import spread
        from rotoscale.lineage.tails import excess_kurtosis

        layer = _Layer(a, b, rows=None)  # type: ignore[arg-type]
        for part in a.parts:
            W = a.vectors(part)
            layer.tails.append((excess_kurtosis(W), None))
            if part == "up":
                layer.rows = W[spread(len(W), exact.MOST_ROWS)].clone()
            if Q is not None:
                chosen = W[spread(len(W), invariant.MOST_ROWS)]
                layer.vectors[part] = invariant.in_basis(chosen, a.gain(part), Q)
        return layer

    def _lay_beside(self, kept: list[_Layer], j: int, part: str, *, mapped: bool) -> None:
        """One matrix of B's layer j beside A's layers."""
        from rotoscale.lineage import control, exact, invariant
        from rotoscale.lineage.matching import matched_cosine, spread
        from rotoscale.lineage.tails import excess_kurtosis

        layer = kept[j]
        parts = layer.b.parts
        W = layer.b.vectors(part)
        place = parts.index(part)
        layer.tails[place] = (layer.tails[place][0], excess_kurtosis(W))
        if part == "up":
            rows = W[spread(len(W), exact.MOST_ROWS)]
            layer.exact = exact.order_test(layer.rows, rows, self.seed)
            layer.exact_merged = exact.order_test(layer.rows, control.merged(layer.rows, rows), self.seed)
            layer.cosine = matched_cosine(layer.rows, rows)
            layer.change = (float((layer.rows - rows).square().sum()), float(layer.rows.square().sum()))
        if not mapped:
            return
        W = invariant.in_basis(W, layer.b.gain(part))
        for i, other in enumerate(kept):
            seed = self.seed + 1_000 * i + j
            order = invariant.neuron_order(other.vectors[part], W, part, parts, seed)
            self.orders.setdefault(("layers", i, j), {})[part] = order
            if i == j and part == "up" and order is not None:
                layer.cosine_matched = matched_cosine(other.vectors[part], W, order)
        mine = layer.vectors[part]
        order = invariant.neuron_order(mine, control.merged(mine, W), part, parts, self.seed)
        self.orders.setdefault(("merged", j), {})[part] = order
        if len(kept) == 1:
            for draw in range(control.ROTATIONS):
                R = control.random_basis(W.shape[1], draw)
                self.orders.setdefault(("rotated", draw), {})[part] = invariant.neuron_order(
                    mine, W @ R, part, parts, self.seed
                )

    def _tests(self, chosen: Callable[[tuple[Any, ...]], bool]) -> list[RankTest]:
        """The invariant tests of some of what was laid beside each other."""
        from rotoscale.lineage.invariant import agreement_test

        tests = [agreement_test(*found.values()) for key, found in self.orders.items() if chosen(key)]
        return [test for test in tests if test is not None]

    def _verdict(self, kept: list[_Layer], Q: torch.Tensor | None) -> dict[str, Any]:
        from rotoscale.lineage.ranks import fisher
        from rotoscale.lineage.verdict import RULE_VERSION, Measured, judge

        exact = [layer.exact for layer in kept if layer.exact is not None]
        match = self._tests(lambda key: key[0] == "layers" and key[1] == key[2])
        for tests, made in ((exact, bool(kept)), (match, Q is not None)):
            if made and not tests:
                self.obstacles.append("the matrices have too few rows that are not zero")
        control = [
            t.p for t in self._tests(lambda key: key[0] == "rotated" or (key[0] == "layers" and key[1] != key[2]))
        ]
        measured = Measured(
            p_exact=fisher([test.p for test in exact]),
            p_match=fisher([test.p for test in match]),
            control=control,
            merged_exact=fisher([layer.exact_merged.p for layer in kept if layer.exact_merged]),
            merged_match=fisher([test.p for test in self._tests(lambda key: key[0] == "merged")]),
            same_depth=self.a.n_layers == self.b.n_layers,
            obstacles=list(dict.fromkeys(self.obstacles)),
        )
        verdict, reason = judge(measured)
        smaller = exact if (measured.p_exact or 1.0) <= (measured.p_match or 1.0) else match
        known = [layer for layer in kept if layer.exact is not None]
        changed, norm = (sum(layer.change[i] for layer in known) for i in (0, 1))
        return {
            "verdict": verdict,
            "reason": reason[:1].upper() + reason[1:],
            "p_exact": measured.p_exact,
            "p_match": measured.p_match,
            "approximate": any(not test.counted for test in smaller) if smaller else None,
            "rows": len(kept[0].rows) if kept else None,
            "rows_matched": next((test.n for test in match), None),
            "layers": len(kept),
            "shared_tokens": self.n_tokens,
            "control_pairs": len(control),
            "control_smallest_p": min(control, default=None),
            "merged_p_exact": measured.merged_exact,
            "merged_p_match": measured.merged_match,
            "distance": math.sqrt(changed / norm) if norm else None,
            "cosine": _median([layer.cosine for layer in known]),
            "cosine_matched": _median([layer.cosine_matched for layer in kept]),
            **self._direction(kept, verdict),
            "note": "; ".join(self.notes),
            "rule_version": RULE_VERSION,
            "seed": self.seed,
        }

    def _direction(self, kept: list[_Layer], verdict: str) -> dict[str, Any]:
        """Which of two relatives looks the earlier."""
        from rotoscale.lineage.tails import MAJORITY, heavier

        tails = [pair for layer in kept for pair in layer.tails]
        first, n = heavier([a for a, _ in tails], [b for _, b in tails])
        earlier = None
        if verdict == RELATED and n and max(first, n - first) >= MAJORITY * n:
            earlier = self.names[0] if 2 * first > n else self.names[1]
        return {"heavier_a": first, "heavier_of": n, "earlier": earlier}

    def _spectra(self) -> dict[str, Any]:
        """The indicative route."""
        equal, elsewhere, note = attention_distances(self.a, self.b)
        if note:
            self.notes.append(note)
        return {
            "spectral_distance": equal,
            "spectral_distance_elsewhere": elsewhere,
            "note": "; ".join(self.notes),
        }


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
