"""Downloads from a Hub that asks to wait, falls silent, or sends what is not what it promised; the real client."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from tests.resources.hub_caller import PROJECT, Caller, on_disk, shards
from tests.resources.hub_server import HubServer, Limit


def test_a_wait_beyond_our_patience_is_not_slept_through(
    server: HubServer, call: Caller, checkpoint: dict[str, bytes]
) -> None:
    """The time is said, what is complete is kept, and other models are not held up."""
    server.add("org/busy", checkpoint)
    server.add("org/tiny", checkpoint)
    for address in ("/api/models/org/busy", f"/org/busy/resolve/{server.repositories['org/busy'].refs['main']}/model"):
        started = time.monotonic()
        server.limits[address] = Limit(429, {"Retry-After": "86400"})
        limited = call("org/busy")
        assert limited["error"] == "HubLimitError"
        assert "org/busy and asks to wait until" in limited["message"]
        assert time.monotonic() - started < 20
        server.limits.clear()
    assert on_disk(call("org/tiny")["path"]) == checkpoint
    # A wait within the patience is slept through, of the question and of the files.
    server.limits["org/busy"] = Limit(429, {"Retry-After": "1"}, times=2)
    assert on_disk(call.apart("org/busy", ROTOSCALE_HUB_PATIENCE="5")["path"]) == checkpoint


def test_a_wait_that_is_over_the_patience_does_not_matter_to_what_is_in_the_cache(
    server: HubServer, call: Caller, checkpoint: dict[str, bytes]
) -> None:
    commit = server.add("org/tiny", checkpoint)
    call("org/tiny")
    server.limits["org/tiny"] = Limit(429, {"Retry-After": "86400"})
    assert call("org/tiny")["commit"] == commit


def test_bytes_that_do_not_match_their_hash_are_not_kept(
    server: HubServer, call: Caller, checkpoint: dict[str, bytes]
) -> None:
    """The client compares sizes only."""
    server.add("org/tiny", checkpoint)
    damaged = shards(checkpoint)[1]
    server.repositories["org/tiny"].damaged.add(damaged)
    got = call("org/tiny")
    assert got["error"] == "HubDamagedError"
    assert damaged in got["message"]
    assert "start again" in got["message"]
    assert call.apart("org/tiny", HF_HUB_OFFLINE="1")["error"] == "HubSwitchedOffError"
    server.repositories["org/tiny"].damaged.clear()
    server.requests.clear()
    assert on_disk(call("org/tiny")["path"]) == checkpoint
    assert damaged in server.fetched()


def test_a_size_that_is_a_lie_fails_cleanly(server: HubServer, call: Caller, checkpoint: dict[str, bytes]) -> None:
    server.add("org/tiny", checkpoint)
    name = shards(checkpoint)[0]
    server.repositories["org/tiny"].claimed_sizes[name] = len(checkpoint[name]) + 7
    with server.fault(name, times=100, after=100):
        got = call("org/tiny")
    assert got["error"] in ("HubInterruptedError", "HubDamagedError")
    server.repositories["org/tiny"].claimed_sizes.clear()
    assert on_disk(call("org/tiny")["path"]) == checkpoint


def test_a_body_that_stops_in_the_middle_is_fetched_again(
    server: HubServer, call: Caller, checkpoint: dict[str, bytes]
) -> None:
    server.add("org/tiny", checkpoint)
    with server.fault(shards(checkpoint)[1], after=5000, pause=threading.Event()):
        got = call.apart("org/tiny", HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert on_disk(got["path"]) == checkpoint


def test_files_in_xet_storage_come_over_bounded_connections_unless_asked_otherwise(
    server: HubServer, call: Caller, checkpoint: dict[str, bytes]
) -> None:
    server.add("org/tiny", checkpoint)
    server.repositories["org/tiny"].xet = True
    otherwise = call.apart("org/tiny", HF_HUB_DISABLE_XET="0")
    assert any(path.startswith("/xet-storage/") for _, path, _ in server.requests)
    assert otherwise["error"] == "HubError"  # there is nothing behind this storage's address
    server.requests.clear()
    assert on_disk(call("org/tiny")["path"]) == checkpoint
    assert set(shards(checkpoint)) <= set(server.fetched())
    assert not any("xet" in path for _, path, _ in server.requests)


SILENT = """
import time
slow = time.sleep
time.sleep = lambda seconds: slow(seconds / 50)
from resources.hub import HubError, client, descendants
client.SILENCE = 0.3
try:
    print(list(descendants.descendants("org/tiny", "finetune")))
except HubError as error:
    print(type(error).__name__, error)
"""


def test_a_hub_that_says_nothing_is_given_up(server: HubServer) -> None:
    """The client's own listing has no time-out at all."""
    server.limits["/api/models"] = Limit(0, silence=3.0)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    clean |= {"HF_ENDPOINT": server.endpoint, "PYTHONPATH": str(PROJECT), "NO_PROXY": "*", "no_proxy": "*"}
    done = subprocess.run([sys.executable, "-c", SILENT], env=clean, capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith("HubOfflineError"), done.stderr
    asked = [path for _, path, _ in server.requests]
    assert asked.count("/api/models") == 6  # the client's tries


def test_an_address_with_a_password_is_not_repeated(server: HubServer, call: Caller) -> None:
    """An address of a mirror may hold one."""
    address = server.endpoint.replace("//", "//somebody:hf_secret@")
    got = call.apart("org/none", HF_ENDPOINT=address, HF_TOKEN="hf_other_secret")
    assert got["error"] == "HubNotFoundError"
    server.down = True
    down = call.apart("org/none", HF_ENDPOINT=address, HF_TOKEN="hf_other_secret")
    assert "127.0.0.1" in down["message"]
    for said in (got, down):
        assert "secret" not in said["message"]
