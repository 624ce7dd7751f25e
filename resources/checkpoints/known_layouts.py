"""Which architectures are known: the files that ship with the package, and those in a user's own folder.

The environment variable ROTOSCALE_ARCHITECTURES may name a folder of further files. They may extend shipped ones and
add model types; what a shipped file describes cannot be replaced, because results of the same name would then mean
different matrices.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from resources.checkpoints.architecture_files import (
    ArchitectureFile,
    check_architecture,
    meant,
    read_architecture,
    read_wrappers,
)
from resources.checkpoints.errors import BadArchitectureFile, RemoteCode, UnknownArchitecture, listed, shown
from resources.checkpoints.layout import Block, Layout, Sizes, TensorSpec

SHIPPED = Path(__file__).parent / "architectures"
VARIABLE = "ROTOSCALE_ARCHITECTURES"

#: Where multimodal configurations keep the language model's own.
_TEXT_KEYS = ("text_config", "llm_config", "language_config")

_OWN_FILE = f"in resources/checkpoints/architectures/<name>.yaml or in a folder of your own that {VARIABLE} names"


def layouts() -> dict[str, Layout]:
    """Every known layout by ``model_type``. Raises BadArchitectureFile naming file, line and key."""
    return _layouts(tuple((path, path.stat().st_mtime_ns) for path in _own_files()))


def _own_files() -> list[Path]:
    """The files of the user's folder, if there is one."""
    name = os.environ.get(VARIABLE, "").strip()
    if not name:
        return []
    folder = Path(name).expanduser().absolute()
    if not folder.is_dir():
        raise BadArchitectureFile(f"{VARIABLE} names {folder}, which is no folder. Create it, or unset the variable.")
    return sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml") and path.is_file())


@cache
def _layouts(own: tuple[tuple[Path, int], ...]) -> dict[str, Layout]:
    """The layouts of the shipped files and of ``own``, read again when one of those has another time stamp."""
    files: dict[str, ArchitectureFile] = {}
    wrappers = read_wrappers(SHIPPED / "wrappers.yaml")
    reserved = {"common": SHIPPED / "common.yaml", "wrappers": wrappers.path}
    for path in (*sorted(SHIPPED.glob("*.yaml")), *(path for path, _ in own)):
        if path.parent == SHIPPED and path.stem in reserved:
            continue
        other = reserved.get(path.stem) or (files[path.stem].path if path.stem in files else None)
        if other is not None:
            raise BadArchitectureFile(f"{path}: {other} has the same name. Rename this file.")
        files[path.stem] = read_architecture(path)
    common = read_architecture(reserved["common"]).content
    described = dict.fromkeys(wrappers.content["model_types"], wrappers.path)
    found: dict[str, Layout] = {}
    for name, file in files.items():
        merged = _merged(name, files, ())
        check_architecture(file, merged)
        layout = _layout(name, merged, common)
        for model_type in layout.model_types:
            if model_type in described:
                raise file.wrong(
                    ("model_types", model_type),
                    f"is described in {described[model_type]} already, and cannot be replaced. Remove it here.",
                )
            described[model_type] = file.path
            found[model_type] = layout
    return found


@cache
def _wrappers() -> dict[str, str]:
    """Model types of multimodal models -> what transformers takes the language model inside for."""
    words: dict[str, str] = read_wrappers(SHIPPED / "wrappers.yaml").content["model_types"]
    return words


def _merged(name: str, files: dict[str, ArchitectureFile], via: tuple[str, ...]) -> dict[str, Any]:
    """The content of a file with what it extends."""
    file = files[name]
    own = dict(file.content)
    parent = own.pop("extends", None)
    if parent is None:
        inherited: dict[str, Any] = {}
    elif parent not in files:
        raise file.wrong(("extends",), f"there is no architecture {shown(parent)!r}.{meant(parent, files)}")
    elif parent in (*via, name):
        raise file.wrong(("extends",), f"{' extends '.join((*via, name, parent))}. Break the circle.")
    else:
        inherited = _merged(parent, files, (*via, name))
    merged = {key: value for key, value in inherited.items() if key != "model_types"} | own
    for table in ("blocks", "sizes"):
        merged[table] = inherited.get(table, {}) | own.get(table, {})
    merged["blocks"] = {key: value for key, value in merged["blocks"].items() if value}
    return merged


def _layout(name: str, merged: dict[str, Any], common: dict[str, Any]) -> Layout:
    rules = [*merged.get("skipped", []), *common["skipped"]]
    return Layout(
        name=name,
        model_types={key: value or {} for key, value in merged["model_types"].items()},
        prefixes=tuple(merged["prefixes"]),
        layer=merged["layer"],
        embedding=merged["embedding"],
        head=merged["head"],
        sizes={key: list(map(str, value)) for key, value in (common["sizes"] | merged["sizes"]).items()},
        blocks=tuple(_block(block, variants, merged.get("when", {})) for block, variants in merged["blocks"].items()),
        qk_norm=tuple(merged.get("qk_norm", ())),
        aliases=tuple((old, new) for old, new in merged.get("aliases", ())),
        skipped=tuple((re.compile(pattern), reason) for pattern, reason in rules),
        extra_layers=merged.get("extra_layers"),
    )


def _block(name: str, variants: dict[str, list[dict[str, Any]]], when: dict[str, dict[str, Any]]) -> Block:
    return Block(
        name=name.rstrip("?"),
        optional=name.endswith("?"),
        variants={key: tuple(_spec(entry) for entry in entries) for key, entries in variants.items()},
        when=when,
    )


def _spec(entry: dict[str, Any]) -> TensorSpec:
    return TensorSpec(
        tensor=entry["tensor"],
        parts={part: str(rows) for part, rows in entry["parts"].items()},
        in_features=str(entry["in"]),
        groups=str(entry.get("groups", 1)),
        stored=entry.get("stored", "out_in"),
        experts=str(entry["experts"]) if "experts" in entry else None,
    )


def text_config(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The language model's own model_type and configuration, inside a multimodal one or not."""
    model_type = str(config.get("model_type", ""))
    wrappers = _wrappers()
    nested = next((config[key] for key in _TEXT_KEYS if isinstance(config.get(key), dict)), None)
    if nested is not None and (model_type in wrappers or model_type not in layouts() or "hidden_size" not in config):
        return str(nested.get("model_type") or wrappers.get(model_type, "")), nested
    if model_type in wrappers and nested is None:
        return wrappers[model_type], config
    return model_type, config


def find_layout(config: dict[str, Any], config_path: Path, tensor_names: list[str]) -> tuple[Layout, Sizes]:
    """The layout that describes this configuration, with its sizes.

    Raises UnknownArchitecture listing the tensor names found, and RemoteCode when only its own code would know.
    """
    model_type, text = text_config(config)
    layout = layouts().get(model_type)
    if layout is not None:
        return layout, Sizes(config_path, text, layout.model_types[model_type], layout.sizes)
    outer = shown(config.get("model_type"))
    known = ", ".join(sorted(layouts()))
    names = listed(sorted(tensor_names))
    if config.get("auto_map"):
        raise RemoteCode(
            f"{config_path}: model_type {outer!r} needs code from the model's own repository (auto_map: "
            f"{shown(config['auto_map'])}), which is never executed, and no file in architectures/ describes "
            f"it. Tensors found: {names}. Describe the layout {_OWN_FILE}. Known: {known}."
        )
    raise UnknownArchitecture(
        f"{config_path}: unknown architecture, model_type {outer!r}"
        + (f" with text model {shown(model_type)!r}" if shown(model_type) != outer else "")
        + f". Tensors found: {names}. Describe where its matrices live {_OWN_FILE}, or add the model_type to a file of "
        f"the same tensor names. Known: {known}."
    )
