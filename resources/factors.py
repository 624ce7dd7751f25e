"""The factor store: decompositions kept on disk, one file per matrix, found by the weight's own hash.

A base's factors serve all its descendants, whoever asks first computes them under a lock, and a killed run loses
none. A descendant at standard depth has its singular values alone there, in a small file of their own. The name of a
file is the weight's hash and the method's version, so a stale factor cannot be found by mistake.
The store is never required: what is missing, damaged (every file carries a checksum) or was trimmed away is computed
again, and a store that can only be read serves what it has.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.atomic import replacing, sweep
from resources.trim import mark_used, trim
from rotoscale import versions
from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    import torch

    from rotoscale.decomposition import Decomposition, OnlyValues

_log = logging.getLogger(__name__)

_DIGEST = "sha256"
"""Where a file's metadata has the checksum over its tensors and all other metadata."""

_LOCK_STRIPE = 3
"""Leading hex digits of the hash that name a lock file: 4096 locks, so that lock files do not pile up."""


_ALIGNMENT = 64
"""Bytes; what torch gives its own tensors."""


class DamagedFactors(RotoscaleError):  # noqa: N818 (reads as what it says)
    """A file of the factor store that is not what was written."""


@dataclass(frozen=True)
class StoredFactors:
    """A decomposition, how long it took its maker, and whether it was made just now or found."""

    decomposition: Decomposition
    seconds: float
    found: bool


@dataclass(frozen=True)
class StoredValues:
    """Singular values without vectors, and how long they took their maker."""

    decomposition: OnlyValues
    seconds: float


class FactorStore:
    """Decompositions under one folder, at most `limit_bytes` of them after `trim`."""

    def __init__(self, folder: Path, limit_bytes: float = float("inf")) -> None:
        self.folder = Path(folder)
        self.limit_bytes = limit_bytes

    def path(self, weight_hash: str) -> Path:
        """Where the factors of a weight lie, whether or not they exist."""
        return self.folder / weight_hash[:2] / f"{weight_hash}-{versions.DECOMPOSITION}.safetensors"

    def find(self, weight_hash: str, device: str = "cpu") -> StoredFactors | None:
        """Stored factors of a weight, on `device`, marked as used now; None when there are none that can be read."""
        from rotoscale.decomposition import Decomposition

        stored = _read(self.path(weight_hash))
        if stored is None:
            return None
        tensors, facts = stored
        decomposition = Decomposition(
            shape=(int(facts["rows"]), int(facts["cols"])),
            singular_values=tensors["singular_values"],
            short=tensors["short"],
            long=tensors.get("long"),
            kernel=facts["kernel"],
            residual=float(facts["residual"]),
            orthogonality_error=float(facts["orthogonality_error"]),
        )
        return StoredFactors(decomposition.to(device), float(facts["seconds"]), found=True)

    def get(self, weight_hash: str, weight: torch.Tensor, device: str = "cpu") -> StoredFactors:
        """Factors of `weight` (m x n), whose hash is `weight_hash`: found, or computed and stored under a lock.

        Raises MatrixError when the weight cannot be decomposed. A store that cannot be written (disk full) costs
        the storing, not the result.
        """
        from rotoscale.decomposition import decompose

        stored = self.find(weight_hash, device)
        if stored:
            return stored
        with self._lock(weight_hash):
            stored = self.find(weight_hash, device)  # somebody else may have finished it while we waited
            if stored:
                return stored
            start = time.perf_counter()
            decomposition = decompose(weight, device)
            seconds = time.perf_counter() - start
            self._save(weight_hash, decomposition, seconds)
        return StoredFactors(decomposition, seconds, found=False)

    def _lock(self, weight_hash: str) -> AbstractContextManager[Any]:
        """One process at a time; where no lock can be written (disk full, read-only), none, and perhaps work twice."""
        from filelock import FileLock

        locks = self.folder / "locks"
        try:
            locks.mkdir(parents=True, exist_ok=True)
            return FileLock(locks / weight_hash[:_LOCK_STRIPE]).acquire()
        except OSError:
            return nullcontext()

    def get_values(self, weight_hash: str, weight: torch.Tensor, device: str = "cpu") -> StoredValues | StoredFactors:
        """Singular values of `weight` (m x n): found, or computed without vectors and stored under a lock.

        Raises MatrixError when the weight cannot be decomposed.
        """
        from rotoscale.decomposition import only_values

        stored = self.find_values(weight_hash, device)
        if stored:
            return stored
        with self._lock(weight_hash):
            stored = self.find_values(weight_hash, device)
            if stored:
                return stored
            start = time.perf_counter()
            values = only_values(weight, device)
            seconds = time.perf_counter() - start
            facts = {"rows": str(values.shape[0]), "cols": str(values.shape[1]), "kernel": values.kernel}
            tensors = {"singular_values": values.singular_values}
            self._write(self._values_path(weight_hash), tensors, {**facts, "seconds": repr(seconds)})
        return StoredValues(values, seconds)

    def find_values(self, weight_hash: str, device: str = "cpu") -> StoredValues | StoredFactors | None:
        """Stored factors of a weight if there are any, else its stored values; None when there are neither."""
        from rotoscale.decomposition import OnlyValues

        factors = self.find(weight_hash, device)
        if factors:
            return factors
        stored = _read(self._values_path(weight_hash))
        if stored is None:
            return None
        tensors, facts = stored
        shape = (int(facts["rows"]), int(facts["cols"]))
        values = OnlyValues(shape, tensors["singular_values"], facts["kernel"])
        return StoredValues(values.to(device), float(facts["seconds"]))

    def _values_path(self, weight_hash: str) -> Path:
        path = self.path(weight_hash)
        return path.with_name(f"{path.stem}-values.safetensors")

    def _write(self, path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, str]) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
        try:
            with replacing(path) as temporary:
                save_file(tensors, temporary, {**facts, _DIGEST: _digest(path, tensors, facts)})
        except (OSError, SafetensorError):
            return  # a full disk costs the storing, not the result

    def _save(self, weight_hash: str, decomposition: Decomposition, seconds: float) -> None:
        tensors = {"singular_values": decomposition.singular_values, "short": decomposition.short}
        if decomposition.long is not None:
            tensors["long"] = decomposition.long
        facts = {
            "rows": str(decomposition.shape[0]),
            "cols": str(decomposition.shape[1]),
            "kernel": decomposition.kernel,
            "residual": repr(decomposition.residual),
            "orthogonality_error": repr(decomposition.orthogonality_error),
            "seconds": repr(seconds),
        }
        self._write(self.path(weight_hash), tensors, facts)

    def remove(self, weight_hash: str) -> None:
        """Remove the factors of a weight; none there is no error."""
        for path in (self.path(weight_hash), self._values_path(weight_hash)):
            path.unlink(missing_ok=True)

    def trim(self) -> int:
        """Remove the least recently used factors until at most `limit_bytes` remain, and leftovers of killed runs.

        Returns how many factors went.

        A running job uses what it found or made within seconds, and what it still needs and misses it recomputes,
        so that age alone is a safe order.
        """
        if not self.folder.exists():
            return 0
        sweep(self.folder)
        return trim(self.folder.glob("??/*.safetensors"), self.limit_bytes)


def check_file(path: Path) -> None:
    """Read a file of the store through.

    Raises DamagedFactors, naming it, unless it holds what was written.
    """
    _load(path)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
    """Tensors and facts of a stored file, marked as used now; None when there is none that can be believed."""
    try:
        found = _load(path)
    except DamagedFactors as error:
        _log.warning("%s; it is computed again", error)
        with suppress(OSError):
            path.unlink()  # the weight is still there
        return None
    except OSError:
        return None
    mark_used(path)
    return found


def _load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and facts of a file; DamagedFactors unless they are what was written, OSError if it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            tensors = {name: _aligned(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, ValueError) as error:
        raise DamagedFactors(f"{path} is cut short or damaged ({error})") from error
    digest = facts.pop(_DIGEST, None)
    if digest != _digest(path, tensors, facts):
        raise DamagedFactors(f"{path} is damaged: its content does not match its checksum")
    return tensors, facts


def _aligned(tensor: torch.Tensor) -> torch.Tensor:
    """The same values where fresh ones would lie: some processors sum in an order that goes by the address."""
    return tensor.clone() if tensor.data_ptr() % _ALIGNMENT else tensor


def _digest(path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, str]) -> str:
    """SHA-256 over everything that a file of the store says, and over its name, which is the weight's."""
    names = sorted(tensors)
    described = [(name, str(tensors[name].dtype), list(tensors[name].shape)) for name in names]
    digest = hashlib.sha256(json.dumps([path.name, facts, described], sort_keys=True).encode())
    for name in names:
        values: Any = tensors[name].contiguous().numpy()
        digest.update(memoryview(values.reshape(-1).view("u1")))
    return digest.hexdigest()
