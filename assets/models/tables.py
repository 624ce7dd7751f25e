"""Tables of the group `models`: the catalogue of checkpoints.

Section numbers refer to docs/methods.md.
"""

from __future__ import annotations

from resources.warehouse import table

TABLES = (
    table(
        "models",
        "checkpoints",
        "model_id",
        "Every registered checkpoint: where it comes from, what it is, whether it could be read.",
        """
        model_id VARCHAR Name of the checkpoint, unique in the warehouse.
        family VARCHAR Model family the checkpoint belongs to.
        role VARCHAR base, descendant, or unrelated (a negative control).
        base_id VARCHAR Checkpoint it is compared with; for a base, itself.
        method VARCHAR How it was post-trained: instruct, reasoning, math, adapter, scratch, ...
        source VARCHAR Local folder or Hub repository.
        revision VARCHAR Pinned Hub commit; empty for a local folder.
        architecture VARCHAR Model type as its config states it.
        dtype VARCHAR Number format of most stored weights.
        n_layers INTEGER Transformer blocks.
        hidden_size INTEGER Width of the residual stream.
        n_heads INTEGER Query heads per block.
        n_kv_heads INTEGER Key and value heads per block.
        n_parameters BIGINT Parameters; tied tensors counted once.
        content_hash VARCHAR SHA-256 over all tensors, whatever the sharding.
        status VARCHAR ready, quarantined, waiting (the Hub wants to be asked later), or forgotten.
        status_reason VARCHAR Why it was quarantined or waits, and the remedy.
        retry_at TIMESTAMPTZ When a waiting one is fetched again at the earliest.
        """,
    ),
)
