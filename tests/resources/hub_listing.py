"""What the small Hub lists: repositories by what they descend from, newest first, page by page.

A cursor states the last entry of its page, as the Hub's own do, so that it holds when others have come meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

_KEYS = {"createdAt": "created_at", "lastModified": "modified_at"}


@dataclass(frozen=True)
class Card:
    """What the Hub says of a repository beside its files."""

    created_at: str = "2026-11-01T00:00:00.000Z"
    modified_at: str = "2026-11-01T00:00:00.000Z"
    tags: tuple[str, ...] = ()
    downloads: int = 0
    likes: int = 0
    parameters: tuple[tuple[str, int], ...] = ()


def facts(repo_id: str, repository: Any) -> dict[str, Any]:
    """A repository as the Hub's interface shows it, without its files."""
    card = repository.card
    commit = repository.refs.get("main")
    try:
        config = json.loads(repository.files[commit].get("config.json", b"{}"))
    except (KeyError, ValueError):
        config = {}
    shown = {
        "id": repo_id,
        "modelId": repo_id,
        "author": repo_id.partition("/")[0],
        "sha": commit,
        "private": False,
        "gated": "manual" if repository.gated else False,
        "disabled": False,
        "createdAt": card.created_at,
        "lastModified": card.modified_at,
        "downloads": card.downloads,
        "likes": card.likes,
        "tags": list(card.tags),
        "config": {key: config[key] for key in ("model_type", "architectures") if key in config},
    }
    if card.parameters:
        parameters = dict(card.parameters)
        shown["safetensors"] = {"parameters": parameters, "total": sum(parameters.values())}
    return shown


def page(
    repositories: Mapping[str, Any], query: Mapping[str, list[str]], size: int, repeats: int
) -> tuple[list[dict[str, Any]], str]:
    """One page of a listing, and the query of the next one, which is empty at the end."""
    wanted = set(query.get("filter", ()))
    key = _KEYS[query["sort"][0]]
    found = [(name, one) for name, one in repositories.items() if wanted <= set(one.card.tags)]
    found.sort(key=lambda pair: (getattr(pair[1].card, key), pair[0]), reverse=True)
    cursors = [f"{getattr(one.card, key)} {name}" for name, one in found]
    before = query.get("cursor", [""])[0]
    start = next((i for i, cursor in enumerate(cursors) if not before or cursor < before), len(found))
    end = start + size
    shown = [facts(name, one) for name, one in found[max(0, start - repeats) : end]]
    following = urlencode({**query, "cursor": cursors[end - 1]}, doseq=True) if end < len(found) else ""
    return shown, following
