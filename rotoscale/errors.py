"""The one family of errors that a user is meant to read.

Every message is a sentence saying what is wrong (which file, tensor or matrix), followed by what to do. The command
line prints such an error without a traceback; the assets turn one about a model into that model's quarantine reason.
"""


class RotoscaleError(Exception):
    """Base of all errors whose message is written for the user.

    passes: whether it may pass by itself, as a network's fault does, so that the same again later makes sense.
    """

    passes = False


class MatrixError(RotoscaleError):
    """A matrix cannot be analysed: not two-dimensional, empty, not finite, or of another shape than its pair."""
