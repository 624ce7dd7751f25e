"""The outside world, one room each: checkpoints, families, the Hub, stored factors, the warehouse, settings."""
