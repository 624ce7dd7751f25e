"""What is materialized: one folder per group of Dagster assets, thin over `resources` and `rotoscale`."""
