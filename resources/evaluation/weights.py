"""Are the weights that are about to be scored the ones that were analysed?

Scores are stored under the hash of the weights, so a folder whose weights changed since would put wrong numbers under
a right name. The hash is taken before anything is loaded, and remembered by the files' names, sizes and times, so that
a folder is read for it once in a process.
"""

from __future__ import annotations

from pathlib import Path

from rotoscale.errors import RotoscaleError

_known: dict[tuple[object, ...], str] = {}


class OtherWeights(RotoscaleError):  # noqa: N818 (reads as what it says)
    """A folder whose weights are not those that were analysed."""


def content_hash(folder: Path, base: Path | None = None) -> str:
    """SHA-256 over all tensors of a checkpoint; of an adapter, over those of its base too.

    Raises CheckpointError when it cannot be read.
    """
    from resources.checkpoints import open_checkpoint

    checkpoint = open_checkpoint(folder, base=base)
    files = [(str(file.resolve()), file.stat()) for file in checkpoint.files()]
    settings = repr(checkpoint.adapter.identity()) if checkpoint.adapter is not None else ""
    key = (*((name, facts.st_size, facts.st_mtime_ns) for name, facts in files), settings)
    if key not in _known:
        _known[key] = checkpoint.content_hash()
    return _known[key]


def require_weights(what: str, expected: str, folder: Path, base: Path | None = None) -> None:
    """Raise OtherWeights unless the weights in a folder have the expected hash."""
    found = content_hash(folder, base)
    if found != expected:
        raise OtherWeights(
            f"{what}: the weights in {folder} are no longer those that were analysed (hash {found[:12]}, then "
            f"{expected[:12]}); materialize checkpoints for it again"
        )
