"""Where things lie and how hard to work: read from the environment, so that every process agrees.

| variable | meaning | default |
|---|---|---|
| ROTOSCALE_DATA | folder for factors, tables, published files, Dagster's own files | `data/` in the project |
| ROTOSCALE_FAMILIES | folder of family files | `families/` in the project |
| ROTOSCALE_ARCHITECTURES | folder of architecture files of one's own, beside the shipped ones | none |
| ROTOSCALE_DEVICE | `cpu`, `cuda`, `cuda:1`, `mps` or `auto` | `cpu` |
| ROTOSCALE_WORKERS | worker processes for large models, one BLAS thread each | number of cores |
| ROTOSCALE_MEMORY_GB | memory that all workers together may use | nine tenths of what is free |
| ROTOSCALE_DEPTH | `standard` (the base's vectors suffice), `full` (all statistics), or `auto`: by size | `auto` |
| ROTOSCALE_NULL_DRAWS | draws of the simulated null of NF per matrix; 0: the analytic null alone | 0 |
| ROTOSCALE_CONTROL_DRAWS | noise draws that an edit's control consists of; 0: none | 19, of a large model none |
| ROTOSCALE_CONTROL_DOCUMENTS | documents of each task that control draws are held against | 24 |
| ROTOSCALE_LINE_DOCUMENTS | documents of each task along straight lines between models; 0: none | 12, large: none |
| ROTOSCALE_CIRCUIT_PROMPTS | prompts that circuits are found with: a quick look below 105, in full from there | 35 |
| ROTOSCALE_FACTOR_GB | size limit of the factor store | 50 |
| ROTOSCALE_HUB_GB | size limit of what was downloaded from the Hub; finished models' files go first | 0: none |
| ROTOSCALE_KEEP_EDITS | edited checkpoints kept after scoring: `all`, `none`, or recipe names with commas | by size |
| ROTOSCALE_FILL | `always`: what is missing is made at once; `nightly`: by the nightly backfill | `always` |
| ROTOSCALE_BACKFILL_CRON | when the nightly backfill starts, five fields of cron, UTC | `0 2 * * *` |
| ROTOSCALE_BACKFILL_MODELS | models that one nightly backfill takes up | 50 |
| ROTOSCALE_TRIES | tries in vain after which a model is left out until it, its settings or the code change | 3 |
| ROTOSCALE_DAGSTER_YAML | settings of Dagster's instance | `dagster.yaml` in the project |
| ROTOSCALE_SEED | seed of every random draw | 0 |
| ROTOSCALE_WATCH_CRON | when watched families are asked about, as five fields of cron, in UTC | `7 * * * *` |
| ROTOSCALE_HUB_PATIENCE | longest wait, in seconds, that the Hub may ask of a run; beyond it the model waits | 120 |
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from resources.machine import cores
from rotoscale.errors import RotoscaleError

PROJECT = Path(__file__).resolve().parent.parent
_LARGEST_SEED = 2**32 - 1  # NumPy's


class SettingsError(RotoscaleError):
    """A setting has a value that cannot be used."""


def _absolute(folder: Path) -> Path:
    try:
        return folder.expanduser().absolute()
    except RuntimeError as error:  # ~nobody
        raise ValueError(str(error)) from None


Folder = Annotated[Path, AfterValidator(_absolute)]


Cron = Annotated[
    str, AfterValidator(str.strip), StringConstraints(pattern=r"^\s*([0-9A-Za-z*/,-]+\s+){4}[0-9A-Za-z*/,-]+\s*$")
]
_CRON = "five fields of cron, such as '0 2 * * *'"


class Settings(BaseSettings):
    """All settings; folders are made by whoever first writes into them.

    What is not given is read from the environment. Each description says what the variable may be.
    """

    model_config = SettingsConfigDict(
        frozen=True, case_sensitive=True, env_ignore_empty=True, populate_by_name=True, extra="forbid"
    )

    data: Folder = Field(default=PROJECT / "data", validation_alias="ROTOSCALE_DATA", description="a folder")
    families: Folder = Field(
        default=PROJECT / "families", validation_alias="ROTOSCALE_FAMILIES", description="a folder"
    )
    architectures: Folder | None = Field(
        default=None, validation_alias="ROTOSCALE_ARCHITECTURES", description="a folder"
    )
    requested_device: str = Field(
        default="cpu",
        validation_alias="ROTOSCALE_DEVICE",
        pattern=r"^(auto|(cpu|cuda|mps)(:\d{1,3})?)$",
        description="cpu, cuda, cuda:N, mps or auto",
    )
    workers: int = Field(
        default_factory=cores,
        validation_alias="ROTOSCALE_WORKERS",
        ge=1,
        description="a whole number of at least 1",
    )
    memory_gigabytes: float | None = Field(
        default=None,
        validation_alias="ROTOSCALE_MEMORY_GB",
        ge=0,
        allow_inf_nan=False,
        description="a number of at least 0 (0: what is free)",
    )
    depth: Literal["auto", "standard", "full"] = Field(
        default="auto", validation_alias="ROTOSCALE_DEPTH", description="auto, standard or full"
    )
    null_draws: int = Field(
        default=0, validation_alias="ROTOSCALE_NULL_DRAWS", ge=0, description="a whole number of at least 0"
    )
    control_draws: int | None = Field(
        default=None, validation_alias="ROTOSCALE_CONTROL_DRAWS", ge=0, description="a whole number of at least 0"
    )
    """None leaves it to the model's size (resources/evaluation/control_draws.py)."""
    control_documents: int = Field(
        default=24, validation_alias="ROTOSCALE_CONTROL_DOCUMENTS", ge=2, description="a whole number of at least 2"
    )
    line_documents: int | None = Field(
        default=None, validation_alias="ROTOSCALE_LINE_DOCUMENTS", ge=0, description="a whole number of at least 0"
    )
    """None leaves it to the models' size (resources/relations/lines.py)."""
    circuit_prompts: int = Field(
        default=35, validation_alias="ROTOSCALE_CIRCUIT_PROMPTS", ge=8, description="a whole number of at least 8"
    )
    factor_gigabytes: float = Field(
        default=50.0, validation_alias="ROTOSCALE_FACTOR_GB", ge=0, description="a number of at least 0"
    )
    seed: int = Field(
        default=0,
        validation_alias="ROTOSCALE_SEED",
        ge=0,
        le=_LARGEST_SEED,
        description=f"a whole number from 0 to {_LARGEST_SEED}",
    )
    hub_gigabytes: float = Field(
        default=0.0,
        validation_alias="ROTOSCALE_HUB_GB",
        ge=0,
        allow_inf_nan=False,
        description="a number of at least 0 (0: no limit)",
    )
    keep_edits: Annotated[str, AfterValidator(str.strip)] = Field(
        default="", validation_alias="ROTOSCALE_KEEP_EDITS", description="all, none, or names of recipes with commas"
    )
    """Empty leaves it to the model's size (resources/edits)."""
    fill: Literal["always", "nightly"] = Field(
        default="always", validation_alias="ROTOSCALE_FILL", description="always or nightly"
    )
    backfill_cron: Cron = Field(default="0 2 * * *", validation_alias="ROTOSCALE_BACKFILL_CRON", description=_CRON)
    backfill_models: int = Field(
        default=50,
        validation_alias="ROTOSCALE_BACKFILL_MODELS",
        ge=1,
        description="a whole number of at least 1",
    )
    most_tries: int = Field(
        default=3, validation_alias="ROTOSCALE_TRIES", ge=1, description="a whole number of at least 1"
    )
    dagster_yaml: Folder = Field(
        default=PROJECT / "dagster.yaml", validation_alias="ROTOSCALE_DAGSTER_YAML", description="a file"
    )
    watch_cron: Cron = Field(default="7 * * * *", validation_alias="ROTOSCALE_WATCH_CRON", description=_CRON)
    hub_patience: float = Field(
        default=120.0,
        validation_alias="ROTOSCALE_HUB_PATIENCE",
        ge=0,
        allow_inf_nan=False,
        description="a number of at least 0",
    )
    """Seconds."""

    @cached_property
    def device(self) -> str:
        """The device to compute on, one that torch takes: `auto` is resolved at the first use, which imports torch.

        Raises SettingsError when it is not on this machine.
        """
        return "cpu" if self.requested_device == "cpu" else torch_device(self.requested_device)

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
    def tries(self) -> Path:
        """What was tried in vain, so that it is given up after a while."""
        return self.data / "tries"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance."""
        return self.data / "dagster"


def load_settings(**given: Any) -> Settings:
    """Settings from the environment; what is `given`, by the names of `Settings`, comes before it.

    Raises SettingsError naming the variable and what it may be.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = error.errors()[0]
        value, variable = str(wrong["input"])[:80], wrong["loc"][0]
        field = next((f for n, f in Settings.model_fields.items() if variable in (n, f.validation_alias)), None)
        if field is None:
            raise TypeError(f"there is no setting {variable}") from None
        message = f"{variable}={value!r} is not {field.description}; correct it or unset it"
        raise SettingsError(message) from None


def torch_device(name: str) -> str:
    """The device to compute on: `name`, with `auto` resolved to what is there.

    Raises SettingsError when the device is unknown or absent. An absent device is never replaced silently.
    """
    if name == "cpu":
        return name  # and torch is not loaded for it
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = name.partition(":")
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in count or (number and not number.isdecimal()):
        raise SettingsError(f"unknown device {name!r}; use cpu, cuda, cuda:N, mps or auto")
    if int(number or 0) >= count[kind]:
        raise SettingsError(f"device {name!r} is not available on this machine; use --device cpu or auto")
    return name
