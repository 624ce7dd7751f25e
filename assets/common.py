"""What every asset shares: the partition set, the automation rule, the workspace resource, provenance."""

from __future__ import annotations

import importlib.metadata
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg

from resources.settings import load_settings
from resources.workspace import Workspace
from rotoscale.errors import RotoscaleError

# Partitioned checks are marked as preview; they work in the versions that pyproject admits.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

CODE_VERSION = importlib.metadata.version("rotoscale")

models = dg.DynamicPartitionsDefinition(name="models")
"""One partition is one checkpoint; a base is a model like any other."""

# Not `eager()`: that never fires for keys older than the automation's first tick.
fill_missing = (
    dg.AutomationCondition.missing()
    & ~dg.AutomationCondition.in_progress()
    & ~dg.AutomationCondition.execution_failed()
    & ~dg.AutomationCondition.any_deps_missing()
)


class WorkspaceResource(dg.ConfigurableResource):
    """The project's folders; empty values are taken from the environment (see resources/settings.py)."""

    data: str = ""
    families: str = ""

    def open(self) -> Workspace:
        """The workspace that this process works in."""
        given = {"data": self.data, "families": self.families}
        return Workspace(load_settings(**{name: folder for name, folder in given.items() if folder}))


def write(
    context: dg.AssetExecutionContext,
    workspace: Workspace,
    table: str,
    model_id: str,
    rows: Sequence[Mapping[str, Any]],
    fingerprint: str = "",
) -> Path:
    """Replace the model's rows of a table, stamped with this run."""
    return workspace.tables.write(
        table, model_id, rows, run_id=context.run_id, code_version=CODE_VERSION, fingerprint=fingerprint
    )


def dashboard_link(page: str, model_id: str) -> dg.MetadataValue:
    """Where the dashboard that `rotoscale ui` starts shows this model."""
    address = os.environ.get("ROTOSCALE_DASHBOARD_URL", "http://127.0.0.1:8501")
    return dg.MetadataValue.url(f"{address}/{page}?model={quote(model_id)}")


def failure(error: RotoscaleError) -> dg.Failure:
    """An error about the user's input as Dagster shows it: the sentence itself, and no retries."""
    return dg.Failure(description=str(error), allow_retries=False)
