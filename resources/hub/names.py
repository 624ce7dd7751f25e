"""Names of repositories and revisions, checked before they get near a path or an address."""

from __future__ import annotations

import re

from resources.hub.errors import HubNameError

# What the Hub itself allows as names, ASCII only: no "--" or "..", a word character at both ends.
_NAME = r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
REPO_ID_PATTERN = rf"^(?!.*(--|\.\.))(?!.*\.git$)({_NAME}/)?{_NAME}$(?!\n)"
REVISION_PATTERN = r"^(?!.*(\.\.|//))(?!.*/$)[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$(?!\n)"
COMMIT = re.compile(r"[0-9a-f]{40}")


def check_names(repo_id: str, revision: str = "main") -> None:
    """Refuse what is no repository name or revision before it gets near a path or an address; raises HubNameError."""
    if not re.fullmatch(REPO_ID_PATTERN, repo_id):
        message = "is no name of a Hub repository; write org/name, as in Qwen/Qwen2.5-1.5B."
        raise HubNameError(f"{repo_id[:120]!r} {message}")
    if not re.fullmatch(REVISION_PATTERN, revision):
        raise HubNameError(f"{revision[:120]!r} is no revision of {repo_id}; write a branch, a tag or a commit.")
