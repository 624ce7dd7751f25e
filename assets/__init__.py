"""What is materialized: one file per group of Dagster assets, thin over `resources` and `rotoscale`."""
