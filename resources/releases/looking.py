"""Looking into a release before anything large is fetched: which files it has, and what its config says it is.

The Hub's relations and tags are inferred and sometimes wrong, so that a packed checkpoint can come as a fine-tune.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resources.checkpoints.header import DTYPES
from resources.checkpoints.quantization import stated_packing
from resources.hub.descendants import Files
from resources.releases.book import Row
from resources.workspace import Workspace, fingerprint

_SIZES = {
    "n_layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "hidden_size": ("hidden_size", "n_embd", "d_model", "hidden_dim"),
    "n_heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "n_kv_heads": ("num_key_value_heads",),
}
_WORDS = {"n_layers": "layers", "hidden_size": "hidden size", "n_heads": "heads", "n_kv_heads": "key and value heads"}
_BYTES = {"float64": 8, "float32": 4, "float8_e4m3fn": 1, "float8_e5m2": 1}


def torch_name(dtype: object) -> str | None:
    """A number format as torch names it, from safetensors' word or a config's."""
    word = str(dtype or "").removeprefix("torch.")
    return DTYPES[word][0] if word in DTYPES else word or None


def describe(row: Row, files: Files, config: Mapping[str, Any]) -> None:
    """Fill in what files and config say, where the listing did not."""
    nested = config.get("text_config")
    inner = {**(nested if isinstance(nested, dict) else {}), **config}
    row["weights"] = fingerprint(files.contents)
    row["weight_bytes"] = files.weight_bytes
    row["dtype"] = row["dtype"] or torch_name(inner.get("dtype") or inner.get("torch_dtype"))
    row["architecture"] = str(inner["model_type"]) if "model_type" in inner else row["architecture"]
    row["quantization"] = row["quantization"] or stated_packing(dict(config))
    row["parameters"] = row["parameters"] or files.weight_bytes // _BYTES.get(row["dtype"] or "", 2)


def shapes(space: Workspace, base_id: str, config: Mapping[str, Any]) -> str | None:
    """How a config compares with the catalogued base: `same`, or what differs; None where it cannot be told."""
    rows = space.tables.read("models", base_id)
    if not rows or rows[0]["status"] != "ready" or "model_type" not in config:
        return None  # an adapter's config states no sizes
    nested = config.get("text_config")
    inner = {**config, **(nested if isinstance(nested, dict) else {})}
    differ = []
    if rows[0]["architecture"] != config["model_type"]:
        differ.append(f"{config['model_type']} against {rows[0]['architecture']}")
    for column, names in _SIZES.items():
        found = next((inner[name] for name in names if isinstance(inner.get(name), int)), None)
        if found is not None and rows[0][column] is not None and found != rows[0][column]:
            differ.append(f"{_WORDS[column]} {found} against {rows[0][column]}")
    return ", ".join(differ) or "same"
