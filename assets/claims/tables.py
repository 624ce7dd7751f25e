"""Tables of the group `claims`: verdicts on what the papers say, and the sentences that every surface shows.

Section numbers refer to docs/methods.md; every rule in words is in docs/claims.md.
"""

from __future__ import annotations

from resources.warehouse import table

TABLES = (
    table(
        "claims",
        "claims",
        "family model_id claim",
        "One verdict for each claim of the two papers and each descendant or family (methods, section 7).",
        """
        family VARCHAR Model family.
        model_id VARCHAR Descendant that is judged; empty in a family's own claims.
        claim VARCHAR Name of the claim: HC1 to HC8, EP1 to EP4.
        verdict VARCHAR supported, refuted, undecided, or not tested.
        reason VARCHAR Why, with the numbers.
        statistic VARCHAR What the estimate is.
        estimate DOUBLE The statistic that the verdict is read from.
        ci_low DOUBLE Lower end of its interval.
        ci_high DOUBLE Upper end of its interval.
        control DOUBLE The same statistic of the control, or what it is under the null.
        p_value DOUBLE p of the test on the statistic; of the clearest matrix where each has a test.
        q_value DOUBLE The same after Benjamini and Hochberg over the tests of this claim.
        n INTEGER Units that the statistic is taken over: matrices, layers, documents, prompts, models.
        power DOUBLE Chance to have shown what the claim says, were it so; of EP1, two points of accuracy.
        rule_version VARCHAR Version of the rule.
        sentence VARCHAR The claim, as the paper makes it.
        evidence VARCHAR What is looked at.
        controlled_by VARCHAR What it is held against.
        supported_by VARCHAR What would support the claim.
        refuted_by VARCHAR What would refute it.
        otherwise VARCHAR What leaves it undecided or not tested.
        rests_on JSON Rows that the verdict was read from: tables, each with the values that find its rows.
        """,
    ),
    table(
        "findings",
        "findings",
        "family model_id page rank",
        "The sentences that command line, report and dashboard show, made once and stored.",
        """
        family VARCHAR Model family.
        model_id VARCHAR Descendant that the sentence is about; empty for a family.
        page VARCHAR claims (verdicts), pair (a descendant against its base), or edits (its and its edits' scores).
        rank INTEGER Its place among those sentences, counted from 0.
        sentence VARCHAR The sentence.
        rests_on JSON Rows that it was read from: tables, each with the values that find its rows.
        """,
    ),
)
