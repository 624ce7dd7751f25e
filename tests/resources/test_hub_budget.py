"""Downloads within a budget: the official client's cache and tools, a Hub on this machine, users in other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir

from resources.hub import trim
from tests.resources.hub_server import HubServer

PROJECT = Path(__file__).resolve().parents[2]
SIZE = 20_000
USER = """
import json, sys
from pathlib import Path
from resources import hub
for line in sys.stdin:
    a = json.loads(line)
    asked = []
    held = hub.resolve(a["repo"], a["revision"], Path(a["cache"]), make_room=asked.append)
    print(json.dumps({"commit": held.commit, "asked": asked}), flush=True)
"""


class User:
    """A process that uses one repository at a time, and holds it as long as it asks for no other."""

    def __init__(self, server: HubServer, cache: Path) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING_FACE"))}
        clean |= {"HF_ENDPOINT": server.endpoint, "HF_HOME": "/nowhere", "HF_HUB_DISABLE_TELEMETRY": "1"}
        clean |= {"PYTHONPATH": str(PROJECT), "NO_PROXY": "*", "no_proxy": "*"}
        self.cache = cache
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER], env=clean, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def use(self, repo: str, revision: str = "main") -> tuple[str, list[int]]:
        """Resolve a repository; its commit, and the bytes that room was asked for."""
        assert self.process.stdin
        assert self.process.stdout
        asked = {"repo": repo, "revision": revision, "cache": str(self.cache)}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        found = json.loads(self.process.stdout.readline())
        return found["commit"], found["asked"]

    def end(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as running:
        for number, name in enumerate(("org/a", "org/b", "org/c")):
            running.add(name, files(number))
        yield running


@pytest.fixture
def user(server: HubServer, tmp_path: Path) -> Iterator[User]:
    started = User(server, tmp_path / "hub")
    yield started
    started.process.kill()
    started.process.wait()


def files(number: int) -> dict[str, bytes]:
    return {"config.json": b"{}", "model.safetensors": bytes([number]) * SIZE}


def there(cache: Path) -> dict[str, set[str]]:
    """Commits by repository, as the client's own tool sees the cache, which has nothing to complain of."""
    found = scan_cache_dir(cache)
    assert found.warnings == []
    return {repo.repo_id: {revision.commit_hash for revision in repo.revisions} for repo in found.repos}


def anything(repo: str, commit: str) -> bool:
    return True


def test_the_least_recently_used_go_until_the_rest_fits(user: User) -> None:
    commits = {repo: user.use(repo)[0] for repo in ("org/a", "org/b", "org/c")}
    user.use("org/a", commits["org/a"])  # from the cache: now b is the one used longest ago
    user.end()
    assert trim(3.5 * SIZE, anything, user.cache).removed == ()
    done = trim(2.5 * SIZE, anything, user.cache)
    assert done.removed == (f"org/b@{commits['org/b']}",)
    assert 2 * SIZE <= done.remaining <= 2.1 * SIZE
    assert there(user.cache).keys() == {"org/a", "org/c"}
    assert not list((user.cache / "models--org--b").rglob("*"))
    assert trim(0, anything, user.cache).remaining == 0
    assert there(user.cache) == {}
    assert trim(0, anything, user.cache.with_name("never")).removed == ()


def test_what_is_in_use_stays_however_small_the_budget(user: User) -> None:
    user.use("org/a")
    user.use("org/b")
    done = trim(0, anything, user.cache)
    assert [name.partition("@")[0] for name in done.removed] == ["org/a"]
    assert there(user.cache).keys() == {"org/b"}
    user.process.kill()  # a killed user holds nothing
    user.process.wait()
    assert trim(0, anything, user.cache).remaining == 0


def test_what_is_still_needed_stays(user: User) -> None:
    for repo in ("org/a", "org/b", "org/c"):
        user.use(repo)
    user.end()
    done = trim(0, lambda repo, commit: repo != "org/a", user.cache)
    assert there(user.cache).keys() == {"org/a"}
    assert len(done.removed) == 2


def test_what_other_tools_downloaded_is_not_ours_to_remove(user: User, server: HubServer) -> None:
    env = {**os.environ, "HF_ENDPOINT": server.endpoint, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*", "no_proxy": "*"}
    fetch = f"import huggingface_hub as h; h.snapshot_download('org/a', cache_dir={str(user.cache)!r})"
    subprocess.run([sys.executable, "-c", fetch], env=env, check=True, capture_output=True)
    _, asked = user.use("org/a")
    assert asked == []
    user.use("org/b")
    user.end()
    trim(0, anything, user.cache)
    assert there(user.cache).keys() == {"org/a"}


def test_commits_of_one_repository_leave_one_by_one_and_share_files(user: User, server: HubServer) -> None:
    first, _ = user.use("org/a")
    server.add("org/a", {**files(0), "config.json": b'{"changed": 1}'})
    second, asked = user.use("org/a")
    assert first != second
    assert asked == [len(b'{"changed": 1}')]
    user.end()
    both = trim(10 * SIZE, anything, user.cache)
    assert both.remaining < 1.1 * SIZE  # the weights are the same file
    done = trim(SIZE, anything, user.cache)
    assert done.removed == (f"org/a@{first}", f"org/a@{second}")
    user_again = User(server, user.cache)
    assert user_again.use("org/a")[0] == second  # what went comes again when it is asked for
    user_again.end()


def test_room_is_asked_for_before_a_download_with_its_size(user: User) -> None:
    assert user.use("org/a")[1] == [SIZE + 2]
    assert user.use("org/a")[1] == []
