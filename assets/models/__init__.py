"""Asset group `models`: every checkpoint resolved, validated and catalogued."""
