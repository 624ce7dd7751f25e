"""The asset `findings`: the sentences on every descendant and family, made once for all who show them."""

import dagster as dg

from assets.claims.evidence import sentences_on_edits, sentences_on_pair
from assets.freshness import shared_fingerprint
from assets.groups import shared_assets
from assets.materializing import WorkspaceResource
from assets.materializing_shared import materializing_shared, shared_spec


@dg.multi_asset(
    specs=[
        shared_spec(
            "findings",
            "claims",
            "The sentences that command line, report, dashboard and DuckDB show alike, made once from the verdicts and "
            "from the comparison of a descendant with its base, each with the rows that it rests on.",
        )
    ]
)
def findings(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Make the sentences of what is out of date; one whose verdicts are not there yet waits for them."""
    from rotoscale.claims.sentences import findings_on_claims

    made = waiting = 0
    with materializing_shared(context, workspace, "findings") as run:
        gone = run.remove_others()
        verdicts = shared_assets()["claims"]
        judged = verdicts.subjects(run.space)
        for key in run.pending:
            if key in judged:
                wanted = shared_fingerprint(run.space, verdicts, key, judged[key])
                if run.space.tables.fingerprint("claims", key) != wanted:
                    waiting += 1
                    continue
            made_from = run.fingerprint(key)
            rows = findings_on_claims(run.space.tables.read("claims", key))
            rows += sentences_on_pair(run.space, key) + sentences_on_edits(run.space, key)
            run.write(key, {"findings": rows}, made_from)
            made += len(rows)
    return run.result({"sentences": made, "waiting": waiting, "removed": len(gone)})
