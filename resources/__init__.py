"""The outside world, one room each: checkpoints, families, the Hub, stored factors, the warehouse, settings."""

import os

# Matrices of a hundred megabytes come and go: in large pages, where Linux offers them, that costs torch half the time.
# Read when torch is first imported, and inherited by worker processes.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
