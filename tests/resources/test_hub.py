"""The Hub path with the real client against a Hub on this machine, never in this process (`hub_caller`)."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from resources import hub
from tests.resources.hub_caller import PROJECT, Caller, on_disk, shards, start_worker
from tests.resources.hub_server import EXPIRED_TOKEN, GOOD_TOKEN, HubServer


def test_a_checkpoint_arrives_whole_and_nothing_else_with_it(
    server: HubServer, call: Caller, checkpoint: dict[str, bytes]
) -> None:
    """Code, pickles, subfolders and second copies of the weights stay on the Hub; what arrives loads."""
    unwanted = {
        "modeling_evil.py": b"raise SystemExit('never run')",
        "pytorch_model.bin": b"pickle",
        "training_args.bin": b"pickle",
        "optimizer.pt": b"pickle",
        "consolidated.safetensors": b"the same once more",
        "consolidated.safetensors.index.json": b'{"weight_map": {"w": "consolidated.safetensors"}}',
        "original/params.json": b"{}",
        "checkpoint-10/model.safetensors": b"an earlier one",
        "README.md": b"words",
        "model[1].safetensors": b"a name that is a pattern",
    }
    commit = server.add("org/tiny", {**checkpoint, **unwanted})
    got = call("org/tiny")
    assert got["commit"] == commit
    assert on_disk(got["path"]) == checkpoint
    assert set(server.fetched()) == set(checkpoint)
    total = sum(map(len, checkpoint.values()))
    steps = got["steps"]
    assert steps[-1] == [total, total]
    assert [s[0] for s in steps] == sorted(s[0] for s in steps)
    assert len(steps) > len(checkpoint) // 2

    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(got["path"], local_files_only=True)
    assert model.config.num_key_value_heads == 2


def test_a_branch_is_pinned_to_the_commit_that_it_was(
    server: HubServer, call: Caller, checkpoint: dict[str, bytes]
) -> None:
    """A branch that moves gives the new commit; the old one is still there and needs no network."""
    first = server.add("org/tiny", checkpoint)
    assert call("org/tiny")["commit"] == first
    changed = {**checkpoint, "generation_config.json": b'{"max_new_tokens": 7}'}
    second = server.add("org/tiny", changed)
    server.requests.clear()
    moved = call("org/tiny")
    assert moved["commit"] == second
    assert on_disk(moved["path"]) == changed
    assert server.fetched() == ["generation_config.json"]  # the weights are the same bytes, fetched once
    assert moved["steps"][-1][1] == len(changed["generation_config.json"])
    server.requests.clear()
    pinned = call("org/tiny", first)
    assert pinned["commit"] == first
    assert on_disk(pinned["path"]) == checkpoint
    assert server.requests == []


def test_without_a_network_the_cache_is_used(server: HubServer, call: Caller, checkpoint: dict[str, bytes]) -> None:
    commit = server.add("org/tiny", checkpoint)
    server.add("org/tiny", checkpoint, branch="refs/pr/1")
    absent = call.apart("org/tiny", HF_HUB_OFFLINE="1")
    assert absent["error"] == "HubSwitchedOffError"
    assert "HF_HUB_OFFLINE" in absent["message"]
    call("org/tiny", "refs/pr/1")
    call("org/tiny")
    for revision in ("main", "refs/pr/1"):
        assert call.apart("org/tiny", revision, HF_HUB_OFFLINE="1")["commit"] == commit
    server.down = True
    assert call("org/tiny")["commit"] == commit
    server.down = False
    got = call.apart("org/tiny", HF_ENDPOINT="http://127.0.0.1:9")
    assert got["commit"] == commit
    assert "cannot be reached" in got["log"]
    assert "in the cache" in got["log"]
    assert call.apart("org/other", HF_ENDPOINT="http://127.0.0.1:9")["error"] == "HubOfflineError"


def test_a_partial_copy_in_the_cache_does_not_count(
    server: HubServer, call: Caller, checkpoint: dict[str, bytes]
) -> None:
    """Other tools put a single config.json into the same cache; a deleted blob leaves a dangling link."""
    commit = server.add("org/tiny", checkpoint)
    got = call("org/tiny")
    (Path(got["path"]) / shards(checkpoint)[0]).resolve().unlink()
    offline = call.apart("org/tiny", HF_HUB_OFFLINE="1")
    assert offline["error"] == "HubSwitchedOffError"
    server.requests.clear()
    assert on_disk(call("org/tiny", commit)["path"]) == checkpoint
    assert server.fetched() == [shards(checkpoint)[0]]


@pytest.mark.parametrize("seed", ["0", "1", "2", "3"])
def test_an_index_beside_the_one_that_is_read_does_not_matter(
    server: HubServer, call: Caller, checkpoint: dict[str, bytes], seed: str
) -> None:
    """Other tools keep further layouts in the same cache. In which order Python's sets are walked must not tell."""
    commit = server.add("org/tiny", checkpoint)
    folder = Path(call("org/tiny")["path"])
    for name in ("consolidated", "model.fp16", "original"):
        (folder / f"{name}.safetensors.index.json").write_text('{"weight_map": {"w": "not-here.safetensors"}}')
    offline = {"HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": seed}
    assert call.apart("org/tiny", **offline)["commit"] == commit
    (folder / "original.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": shards(checkpoint)[0]}}))
    (folder / shards(checkpoint)[1]).unlink()
    assert call.apart("org/tiny", **offline)["error"] == "HubSwitchedOffError"


def test_a_broken_connection_is_resumed_where_it_broke(server: HubServer, call: Caller) -> None:
    """The client keeps whole pieces of 10 MiB; what came after the last of them is asked for again."""
    from safetensors.numpy import save

    piece = 10 * 2**20
    weights = save({"w": np.random.default_rng(0).standard_normal(piece // 7).astype(np.float64)})
    server.add("org/wide", {"config.json": b"{}", "model.safetensors": weights})
    with server.fault("model.safetensors", after=piece + 5000):
        got = call("org/wide")
    assert on_disk(got["path"])["model.safetensors"] == weights
    ranges = [r for method, path, r in server.requests if method == "GET" and path.endswith("model.safetensors")]
    assert ranges == [None, f"bytes={piece}-"]
    assert [s[0] for s in got["steps"]] == sorted(s[0] for s in got["steps"])


def test_a_download_that_cannot_go_on_fails_cleanly_and_the_next_one_does_the_rest(
    server: HubServer, call: Caller, checkpoint: dict[str, bytes]
) -> None:
    server.add("org/tiny", checkpoint)
    name = shards(checkpoint)[1]
    with server.fault(name, times=100, status=500):
        failed = call("org/tiny")
    assert failed["error"] == "HubInterruptedError"
    assert "500" in failed["message"]
    with server.fault(name, times=100, drop=True):
        dropped = call("org/tiny")
    assert dropped["error"] == "HubInterruptedError"
    assert "start again" in dropped["message"]
    assert call.apart("org/tiny", HF_HUB_OFFLINE="1")["error"] == "HubSwitchedOffError"
    server.requests.clear()
    assert on_disk(call("org/tiny")["path"]) == checkpoint
    assert name in server.fetched()
    assert len(server.fetched()) < len(checkpoint)


def test_a_killed_download_leaves_nothing_that_is_read(
    server: HubServer, call: Caller, checkpoint: dict[str, bytes]
) -> None:
    server.add("org/tiny", checkpoint)
    name = shards(checkpoint)[1]
    with server.fault(name, after=5000, pause=threading.Event()) as fault:
        process = start_worker(server, {})
        assert process.stdin
        process.stdin.write(call.question("org/tiny"))
        process.stdin.flush()
        assert fault.reached.wait(30)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    left = list(call.cache.glob("*/blobs/*.incomplete"))
    assert call.apart("org/tiny", HF_HUB_OFFLINE="1")["error"] == "HubSwitchedOffError"
    for file in left:
        os.utime(file, (0, 0))  # as if it were killed long ago
    server.requests.clear()
    assert on_disk(call("org/tiny")["path"]) == checkpoint
    assert name in server.fetched()
    assert not list(call.cache.glob("*/blobs/*.incomplete"))


def test_two_processes_at_once(server: HubServer, call: Caller, checkpoint: dict[str, bytes]) -> None:
    server.add("org/tiny", checkpoint)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(call.apart, ["org/tiny", "org/tiny"]))
    assert results[0]["path"] == results[1]["path"]
    assert on_disk(results[0]["path"]) == checkpoint


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, ["pickle", "save_pretrained('only')"]),
        (
            {"adapter_config.json": b"{}", "adapter_model.bin": b"x"},
            ["pickle", "adapter_model.safetensors", "weights_only=True"],
        ),
        ({"config.json": b"{}", "a/model.safetensors": b"x"}, ["subfolders", "a/model.safetensors"]),
        ({"model-q4.gguf": b"x"}, ["GGUF"]),
        ({"README.md": b"x"}, ["no safetensors weights", "README.md"]),
    ],
)
def test_a_repository_without_safetensors_is_refused_before_downloading(
    server: HubServer, call: Caller, files: dict[str, bytes], said: list[str]
) -> None:
    server.add("org/only", files)
    got = call("org/only")
    assert got["error"] == "HubFormatError"
    assert all(word in got["message"] for word in said), got["message"]
    assert "\n" not in got["message"]
    assert server.fetched("GET") == server.fetched("HEAD") == []


def test_a_gated_repository_says_what_to_do(server: HubServer, call: Caller, checkpoint: dict[str, bytes]) -> None:
    server.add("org/gated", checkpoint, gated=True)
    got = call("org/gated")
    assert got["error"] == "HubGatedError"
    assert "HF_TOKEN" in got["message"]
    assert "https://huggingface.co/org/gated" in got["message"]
    assert server.fetched() == []
    wrong = call.apart("org/gated", HF_TOKEN="hf_secret")
    assert wrong["error"] == "HubGatedError"
    assert "hf_secret" not in wrong["message"]
    expired = call.apart("org/gated", HF_TOKEN=EXPIRED_TOKEN)
    assert expired["error"] == "HubGatedError"
    assert "does not accept the token" in expired["message"]
    assert on_disk(call.apart("org/gated", HF_TOKEN=GOOD_TOKEN)["path"]) == checkpoint


def test_what_does_not_exist(server: HubServer, call: Caller, checkpoint: dict[str, bytes]) -> None:
    server.add("org/tiny", checkpoint)
    for repo, revision, word in [
        ("org/tny", "main", "org/tny"),
        ("org/tiny", "v9", "'v9'"),
        ("org/tiny", "0" * 40, "0" * 40),
    ]:
        got = call(repo, revision)
        assert got["error"] == "HubNotFoundError"
        assert word in got["message"]


def test_no_room_is_noticed_before_downloading(server: HubServer, call: Caller, checkpoint: dict[str, bytes]) -> None:
    server.add("org/huge", checkpoint)
    server.repositories["org/huge"].claimed_sizes[shards(checkpoint)[0]] = 10**18
    got = call("org/huge")
    assert got["error"] == "HubDiskError"
    assert "1000000000.0 GB" in got["message"]
    assert server.fetched() == []


def test_a_disk_that_refuses_in_the_middle(server: HubServer, call: Caller, checkpoint: dict[str, bytes]) -> None:
    """A file-size limit stands in for a full disk: the write really fails, after some files went through."""
    server.add("org/tiny", checkpoint)
    got = call.apart("org/tiny", largest=20_000)
    assert got["error"] == "HubDiskError"
    assert on_disk(call("org/tiny")["path"]) == checkpoint
    (call.folder / "file").write_text("")
    unwritable = call("org/tiny", cache=call.folder / "file" / "cache")
    assert unwritable["error"] == "HubDiskError"


def test_a_server_that_is_no_hub(server: HubServer, call: Caller, checkpoint: dict[str, bytes]) -> None:
    commit = server.add("org/tiny", checkpoint)
    server.repositories["org/tiny"].files["../../etc"] = server.repositories["org/tiny"].files.pop(commit)
    server.repositories["org/tiny"].refs["main"] = "../../etc"
    got = call("org/tiny")
    assert got["error"] == "HubError"
    assert "HF_ENDPOINT" in got["message"]


@pytest.mark.parametrize(
    "repo", ["", "../x", "a/b/c", "a//b", "org/na me", "org/..", "-a/b", "a/b\n", "a/b.git", "a--b/c", "ü/b"]
)
def test_names_from_outside_are_checked(repo: str) -> None:
    with pytest.raises(hub.HubNameError, match="org/name"):
        hub.resolve(repo)


@pytest.mark.parametrize("revision", ["", "../x", "a b", "-x", "x" * 200, "a//b", "main\n", "refs/pr/"])
def test_revisions_from_outside_are_checked(revision: str) -> None:
    with pytest.raises(hub.HubNameError, match="branch, a tag or a commit"):
        hub.resolve("org/name", revision)


def test_importing_costs_nothing() -> None:
    code = "import sys, resources.hub, resources.families; print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "huggingface_hub", "dagster"} & set(json.loads(done.stdout.replace("'", '"')))
