"""What the published rows say in short: the one layer of summaries under command line, report and pages.

Functions take a DuckDB connection to a published file and return data frames or plain dataclasses. `measures` says
what a median and a relative change are; whoever shows such a number takes it from here, so that it is the same number
everywhere.
"""

from resources.warehouse.summaries.claims import WORDS, sentences, sentences_on, verdicts
from resources.warehouse.summaries.comparisons import (
    by_matrix_type,
    change_of_all_tensors,
    overall,
    where_changed,
    where_in_words,
)
from resources.warehouse.summaries.edits import edit_verdicts
from resources.warehouse.summaries.measures import PRINCIPAL, in_order
from resources.warehouse.summaries.pair import PairSummary, summarize
from rotoscale.agreement_reading import percent
from rotoscale.claims.sentences import EDITS_PAGE, PAIR_PAGE

__all__ = [
    "EDITS_PAGE",
    "PAIR_PAGE",
    "PRINCIPAL",
    "WORDS",
    "PairSummary",
    "by_matrix_type",
    "change_of_all_tensors",
    "edit_verdicts",
    "in_order",
    "overall",
    "percent",
    "sentences",
    "sentences_on",
    "summarize",
    "verdicts",
    "where_changed",
    "where_in_words",
]
