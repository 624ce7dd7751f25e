"""The Hugging Face Hub as a source of checkpoints: a repository and a revision in, a local folder and a commit out.

`resolve` asks the Hub once what the revision is (a branch moves, a commit does not) and which files it has with their
sizes. From that listing alone it is decided, before any byte is fetched, whether the checkpoint can be used at all
(only safetensors is read), which files are wanted (an allow-list: weights, configuration, tokenizer; never code,
never a pickle) and whether the disk has room. The download itself is the official client's: its cache, its
symbolic links, its locks between processes. A download that breaks off is continued within the same call; after a
killed run, the files that were complete are kept and only the rest is fetched.

Where a limit is set, what was downloaded and is done with leaves again (`trim`); what is in use never does.

Without a network a revision that is complete in the cache is used. A full commit that is complete in the cache never
asks the network at all.

A wait that the Hub asks for is slept through up to a stated patience (ROTOSCALE_HUB_PATIENCE); a longer one is an
error that says until when. No call is without a time-out. What arrives is compared with the hash that the Hub states.

The environment is the client's own: HF_TOKEN for private and gated repositories, HF_HOME for where the cache lies,
HF_HUB_OFFLINE=1 to stay off the network, HF_ENDPOINT for a mirror.
"""

from resources.hub.budget import Trimmed, trim
from resources.hub.errors import (
    HubCursorError,
    HubDamagedError,
    HubDiskError,
    HubError,
    HubFormatError,
    HubGatedError,
    HubInterruptedError,
    HubLimitError,
    HubNameError,
    HubNotFoundError,
    HubOfflineError,
    HubSwitchedOffError,
)
from resources.hub.names import REPO_ID_PATTERN, REVISION_PATTERN, check_names
from resources.hub.snapshot import Snapshot, resolve

__all__ = [
    "REPO_ID_PATTERN",
    "REVISION_PATTERN",
    "HubCursorError",
    "HubDamagedError",
    "HubDiskError",
    "HubError",
    "HubFormatError",
    "HubGatedError",
    "HubInterruptedError",
    "HubLimitError",
    "HubNameError",
    "HubNotFoundError",
    "HubOfflineError",
    "HubSwitchedOffError",
    "Snapshot",
    "Trimmed",
    "check_names",
    "resolve",
    "trim",
]
