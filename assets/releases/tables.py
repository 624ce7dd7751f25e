"""Tables of the group `releases`: every release that was found, and how each listing went.

One file per family: the rows of all releases that were found for it.
"""

from __future__ import annotations

from resources.warehouse import table

TABLES = (
    table(
        "releases",
        "release_candidates",
        "family source model revision",
        "Every release that was found for a watched family: what it is, what was decided of it, what became of it.",
        """
        family VARCHAR Family that watches where it was found.
        source VARCHAR hub or folder.
        model VARCHAR Repository on the Hub, or the folder.
        revision VARCHAR Commit on the Hub; empty for a folder.
        kind VARCHAR new; registered: by hand, in a family file; revision: a further commit of either.
        relation VARCHAR To what is watched, as the Hub states it: finetune, adapter, merge, quantized; or base, folder.
        watched VARCHAR Hub repository or folder that was watched.
        base_id VARCHAR Registered model that it is compared with.
        model_id VARCHAR Name under which it is registered; null unless it was taken.
        decision VARCHAR taken, left, waiting, or gated.
        reason VARCHAR Why it was decided so, and what to do about it.
        found_at TIMESTAMPTZ When it was seen first.
        checked_at TIMESTAMPTZ When the decision was made; of a folder that waits, since when it looks as it does.
        looked_at TIMESTAMPTZ When its files and config were looked at; null: the listing alone decided.
        retry_at TIMESTAMPTZ When a waiting one is looked at again at the earliest; null: at the next poll.
        created_at TIMESTAMPTZ When the repository was made, as the Hub states it.
        modified_at TIMESTAMPTZ When the repository or a file of the folder was last changed.
        state VARCHAR Of a taken one: registered, waiting, quarantined, forgotten, ready (read through), or results.
        state_reason VARCHAR Why it waits or was quarantined, and the remedy.
        results_at TIMESTAMPTZ When its comparison with its base was stored.
        author VARCHAR Account on the Hub.
        licence VARCHAR Licence that its card states.
        downloads BIGINT Downloads of the last 30 days, as the Hub states them.
        likes BIGINT Likes on the Hub.
        parameters BIGINT Parameters, as the Hub or the headers of the files state them.
        weight_bytes BIGINT Size of the files that would be fetched.
        dtype VARCHAR Number format of most weights, before anything was downloaded.
        quantization VARCHAR Method of quantization that config, tags or format show; null: none.
        architecture VARCHAR Model type as its config states it.
        shapes VARCHAR How its config compares with that of its base: same, or what differs; null: not known.
        lineage VARCHAR What the weights say of its descent from its base; null: not known yet.
        weights VARCHAR Fingerprint of weights and config: an edited card changes the commit but not this.
        latest VARCHAR Newest commit that was seen with the same weights; null: its own.
        """,
    ),
    table(
        "release_polls",
        "release_candidates",
        "family watched relation",
        "How the last listing of everything that a family watches went.",
        """
        family VARCHAR Family that watches.
        watched VARCHAR Hub repository or folder that is watched.
        relation VARCHAR finetune, adapter, merge, quantized; changes: what was modified lately; folder.
        polled_at TIMESTAMPTZ When it was last asked.
        succeeded_at TIMESTAMPTZ When it last answered as far as it was asked.
        full_at TIMESTAMPTZ When the last listing that came to the end of everything began.
        full_since TIMESTAMPTZ When a listing to the end began that is not finished; null: there is none.
        full_from TIMESTAMPTZ Oldest creation date that an unfinished listing to the end has come to; null: finished.
        full_cursor VARCHAR Where the Hub is to go on with an unfinished listing; null: from the newest.
        listed INTEGER Entries of the last listing.
        message VARCHAR What went wrong, or was left unfinished; empty: nothing.
        retry_at TIMESTAMPTZ Before this time it is not asked again, as the Hub wants it.
        """,
    ),
)
