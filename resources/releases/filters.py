"""Why a family does not want a release, from what is known of it so far. Nothing is asked and nothing is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resources.families import Watch
from resources.releases.book import HUB

_QUANTIZED_TAGS = frozenset(
    ["gguf", "gptq", "awq", "exl2", "exl3", "bitsandbytes", "aqlm", "hqq", "quanto", "eetq", "vptq"]
)
_INTEGERS = frozenset(["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "uint64", "float4_e2m1"])


def quantized_by(relation: str, tags: tuple[str, ...], dtype: str | None) -> str | None:
    """The method of quantization that a listing shows; None when it shows none."""
    found = sorted(_QUANTIZED_TAGS.intersection(tag.casefold() for tag in tags))
    if found:
        return ", ".join(found)
    if dtype in _INTEGERS:
        return f"packed as {dtype}"
    return "not named" if relation == "quantized" else None


def refused(watch: Watch, row: Mapping[str, Any]) -> str:
    """Why a release is left, as a sentence; empty when nothing known so far speaks against it."""
    if row["quantization"]:
        return f"Quantized ({row['quantization']}): recorded, not taken, because packed weights cannot be read exactly."
    if not watch.wants_name(row["model"]):
        return "Its name is not among those that the family wants."
    if watch.dtypes and row["dtype"] and row["dtype"] not in watch.dtypes:
        return f"Its weights are {row['dtype']}; the family wants {' or '.join(watch.dtypes)}."
    if watch.max_parameters and (row["parameters"] or 0) > watch.max_parameters:
        return f"It has {row['parameters']:,} parameters; the family takes at most {watch.max_parameters:,}."
    return _refused_on_hub(watch, row) if row["source"] == HUB else ""


def _refused_on_hub(watch: Watch, row: Mapping[str, Any]) -> str:
    if row["relation"] not in watch.relations:
        return f"Its relation is {row['relation']}; the family wants {' or '.join(watch.relations)}."
    if watch.authors and row["author"].casefold() not in {author.casefold() for author in watch.authors}:
        return f"The account {row['author']} is not among those that the family names."
    if watch.licences and (row["licence"] or "").casefold() not in {one.casefold() for one in watch.licences}:
        stated = f"Its licence is {row['licence']}" if row["licence"] else "Its card states no licence"
        return f"{stated}; the family wants {' or '.join(watch.licences)}."
    if watch.since and row["created_at"] and f"{row['created_at']:%Y-%m-%d}" < watch.since:
        return f"It was made before {watch.since}."
    # Without the counts, which change with every listing: a row keeps its reason as long as that holds.
    if row["downloads"] < watch.min_downloads:
        return f"It has fewer than {watch.min_downloads:,} downloads."
    if row["likes"] < watch.min_likes:
        return f"It has fewer than {watch.min_likes:,} likes."
    return ""
