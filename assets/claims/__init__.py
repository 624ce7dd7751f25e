"""Asset group `claims`: verdicts on what the papers say, and the sentences on them."""
