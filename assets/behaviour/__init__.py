"""Asset group `behaviour`: edited checkpoints and what they can do."""
