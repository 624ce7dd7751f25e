"""What can be wrong with a checkpoint, one class per row of the bad-input table.

Every message names the file, the tensor, what was expected and what was found, and ends with what to do. Names that
come out of a file are shown through ``shown``: a hostile tensor name must not be able to garble a terminal or fill it.
"""

# The names say what is wrong with the file; "Error" at the end of each would add nothing.
# ruff: noqa: N818

from __future__ import annotations

from collections.abc import Iterable

from rotoscale.errors import RotoscaleError


class CheckpointError(RotoscaleError):
    """A checkpoint that cannot be read; base of all below."""


class TruncatedFile(CheckpointError):
    """A file that is shorter or longer than its own header says."""


class CorruptHeader(CheckpointError):
    """A safetensors header that is not JSON, contradicts itself or lies about the file."""


class BadIndex(CheckpointError):
    """A ``model.safetensors.index.json`` that does not fit its shards."""


class MissingShard(CheckpointError):
    """A weight file that the index names, or the shard numbering implies, is not there."""


class BadConfig(CheckpointError):
    """``config.json`` is missing, unreadable or lacks a size that the layout needs."""


class MissingTensor(CheckpointError):
    """A layer lacks a tensor that its architecture must have."""


class ShapeMismatch(CheckpointError):
    """A tensor's shape contradicts the configuration."""


class UnknownArchitecture(CheckpointError):
    """No architecture file describes where this model keeps its matrices."""


class BadArchitectureFile(CheckpointError):
    """A YAML file that describes an architecture has a mistake in it."""


class RemoteCode(UnknownArchitecture):
    """The model needs code from its own repository, which is never executed."""


class QuantizedFormat(CheckpointError):
    """Packed or otherwise quantized weights that cannot be read exactly."""


class PickleCheckpoint(CheckpointError):
    """Weights in a pickle format, which can execute code when it is read."""


class NonFiniteWeights(CheckpointError):
    """NaN or infinity among the weights."""


class UnsafePath(CheckpointError):
    """A name or a link that leads out of the checkpoint's own repository."""


class AdapterError(CheckpointError):
    """An adapter of an unsupported kind, or one that does not fit its base."""


class WriteError(CheckpointError):
    """An edited checkpoint that cannot be written."""


def shown(name: object, limit: int = 160) -> str:
    """The name as it may be printed: control characters escaped, cut at ``limit`` characters."""
    text = str(name)
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: limit + 1])
    return text if len(text) <= limit else text[:limit] + "..."


def listed(names: Iterable[str], limit: int = 12) -> str:
    """The first names of a collection for a message, with how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(shown(name) for name in names[:limit]) or "none") + more
