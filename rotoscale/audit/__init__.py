"""Is this matrix what it should be: a base plus an adapter's change, or another matrix, rounded and nothing else?

The question is put to every element at once. If `found = round(base + c change)`, every element bounds c from both
sides, by the rounding of its own number format; only a c between all these bounds explains the whole tensor
(docs/methods.md, section 5b). So 1 or 0 among them, or neither, or no c at all, is a verdict whose floor is the
rounding itself, and the scale comes with hard limits.

Read on in `formats` (how far rounding moves a number), `scales` (the bounds), `tensor` (the verdict on one tensor),
`misplaced` (right values in the wrong place) and `whole` (the verdict on a checkpoint).
"""

from __future__ import annotations

from rotoscale.audit.tensor import State, TensorVerdict, audit_change, audit_copy
from rotoscale.audit.whole import AuditRow, Summary, summarize_copies, summarize_merge

__all__ = [
    "AuditRow",
    "State",
    "Summary",
    "TensorVerdict",
    "audit_change",
    "audit_copy",
    "summarize_copies",
    "summarize_merge",
]
