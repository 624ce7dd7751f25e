"""Registering a release that was found for a watched family: a file of its own, which joins that family.

The user's own family files are never rewritten. The file can be deleted by hand, which takes the release out of the
registry; what was found and decided stays in the table `releases`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from resources.atomic import write_text
from resources.families.entries import ModelEntry
from resources.families.local import alone_in
from resources.families.registry import RELEASES, load_registry
from resources.families.source import Source

_WRITTEN = "# Written by the asset `release_candidates`; delete this file to take the release out of the registry.\n"


def register_release(
    folder: Path, family: str, base: str, source: Source, method: str, *, shipped: Sequence[Path] = ()
) -> ModelEntry:
    """Register a release in a watched family and return its entry; one of the same source is used as it is.

    Args:
        folder: the user's folder of family files; the file lies in `releases/` below it.
        family: the family that it joins.
        base: id of the registered model that it is compared with.
        source: where it lies; on the Hub at a commit.
        method: how it was trained, as one word.
        shipped: further folders of family files, read but never written.

    Raises:
        FamilyFileError: a family file in the folders is broken, or cannot be written.
    """
    with alone_in(folder):
        registry = load_registry(*shipped, folder)
        for entry in registry.models.values():
            if entry.family == family and entry.base == base and source.is_of(entry):
                return entry
        model_id = source.release_id(registry.models, base)
        model = {"id": model_id, "base": base, "method": method, **source.keys}
        content = {"family": family, "models": [model]}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
        write_text(folder / RELEASES / f"{model_id}.yaml", _WRITTEN + text)
        return load_registry(*shipped, folder).model(model_id)
