"""The asset `release_candidates`: what the Hub and watched folders offer, what was decided of it, what became of it."""

import dagster as dg

from assets.materializing import WorkspaceResource
from assets.materializing_shared import materializing_shared, shared_spec


@dg.multi_asset(
    specs=[
        shared_spec(
            "release_candidates",
            "releases",
            "What the Hub and watched folders offer, what was decided of it and why, and what became of it.",
            "huggingface",
        )
    ],
    pool="release_candidates",
)
def release_candidates(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Ask for every watched family, register what passes, and follow up what was registered before."""
    from resources import releases

    counts: dict[str, int] = {}
    registered: list[str] = []
    messages: list[str] = []
    with materializing_shared(context, workspace, "release_candidates") as run:
        families = list(run.subjects)
        until = releases.held_until(run.space, families)
        for family in families:
            passed = releases.one_pass(
                run.space,
                family,
                lambda family=family: run.fingerprint(family),  # type: ignore[misc]
                context.run_id,
                run.asset.version,
                until,
            )
            until = passed.until
            registered += passed.registered
            messages += passed.messages
            for decision, count in passed.decisions.items():
                counts[decision] = counts.get(decision, 0) + count
    return run.result({**counts, "registered_now": registered, "messages": messages})
