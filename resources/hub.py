"""The Hugging Face Hub as a source of checkpoints: a repository and a revision in, a local folder and a commit out.

`resolve` asks the Hub once what the revision is (a branch moves, a commit does not) and which files it has with their
sizes. From that listing alone it is decided, before any byte is fetched, whether the checkpoint can be used at all
(only safetensors is read), which files are wanted (an allow-list: weights, configuration, tokenizer; never code,
never a pickle) and whether the disk has room. The download itself is the official client's: its cache, its
symbolic links, its locks between processes. A download that breaks off is continued within the same call; after a
killed run, the files that were complete are kept and only the rest is fetched.

Without a network a revision that is complete in the cache is used. A full commit that is complete in the cache never
asks the network at all.

The environment is the client's own: HF_TOKEN for private and gated repositories, HF_HOME for where the cache lies,
HF_HUB_OFFLINE=1 to stay off the network, HF_ENDPOINT for a mirror.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

log = logging.getLogger(__name__)

# What the Hub itself allows as names, ASCII only: no "--" or "..", a word character at both ends.
_NAME = r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
REPO_ID_PATTERN = rf"^(?!.*(--|\.\.))(?!.*\.git$)({_NAME}/)?{_NAME}$"
REVISION_PATTERN = r"^(?!.*(\.\.|//))(?!.*/$)[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$"
_COMMIT = re.compile(r"[0-9a-f]{40}")

# Files at the top of a repository only. Names are plain, so none of them acts as a pattern in the download call.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_WEIGHTS = ".safetensors"
_INDEX = ".safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_BESIDE_WEIGHTS = frozenset(
    {
        *("config.json", "generation_config.json", "adapter_config.json"),
        *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
        *("tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
        *("vocab.json", "vocab.txt", "merges.txt", "chat_template.json", "chat_template.jinja"),
    }
)
_CONFIGS = ("config.json", "adapter_config.json")
_MARGIN = 64 * 2**20  # for the file system's own needs
_ABANDONED_AFTER = 24 * 3600
_TIMEOUT = 30.0


class HubError(RotoscaleError):
    """A checkpoint cannot be had from the Hub; base of all below."""


class HubNameError(HubError):
    """A text is no repository name or no revision."""


class HubNotFoundError(HubError):
    """No such repository or revision, or a private one."""


class HubGatedError(HubError):
    """The repository asks for its terms to be accepted first, or the token is not good for it."""


class HubFormatError(HubError):
    """The repository has no safetensors weights that could be read."""


class HubOfflineError(HubError):
    """The Hub cannot be reached, and the cache does not have the checkpoint."""


class HubInterruptedError(HubError):
    """The connection broke in the middle of a download, again and again."""


class HubDiskError(HubError):
    """No room for the download, or the cache folder cannot be written."""


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint in the local cache: its folder, and the commit that its files are of."""

    path: Path
    commit: str


def resolve(
    repo_id: str,
    revision: str = "main",
    cache_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Snapshot:
    """Make a model repository's checkpoint available as a local folder.

    Args:
        repo_id: `org/name`.
        revision: branch, tag or commit.
        cache_dir: the client's cache; by default the one that all Hugging Face tools share.
        progress: called with bytes done and bytes in all while downloading, from several threads but never at once.

    Raises:
        HubNameError: `repo_id` or `revision` is none.
        HubNotFoundError, HubGatedError: the Hub does not give it.
        HubFormatError: no safetensors weights; nothing was downloaded.
        HubOfflineError: no network and not in the cache.
        HubInterruptedError: the download broke off; calling again goes on.
        HubDiskError: not enough room (nothing was downloaded), or the disk filled up, or it cannot be written to.
    """
    check_names(repo_id, revision)
    from huggingface_hub import constants

    cache = Path(cache_dir or constants.HF_HUB_CACHE).expanduser().absolute()
    if _COMMIT.fullmatch(revision) and (found := _cached(repo_id, revision, cache)):
        return found
    try:
        info = _ask(repo_id, revision)
    except HubOfflineError as error:
        if not (found := _cached(repo_id, revision, cache)):
            raise
        log.warning("%s Using the copy of %s in the cache, commit %s.", error, repo_id, found.commit)
        return found

    commit = info.sha or ""
    if not _COMMIT.fullmatch(commit):
        raise HubError(f"The server did not name the commit of {repo_id}@{revision}; check HF_ENDPOINT.")
    files = _wanted(info, repo_id, commit)
    storage = cache / ("models--" + repo_id.replace("/", "--"))
    missing = sum(size for name, blob, size in files if not _has(storage, commit, name, blob))
    _check_room(cache, missing, repo_id)
    _sweep(storage)
    snapshot = _download(repo_id, commit, cache, [name for name, _, _ in files], missing, progress)
    _remember(storage, revision, commit)
    return Snapshot(snapshot, commit)


def check_names(repo_id: str, revision: str = "main") -> None:
    """Refuse what is no repository name or revision before it gets near a path or an address; raises HubNameError."""
    if not re.fullmatch(REPO_ID_PATTERN, repo_id):
        message = "is no name of a Hub repository; write org/name, as in Qwen/Qwen2.5-1.5B."
        raise HubNameError(f"{repo_id[:120]!r} {message}")
    if not re.fullmatch(REVISION_PATTERN, revision):
        raise HubNameError(f"{revision[:120]!r} is no revision of {repo_id}; write a branch, a tag or a commit.")


# ------------------------------------------------------------------------------------------------ before downloading


def _ask(repo_id: str, revision: str) -> ModelInfo:
    """Ask the Hub for the commit and the list of files."""
    from huggingface_hub import HfApi

    try:
        api = HfApi(library_name="rotoscale")
        return api.model_info(repo_id, revision=revision, files_metadata=True, timeout=_TIMEOUT)
    except Exception as error:
        raise _explained(error, repo_id, revision, HubOfflineError) from error


def _wanted(info: ModelInfo, repo_id: str, commit: str) -> list[tuple[str, str | None, int]]:
    """Choose the files to fetch: name, name of its blob in the cache, size. Raises HubFormatError."""
    listed = {s.rfilename: s for s in info.siblings or ()}
    top = [name for name in listed if _PLAIN.fullmatch(name)]
    weights = [name for name in top if name.endswith(_WEIGHTS)]
    # Some repositories hold the same weights a second time in their maker's own layout.
    weights = [name for name in weights if not name.startswith("consolidated")] or weights
    if not weights:
        raise _no_safetensors(repo_id, commit, listed)
    names = [*weights, *(n for n in top if n in _BESIDE_WEIGHTS or n.endswith(_INDEX))]
    chosen = []
    for name in sorted(names):
        entry = listed[name]
        blob = entry.lfs.sha256 if entry.lfs else entry.blob_id
        chosen.append((name, blob, entry.size or 0))
    return chosen


def _no_safetensors(repo_id: str, commit: str, listed: Iterable[str]) -> HubFormatError:
    """Explain what is there instead of safetensors, and what to do."""
    names = sorted(listed)
    top_pickles = [n for n in names if n.endswith(_PICKLES) and "/" not in n and not n.startswith("training_args")]
    if top_pickles:
        target = repo_id.rpartition("/")[2]
        convert = (
            f'python -c "from transformers import AutoModelForCausalLM as M; '
            f"M.from_pretrained('{repo_id}', revision='{commit}', dtype='auto').save_pretrained('{target}')\""
        )
        if "adapter_config.json" in names:
            convert = (
                'python -c "import torch; from huggingface_hub import snapshot_download as s; '
                "from safetensors.torch import save_file; "
                f"p = s('{repo_id}', revision='{commit}', local_dir='{target}'); "
                f"w = torch.load(p + '/{top_pickles[0]}', weights_only=True); "
                "save_file(w, p + '/adapter_model.safetensors')\""
            )
        return HubFormatError(
            f"{repo_id} holds its weights only as pickle ({_first(top_pickles)}); a pickle can execute code, so only "
            f"safetensors is read. If you trust its source, convert it and give the folder {target} instead: {convert}"
        )
    deeper = [n for n in names if n.endswith(_WEIGHTS)]
    if deeper:
        return HubFormatError(
            f"{repo_id} has no weights at its top, only in subfolders ({_first(deeper)}); download the one you mean "
            f"and give its folder: hf download {repo_id} --local-dir FOLDER"
        )
    if any(n.endswith(".gguf") for n in names):
        remedy = "GGUF is a packed format; use the safetensors repository that it was made from."
    else:
        remedy = "use a repository that has a model.safetensors or adapter_model.safetensors."
    return HubFormatError(f"{repo_id} has no safetensors weights (it has {_first(names) or 'no files'}); {remedy}")


def _check_room(cache: Path, missing: int, repo_id: str) -> None:
    """Refuse a download that does not fit."""
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if missing and missing + _MARGIN > free:
        raise HubDiskError(
            f"{repo_id} needs {_size(missing)} more on disk and {there} has {_size(free)} free; "
            "free some room, or set HF_HOME to a folder on a larger disk."
        )


def _has(storage: Path, commit: str, name: str, blob: str | None) -> bool:
    """Tell whether the cache has a file, be it through another commit with the same content."""
    return (storage / "snapshots" / commit / name).exists() or bool(blob and (storage / "blobs" / blob).exists())


def _sweep(storage: Path) -> None:
    """Delete what killed downloads left: the client gives each try its own file and never comes back to it."""
    for file in (storage / "blobs").glob("*.incomplete"):
        try:
            if time.time() - file.stat().st_mtime > _ABANDONED_AFTER:
                file.unlink()
        except OSError:
            continue  # finished or deleted meanwhile by its owner


# ------------------------------------------------------------------------------------------------------- downloading


def _download(
    repo_id: str,
    commit: str,
    cache: Path,
    names: list[str],
    total: int,
    progress: Callable[[int, int], None] | None,
) -> Path:
    from huggingface_hub import snapshot_download

    try:
        path = snapshot_download(
            repo_id,
            revision=commit,
            cache_dir=cache,
            allow_patterns=names,
            library_name="rotoscale",
            tqdm_class=_bar(total, progress),
        )
    except Exception as error:
        raise _explained(error, repo_id, commit, HubInterruptedError) from error
    if progress:
        progress(total, total)
    return Path(path)


def _bar(total: int, progress: Callable[[int, int], None] | None) -> type[Any]:
    """Return a progress-bar class that draws nothing and reports bytes to `progress`.

    The client makes several bars of it: one counts files, one counts bytes written and, in newer versions, one counts
    bytes received. The second is the one that is wanted.
    """
    from tqdm.std import tqdm

    lock = threading.Lock()
    done = 0

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any):
            self.counts = kwargs.get("unit") == "B" and kwargs.get("desc") != "Downloading bytes"
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal done
            if self.counts and progress:
                with lock:
                    done += int(n or 0)
                    progress(max(0, min(done, total)), total)
            return None

    return Bar


def _remember(storage: Path, revision: str, commit: str) -> None:
    """Note which commit a branch or tag is, where the cache keeps it, so that it is found without a network.

    The client would do so if it were given the branch, but then the branch could move between our question and its.
    """
    if revision == commit:
        return
    ref = storage / "refs" / revision
    temporary = ref.with_name(f".{ref.name}.{uuid.uuid4().hex}.tmp")
    try:
        ref.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(commit)
        os.replace(temporary, ref)
    except OSError as error:
        log.warning(
            "Could not note the commit of %s in %s (%s); offline use will need the commit.", revision, ref, error
        )
        temporary.unlink(missing_ok=True)


def _cached(repo_id: str, revision: str, cache: Path) -> Snapshot | None:
    """Look a revision up in the cache. A snapshot that lacks weights does not count."""
    from huggingface_hub import try_to_load_from_cache

    for name in _CONFIGS:
        file = try_to_load_from_cache(repo_id, name, cache_dir=cache, revision=revision)
        if isinstance(file, str) and _complete(Path(file).parent):
            return Snapshot(Path(file).parent, Path(file).parent.name)
    return None


def _complete(snapshot: Path) -> bool:
    """Tell whether all weights are there: other tools put single files of a repository into the same cache."""
    files = {f.name for f in snapshot.iterdir() if f.exists()}  # a link whose blob is gone does not exist
    try:
        for index in (n for n in files if n.endswith(_INDEX)):
            shards = json.loads((snapshot / index).read_bytes())["weight_map"].values()
            return set(shards) <= files
    except (ValueError, KeyError, AttributeError, TypeError):
        return False
    numbered = [m for n in files if (m := re.fullmatch(r"(.+)-\d{5}-of-(\d{5})\.safetensors", n))]
    if numbered:
        return all(sum(o[1] == m[1] for o in numbered) == int(m[2]) for m in numbered)
    return any(n.endswith(_WEIGHTS) for n in files)


# ------------------------------------------------------------------------------------------------------------ errors


def _explained(error: Exception, repo_id: str, revision: str, broken: type[HubError]) -> HubError:
    """Turn what the client raised into a sentence; `broken` is the class for a connection that failed."""
    from huggingface_hub import constants, errors

    # The client's transport library changed its name between versions; its base error is this one's first parent.
    transport_error = errors.HfHubHTTPError.__mro__[1]
    endpoint = constants.ENDPOINT
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else None
    if isinstance(cause, Exception):
        error = cause  # the client wraps what went wrong when it falls back to its cache
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else 0

    if isinstance(error, errors.GatedRepoError) or status == 403:
        return HubGatedError(
            f"Access to {repo_id} is restricted. Accept its terms at https://huggingface.co/{repo_id} and set HF_TOKEN "
            "to a token of that account that may read it."
        )
    if status == 401 and not isinstance(error, errors.RepositoryNotFoundError):
        return HubGatedError(
            f"The Hub at {endpoint} does not accept the token that was sent for {repo_id}; renew or unset HF_TOKEN, or "
            "the token that `hf auth login` stored."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubNotFoundError(f"{repo_id} has no revision {revision!r}; give a branch, tag or commit that it has.")
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        return HubNotFoundError(
            f"There is no model repository {repo_id} on the Hub, or it is private. Check the spelling; for a private "
            "one set HF_TOKEN to a token that may read it."
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubOfflineError(
            f"{repo_id}@{revision} is not complete in the cache and HF_HUB_OFFLINE is set; unset it, or download first."
        )
    if status == 429 or status >= 500:
        return broken(
            f"The Hub at {endpoint} answers {status} for {repo_id}; try again later, what was fetched is kept."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HubDiskError(
            f"The disk became full while {repo_id} was downloaded; free some room, or set HF_HOME to a folder on a "
            "larger disk, and start again: complete files are kept."
        )
    is_network = isinstance(error, transport_error | ConnectionError | TimeoutError)
    if is_network or "Consistency check failed" in str(error):
        if broken is HubOfflineError:
            return HubOfflineError(
                f"The Hub at {endpoint} cannot be reached ({type(error).__name__}) and {repo_id}@{revision} is not "
                "complete in the cache; check the network, or give a local folder."
            )
        return broken(
            f"The download of {repo_id} broke off ({type(error).__name__}); start again: complete files are kept."
        )
    if isinstance(error, OSError) and error.errno:
        return HubDiskError(
            f"The download of {repo_id} could not be written ({error.strerror}: {error.filename}); make the folder "
            "writable, or set HF_HOME to another one."
        )
    detail = (str(error).splitlines() or [""])[0][:200]
    return HubError(
        f"The Hub at {endpoint} gave no usable answer for {repo_id}@{revision} ({type(error).__name__}: {detail}); "
        "check HF_ENDPOINT, or give a local folder."
    )


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _size(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e8 else f"{n / 1e6:.1f} MB"
