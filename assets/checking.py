"""Asset checks on stored rows. They run with their asset, and alone: what is judged is what was written."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from assets.materializing import WorkspaceResource, check_spec

Rows = Sequence[dict[str, Any]]
Judge = Callable[..., dg.AssetCheckResult]


def row_checks(asset: str, *judges: Judge, tables: Sequence[str] = ()) -> dg.AssetChecksDefinition:
    """Checks of one model's rows in the table of an asset, or in others; without a partition, of every model's.

    Each judge is a function of the rows of each table, without their lists; its name is the check's, its docstring the
    description.
    """
    tables = tables or (asset,)
    specs = [check_spec(asset, judge.__name__, inspect.getdoc(judge) or "") for judge in judges]

    @dg.multi_asset_check(name=f"checks_of_{asset}", specs=specs, can_subset=True)
    def judged(
        context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
    ) -> Iterator[dg.AssetCheckResult | dg.AssetCheckEvaluation | dg.Output[None]]:
        run, store = context.op_execution_context, workspace.open().tables
        models = [run.partition_key] if run.has_partition_key else store.models(tables[0])
        wanted = {key.name for key in run.selected_asset_check_keys}
        chosen = [judge for judge in judges if judge.__name__ in wanted]
        found: dict[Judge, dict[str, dg.AssetCheckResult]] = {judge: {} for judge in chosen}
        for model in models:
            rows = [store.read(table, model, lists=False) for table in tables]
            for judge in chosen:
                found[judge][model] = judge(*rows)
        for judge in chosen:
            if run.has_partition_key:
                yield found[judge][run.partition_key]
            else:
                yield from _of_all(asset, judge, found[judge])

    return judged


def _of_all(
    asset: str, judge: Judge, found: Mapping[str, dg.AssetCheckResult]
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    """The events of a check of every model at once.

    What Dagster makes of an AssetCheckResult: for it Dagster would ask which partition's materialization was judged,
    and fail because a run without a partition has none.
    """
    result = _together(asset, judge, found)
    yield dg.Output(None, output_name=check_spec(asset, judge.__name__, "").get_python_identifier())
    yield dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=judge.__name__,
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
        blocking=False,
    )


def _together(asset: str, judge: Judge, found: Mapping[str, dg.AssetCheckResult]) -> dg.AssetCheckResult:
    """One result about several models: the worst, with the models that failed."""
    failed = [model for model, result in found.items() if not result.passed]
    return verdict(
        judge.__name__,
        asset,
        not failed,
        {"models": len(found), **({"failed": ", ".join(failed)} if failed else {})},
        of=sum(int(str(result.metadata["compared"].value)) for result in found.values()),
        severity=next((found[model].severity for model in failed), dg.AssetCheckSeverity.ERROR),
    )


def verdict(
    check: str,
    asset: str,
    passed: bool,
    found: Mapping[str, Any],
    *,
    of: int,
    nothing: str = "no row of this kind",
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """A check's result; `of` says how many values were looked at, and where that is none, that it compared nothing."""
    note = {} if of else {"note": f"nothing to compare: {nothing}"}
    return dg.AssetCheckResult(
        check_name=check,
        asset_key=asset,
        passed=passed,
        severity=severity,
        metadata={"compared": of, **found, **note},
        description=f"Compared nothing: {nothing}." if not of else None,
    )
