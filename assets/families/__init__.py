"""Asset group `families`: the published DuckDB file."""
