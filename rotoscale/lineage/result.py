"""The numbers on a pair of models, and the sentence that each is read by; light, because tables are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from rotoscale.statistic import statistic

RELATED, UNRELATED, UNDECIDED = "related", "unrelated", "undecided"


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Two models, whether they share an initialisation, and what hints at more (docs/methods.md, section 5)."""

    verdict: str = statistic("related, unrelated or undecided: whether the two share an initialisation.", default="")
    reason: str = statistic("The verdict in a sentence, with what it rests on.", default="")
    p_exact: float | None = statistic(
        "p of the neurons standing in the same order by chance (linear assignment on cosine, Spearman, Fisher)."
    )
    p_match: float | None = statistic(
        "p of two separate matchings of the neurons agreeing by chance, in a common residual basis; calibrated."
    )
    approximate: bool | None = statistic(
        "Whether the smaller p is the approximation of a tail: too small to be counted among orders; clipped at 1e-300."
    )
    rows: int | None = statistic("Neurons of a layer in the exact test.")
    rows_matched: int | None = statistic("Neurons of a layer in the invariant test.")
    layers: int | None = statistic("Pairs of layers tested.")
    shared_tokens: int | None = statistic("Tokens whose embeddings map one residual basis to the other.")
    control_pairs: int | None = statistic("Unrelated pairs of layers of this shape that p_match was taken of.")
    control_smallest_p: float | None = statistic("The smallest p_match among them.")
    merged_p_exact: float | None = statistic("p_exact of one model against a half-and-half merge of both: its power.")
    merged_p_match: float | None = statistic("p_match of the same: its power.")
    distance: float | None = statistic("Indication of degree: |A - B| / |A| of the tested rows of up, as stored.")
    cosine: float | None = statistic("Indication of degree: median cosine of rows of up at the same place.")
    cosine_matched: float | None = statistic("The same of rows that were matched, in the common residual basis.")
    heavier_a: int | None = statistic("Indication of direction: tested matrices in which model_a is heavier-tailed.")
    heavier_of: int | None = statistic("Tested matrices whose tails differ.")
    earlier: str | None = statistic("The model that looks the earlier by its heavier tails; a hint, not a finding.")
    spectral_distance: float | None = statistic(
        "Indication for models that cannot be tested: distance of the attention products' spectra at equal depth."
    )
    spectral_distance_elsewhere: float | None = statistic("The same at unequal depth, as far as related or not can be.")
    note: str = statistic("What could not be done, and why.", default="")
    rule_version: str = statistic("Version of the rules.", default="")
    seed: int | None = statistic("Seed of ties.", type="BIGINT")
    seconds: float | None = statistic("Time taken.")
