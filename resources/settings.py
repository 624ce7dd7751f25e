"""Where things lie and how hard to work: read from the environment, so that every process agrees.

| variable | meaning | default |
|---|---|---|
| ROTOSCALE_DATA | folder for factors, tables, published files, Dagster's own files | `data/` in the project |
| ROTOSCALE_FAMILIES | folder of family files | `families/` in the project |
| ROTOSCALE_DEVICE | `cpu`, `cuda`, `cuda:1`, `mps` or `auto` | `cpu` |
| ROTOSCALE_WORKERS | worker processes for large models, one BLAS thread each | number of cores |
| ROTOSCALE_MEMORY_GB | memory that all workers together may use | nine tenths of what is free |
| ROTOSCALE_NULL_LAYERS | layers that get a simulated null: `all`, or how many, evenly spread | chosen by model size |
| ROTOSCALE_FACTOR_GB | size limit of the factor store | 50 |
| ROTOSCALE_KEEP_EDITS | edited checkpoints kept after scoring: `all`, `none`, or recipe names with commas | by size |
| ROTOSCALE_SEED | seed of every random draw | 0 |
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from rotoscale.errors import RotoscaleError

PROJECT = Path(__file__).resolve().parent.parent


class SettingsError(RotoscaleError):
    """A setting has a value that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """All settings; folders are made by whoever first writes into them."""

    data: Path
    families: Path
    device: str = "cpu"
    workers: int = 1
    memory_gigabytes: float | None = None
    null_layers: int | None = None
    factor_gigabytes: float = 50.0
    seed: int = 0
    keep_edits: str = ""
    """`all`, `none`, or names of recipes with commas; empty leaves it to the model's size (resources/edits)."""

    @property
    def tables(self) -> Path:
        """Parquet files, one per table and model."""
        return self.data / "tables"

    @property
    def published(self) -> Path:
        """Published DuckDB files and the pointer to the current one."""
        return self.data / "published"

    @property
    def factors(self) -> Path:
        """The factor store."""
        return self.data / "factors"

    @property
    def pairs(self) -> Path:
        """Finished comparisons of single matrices, so that a killed run resumes."""
        return self.data / "pairs"

    @property
    def local_families(self) -> Path:
        """Family files of checkpoints registered from the command line."""
        return self.data / "families"

    @property
    def edits(self) -> Path:
        """Edited checkpoints."""
        return self.data / "edits"

    @property
    def evaluations(self) -> Path:
        """Finished scores and probes, so that nothing is scored twice."""
        return self.data / "evaluations"

    @property
    def content_hashes(self) -> Path:
        """Hashes of checkpoints, remembered by their files' sizes and times."""
        return self.data / "content-hashes"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance."""
        return self.data / "dagster"


def load_settings() -> Settings:
    """Settings from the environment.

    Raises SettingsError naming the variable and what it may be.
    """
    data = Path(os.environ.get("ROTOSCALE_DATA") or PROJECT / "data").expanduser().absolute()
    families = Path(os.environ.get("ROTOSCALE_FAMILIES") or PROJECT / "families").expanduser().absolute()
    return Settings(
        data=data,
        families=families,
        device=os.environ.get("ROTOSCALE_DEVICE") or "cpu",
        workers=int(_number("ROTOSCALE_WORKERS", len(os.sched_getaffinity(0)), least=1)),
        memory_gigabytes=_number("ROTOSCALE_MEMORY_GB", 0, least=0) or None,
        null_layers=_null_layers(),
        factor_gigabytes=_number("ROTOSCALE_FACTOR_GB", 50.0, least=0),
        seed=int(_number("ROTOSCALE_SEED", 0, least=0)),
        keep_edits=(os.environ.get("ROTOSCALE_KEEP_EDITS") or "").strip(),
    )


def _null_layers() -> int | None:
    """How many layers get a simulated null; None leaves it to the model's size."""
    text = os.environ.get("ROTOSCALE_NULL_LAYERS")
    if not text:
        return None
    return sys.maxsize if text == "all" else int(_number("ROTOSCALE_NULL_LAYERS", 0, least=0))


def _number(name: str, default: float, least: float) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not value >= least:
        raise SettingsError(f"{name}={text!r} is not a number of at least {least:g}; correct it or unset it")
    return value


def torch_device(name: str) -> str:
    """The device to compute on: `name`, with `auto` resolved to what is there.

    Raises SettingsError when the device is unknown or absent. An absent device is never replaced silently.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.split(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in there:
        raise SettingsError(f"unknown device {name!r}; use cpu, cuda, cuda:N, mps or auto")
    if not there[kind]:
        raise SettingsError(f"device {name!r} is not available on this machine; use --device cpu or auto")
    return name
