"""What can go wrong with the Hub, each as one sentence that says what to do about it."""

from __future__ import annotations

import datetime
import errno
import re

from rotoscale.errors import RotoscaleError

_WINDOW = datetime.timedelta(seconds=300)
"""Of the Hub's rate limits: the wait after a 429 that says nothing."""


class HubError(RotoscaleError):
    """A checkpoint cannot be had from the Hub; base of all below."""


class HubNameError(HubError):
    """A text is no repository name or no revision."""


class HubNotFoundError(HubError):
    """No such repository or revision, or a private one."""


class HubGatedError(HubError):
    """The repository asks for its terms to be accepted first, or the token is not good for it."""


class HubFormatError(HubError):
    """The repository has no safetensors weights that could be read."""


class HubOfflineError(HubError):
    """The Hub cannot be reached, and the cache does not have the checkpoint."""

    passes = True


class HubSwitchedOffError(HubOfflineError):
    """HF_HUB_OFFLINE forbids to ask the Hub, and the cache does not have the checkpoint."""

    passes = False


class HubInterruptedError(HubError):
    """The connection broke in the middle of a download, again and again."""

    passes = True


class HubCursorError(HubError):
    """The Hub does not know the place at which a listing is to go on."""


class HubLimitError(HubError):
    """The Hub asks to wait for longer than a run waits; `until` is when to ask again, in UTC."""

    passes = True

    def __init__(self, until: datetime.datetime, status: int, repo_id: str = "") -> None:
        self.until, self.status = until, status
        about = f" for {repo_id}" if repo_id else ""
        super().__init__(
            f"The Hub at {endpoint()} answers {status}{about} and asks to wait until {until:%Y-%m-%d %H:%M:%S} UTC; "
            "it is asked again then (a token in HF_TOKEN has higher limits)."
        )

    def about(self, repo_id: str) -> HubLimitError:
        """The same, naming the repository."""
        return HubLimitError(self.until, self.status, repo_id)


class HubDamagedError(HubError):
    """What arrived is not what the Hub says it is."""


class HubDiskError(HubError):
    """No room for the download, or the cache folder cannot be written."""

    passes = True


def endpoint() -> str:
    """The address of the Hub for messages: without a user name or password that it may hold."""
    from huggingface_hub import constants

    return re.sub(r"//[^/@]*@", "//", constants.ENDPOINT)


def explained(error: Exception, repo_id: str, revision: str, broken: type[HubError]) -> HubError:
    """Turn what the client raised into a sentence; `broken` is the class for a connection that failed."""
    from huggingface_hub import errors

    if isinstance(error, HubLimitError):
        return error.about(repo_id)
    # The client's transport library changed its name between versions; its base error is this one's first parent.
    transport_error = errors.HfHubHTTPError.__mro__[1]
    hub = endpoint()
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else None
    if isinstance(cause, Exception):
        error = cause  # the client wraps what went wrong when it falls back to its cache
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else 0

    if isinstance(error, errors.GatedRepoError) or status == 403:
        return HubGatedError(
            f"Access to {repo_id} is restricted. Accept its terms at https://huggingface.co/{repo_id} and set HF_TOKEN "
            "to a token of that account that may read it."
        )
    if status == 401 and not isinstance(error, errors.RepositoryNotFoundError):
        return HubGatedError(
            f"The Hub at {hub} does not accept the token that was sent for {repo_id}; renew or unset HF_TOKEN, or "
            "the token that `hf auth login` stored."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubNotFoundError(f"{repo_id} has no revision {revision!r}; give a branch, tag or commit that it has.")
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        return HubNotFoundError(
            f"There is no model repository {repo_id} on the Hub, or it is private. Check the spelling; for a private "
            "one set HF_TOKEN to a token that may read it."
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubSwitchedOffError(
            f"{repo_id}@{revision} is not complete in the cache and HF_HUB_OFFLINE is set; unset it, or download first."
        )
    if status == 429:
        return HubLimitError(datetime.datetime.now(datetime.UTC) + _WINDOW, status, repo_id)
    if status >= 500:
        return broken(f"The Hub at {hub} answers {status} for {repo_id}; try again later, what was fetched is kept.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HubDiskError(
            f"The disk became full while {repo_id} was downloaded; free some room, or set HF_HOME to a folder on a "
            "larger disk, and start again: complete files are kept."
        )
    is_network = isinstance(error, transport_error | ConnectionError | TimeoutError)
    if is_network or "Consistency check failed" in str(error):
        if broken is HubOfflineError:
            return HubOfflineError(
                f"The Hub at {hub} cannot be reached ({type(error).__name__}) and {repo_id}@{revision} is not "
                "complete in the cache; check the network, or give a local folder."
            )
        return broken(
            f"The download of {repo_id} broke off ({type(error).__name__}); start again: complete files are kept."
        )
    if isinstance(error, OSError) and error.errno:
        return HubDiskError(
            f"The download of {repo_id} could not be written ({error.strerror}: {error.filename}); make the folder "
            "writable, or set HF_HOME to another one."
        )
    # Addresses may carry signatures behind their question mark, and names of users before their host.
    detail = re.sub(r"//[^/@\s]*@|\?[^\s']*", "", (str(error).splitlines() or [""])[0])[:200]
    return HubError(
        f"The Hub at {hub} gave no usable answer for {repo_id}@{revision} ({type(error).__name__}: {detail}); "
        "check HF_ENDPOINT, or give a local folder."
    )
