"""What the Hub lists as descendants of a repository, newest first, and what it says of one repository now.

The relations are the Hub's own and sometimes wrong: nothing here is believed beyond what it is, a listing. A listing
comes page by page, each with the Hub's cursor of the next one, which states the last entry and not a number of
entries: it holds when others have come meanwhile, so that a listing that ended early goes on from it later.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from resources.hub.client import api, install, patiently
from resources.hub.errors import HubCursorError, HubError, HubInterruptedError, HubOfflineError, explained
from resources.hub.listing import ask, wanted
from resources.hub.names import COMMIT, check_names

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

_EXPAND = (
    "author", "config", "createdAt", "disabled", "downloads", "gated", "lastModified", "likes", "safetensors", "sha",
    "tags",
)  # fmt: skip
NEWEST, CHANGED = "createdAt", "lastModified"
"""By what a listing is sorted, in the Hub's words."""

_CONFIGS = ("config.json", "adapter_config.json")
_LARGEST_CONFIG = 8 * 2**20


@dataclass(frozen=True)
class Listed:
    """One repository as a listing shows it. `parameters` by number format as safetensors writes it, such as BF16."""

    model: str
    commit: str
    author: str
    created_at: datetime.datetime | None
    modified_at: datetime.datetime | None
    downloads: int
    likes: int
    gated: bool
    tags: tuple[str, ...]
    parameters: dict[str, int]
    config: dict[str, Any]

    @property
    def licence(self) -> str | None:
        """As its card states it."""
        return next((tag.removeprefix("license:") for tag in self.tags if tag.startswith("license:")), None)


@dataclass(frozen=True)
class Files:
    """What a repository has at a commit, of what would be fetched: a fingerprint of names and contents, bytes."""

    commit: str
    contents: tuple[tuple[str, str], ...]
    weight_bytes: int


@dataclass(frozen=True)
class Page:
    """One page of a listing, and the Hub's cursor of the next one; empty on the last."""

    listed: tuple[Listed, ...]
    cursor: str


def descendants(repo_id: str, relation: str, *, sort: str = NEWEST, cursor: str = "") -> Iterator[Page]:
    """The repositories that the Hub lists as descending from one by a relation (empty: any), newest first.

    Args:
        repo_id: `org/name`.
        relation: finetune, adapter, merge or quantized.
        sort: `NEWEST`, by when they were made, or `CHANGED`, by when they were last changed.
        cursor: of the page to go on with, from an earlier listing; empty for the first.

    Raises a HubError where the listing ends early: HubCursorError when the Hub does not know the cursor, HubLimitError
    with the time to go on, HubOfflineError when the Hub could not be reached at all, HubInterruptedError when a page
    failed although it was tried several times.
    """
    check_names(repo_id)
    name = f"base_model:{relation}:{repo_id}" if relation else f"base_model:{repo_id}"
    asked = {"filter": name, "sort": sort, "expand": list(_EXPAND), **({"cursor": cursor} if cursor else {})}
    pages = 0
    try:
        for page in _pages(asked):
            pages += 1
            yield page
    except Exception as error:
        if cursor and not pages and 400 <= _status(error) < 500 and _status(error) not in (401, 403, 429):
            raise HubCursorError(f"The Hub does not go on with an earlier listing of {repo_id}.") from error
        # Whoever goes on with a listing has reached the Hub before.
        broken = HubInterruptedError if pages or cursor else HubOfflineError
        raise explained(error, repo_id, "main", broken) from error


def _pages(asked: dict[str, Any]) -> Iterator[Page]:
    """Every page from the one that is asked for. The client's own listing gives no cursors."""
    from huggingface_hub import constants
    from huggingface_hub.hf_api import ModelInfo
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

    install()
    headers = build_hf_headers(library_name="rotoscale")
    address = f"{constants.ENDPOINT}/api/models"
    params: dict[str, Any] | None = asked
    while address:
        answer = http_backoff("GET", address, params=params, headers=headers)
        hf_raise_for_status(answer)
        found = (_listed(ModelInfo(**{"siblings": None, **item})) for item in answer.json())
        address, params = answer.links.get("next", {}).get("url", ""), None  # the link has all that was asked
        cursor = parse_qs(urlsplit(address).query).get("cursor", [""])[0]
        yield Page(tuple(one for one in found if one is not None), cursor)


def _status(error: Exception) -> int:
    """The HTTP status of an answer that was an error; 0 of any other error."""
    from huggingface_hub.errors import HfHubHTTPError

    return error.response.status_code if isinstance(error, HfHubHTTPError) else 0


def look(repo_id: str) -> Listed:
    """What the Hub says of one repository now; its name may be another than the one that was asked for.

    Raises HubError: not there, gated, unreachable, or a wait beyond our patience.
    """
    check_names(repo_id)
    try:
        hub = api()
        found = _listed(patiently(lambda: hub.model_info(repo_id, expand=list(_EXPAND))))  # type: ignore[arg-type]
    except Exception as error:
        raise explained(error, repo_id, "main", HubOfflineError) from error
    if found is None:
        raise HubError(f"The Hub names no commit of {repo_id}; it is disabled, or HF_ENDPOINT is no Hub.")
    return found


def files_at(repo_id: str, commit: str) -> Files:
    """The files that would be fetched, before any is. Raises HubFormatError when there are no safetensors weights."""
    check_names(repo_id, commit)
    chosen = wanted(ask(repo_id, commit), repo_id, commit)
    kept = [(name, blob, size) for name, blob, size in chosen if name.endswith(".safetensors") or name in _CONFIGS]
    weights = sum(size for name, _, size in kept if name.endswith(".safetensors"))
    return Files(commit, tuple((name, blob or "") for name, blob, _ in kept), weights)


def config_at(repo_id: str, files: Files) -> dict[str, Any]:
    """The configuration of a model or an adapter: the one small file that is fetched before the decision.

    Raises HubGatedError where the terms were not accepted, HubError when it is no JSON table or not there.
    """
    from huggingface_hub import hf_hub_download

    names = [name for name, _ in files.contents if name in _CONFIGS]
    if not names:
        raise HubError(f"{repo_id} has neither config.json nor adapter_config.json; nothing says what its weights are.")
    install()
    try:
        file = hf_hub_download(repo_id, names[0], revision=files.commit, library_name="rotoscale")
        with open(file, "rb") as stream:
            content = json.loads(stream.read(_LARGEST_CONFIG + 1))
    except (ValueError, RecursionError):
        raise HubError(f"{names[0]} of {repo_id} is not valid JSON.") from None
    except Exception as error:
        raise explained(error, repo_id, files.commit, HubInterruptedError) from error
    if not isinstance(content, dict):
        raise HubError(f"{names[0]} of {repo_id} is no table.")
    return content


def _listed(info: ModelInfo) -> Listed | None:
    """What we keep of an answer; None for a repository without a commit, or disabled, or with an impossible name."""
    try:
        check_names(info.id)
    except HubError:
        return None
    if not COMMIT.fullmatch(info.sha or "") or info.disabled:
        return None
    parameters = info.safetensors.parameters if info.safetensors else {}
    return Listed(
        model=info.id,
        commit=info.sha or "",
        author=info.author or info.id.partition("/")[0],
        created_at=info.created_at,
        modified_at=info.last_modified,
        downloads=info.downloads or 0,
        likes=info.likes or 0,
        gated=bool(info.gated),
        tags=tuple(str(tag) for tag in info.tags or ()),
        parameters={str(name): int(count) for name, count in parameters.items()},
        config=info.config if isinstance(info.config, dict) else {},
    )
