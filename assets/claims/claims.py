"""The asset `claims`: one verdict per claim and descendant or family, of those whose evidence changed."""

import dagster as dg

from assets.claims.evidence import gather
from assets.materializing import WorkspaceResource
from assets.materializing_shared import materializing_shared, shared_spec


@dg.multi_asset(
    specs=[
        shared_spec(
            "claims",
            "claims",
            "What the numbers say of each claim of the two papers: supported, refuted, undecided or not tested, one "
            "verdict for each claim and descendant or family. The rules were written down before the numbers were "
            "looked at and have versions; only what has new evidence is judged again.",
        )
    ]
)
def claims(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Judge what is out of date by rules that were written down before the numbers."""
    from rotoscale.claims import WORDS, judge
    from rotoscale.claims.sentences import claim_row

    found = dict.fromkeys(WORDS, 0)
    with materializing_shared(context, workspace, "claims") as run:
        gone = run.remove_others()
        for key in run.pending:
            made_from = run.fingerprint(key)
            evidence = gather(run.space, key)
            rows = [claim_row(evidence, claim, verdict) for claim, verdict in judge(evidence)]
            run.write(key, {"claims": rows}, made_from)
            for row in rows:
                found[row["verdict"]] += 1
        counts = {word.replace(" ", "_"): n for word, n in found.items()}
    return run.result({"judged": len(run.pending), "removed": len(gone), **counts})
