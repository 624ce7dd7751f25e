"""The attention products of two checkpoints side by side, for models that cannot be tested."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from resources.checkpoints import MatrixKey
from resources.lineage.neurons import MOST_LAYERS

if TYPE_CHECKING:
    import numpy as np

    from resources.checkpoints import Checkpoint

_PRODUCTS = (("q", "k"), ("o", "v"))


def attention_distances(a: Checkpoint, b: Checkpoint) -> tuple[float | None, float | None, str]:
    """Median distance of spectra at equal relative depth, the same at unequal depth, and a note where there are none.

    Of at most four layers of each, evenly spread. docs/methods.md, section 5.
    """
    from rotoscale.lineage.attention import spectral_distance

    layers = min(MOST_LAYERS, a.n_layers, b.n_layers)
    of_a, of_b = _spectra(a, layers), _spectra(b, layers)
    if not of_a or not of_b:
        return None, None, "the attention products of the two cannot be compared either"
    distances = [
        [sum(spectral_distance(x, y) for x, y in zip(one, other, strict=True)) / len(one) for other in of_b]
        for one in of_a
    ]
    n = len(distances)
    unequal = [distances[i][j] for i in range(n) for j in range(n) if i != j]
    return median(distances[i][i] for i in range(n)), median(unequal) if unequal else None, ""


def _spectra(checkpoint: Checkpoint, layers: int) -> list[list[np.ndarray]]:
    """Spectra of both products of so many layers, evenly spread; none where the heads cannot be told apart."""
    from rotoscale.lineage.attention import product_spectrum
    from rotoscale.lineage.matching import spread

    keys = set(checkpoint.matrices())
    found = []
    for layer in spread(checkpoint.n_layers, layers).tolist():
        of_layer = []
        for left, right in _PRODUCTS:
            both = MatrixKey(layer, left), MatrixKey(layer, right)
            if not keys.issuperset(both):
                return []
            W, X = checkpoint.read(both[0]), checkpoint.read(both[1])
            spectrum = product_spectrum(W.T if left == "o" else W, X, checkpoint.n_heads, checkpoint.n_kv_heads)
            if spectrum is None:
                return []
            of_layer.append(spectrum)
        found.append(of_layer)
    return found
