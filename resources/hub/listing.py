"""What a repository holds and which of it is wanted, decided from the Hub's listing before any byte is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from resources.hub.client import SILENCE, api, patiently
from resources.hub.errors import HubFormatError, HubOfflineError, explained

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

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


def ask(repo_id: str, revision: str) -> ModelInfo:
    """Ask the Hub for the commit and the list of files."""
    try:
        hub = api()
        return patiently(lambda: hub.model_info(repo_id, revision=revision, files_metadata=True, timeout=SILENCE))
    except Exception as error:
        raise explained(error, repo_id, revision, HubOfflineError) from error


def wanted(info: ModelInfo, repo_id: str, commit: str) -> list[tuple[str, str | None, int]]:
    """Choose the files to fetch: name, name of its blob in the cache, size. Raises HubFormatError."""
    listed = {s.rfilename: s for s in info.siblings or ()}
    top = [name for name in listed if _PLAIN.fullmatch(name)]
    weights = [name for name in top if name.endswith(_WEIGHTS)]
    indexes = [name for name in top if name.endswith(_INDEX)]
    # Some repositories hold the same weights a second time in their maker's own layout, with an index of their own.
    if ours := [name for name in weights if not name.startswith("consolidated")]:
        weights, indexes = ours, [name for name in indexes if not name.startswith("consolidated")]
    if not weights:
        raise _no_safetensors(repo_id, commit, listed)
    names = [*weights, *indexes, *(n for n in top if n in _BESIDE_WEIGHTS)]
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


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
