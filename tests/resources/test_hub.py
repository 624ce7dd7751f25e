"""The Hub path with the real client against a Hub on this machine, never in this process.

The client reads HF_ENDPOINT and HF_HUB_OFFLINE when it is imported, so each setting needs a process of its own; a
killed run needs one anyway. Calls with nothing special share one worker, which saves most of the time.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resources import hub
from tests.resources.hub_server import EXPIRED_TOKEN, GOOD_TOKEN, HubServer, Limit

PROJECT = Path(__file__).resolve().parents[2]
WORKER = """
import json, logging, resource, sys
from pathlib import Path
from resources import hub
logging.basicConfig()
for line in sys.stdin:
    a = json.loads(line)
    if a["largest"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (a["largest"], a["largest"]))
    steps = []
    try:
        s = hub.resolve(a["repo"], a["revision"], Path(a["cache"]), lambda done, total: steps.append((done, total)))
        out = {"path": str(s.path), "commit": s.commit}
    except hub.HubError as e:
        out = {"error": type(e).__name__, "message": str(e)}
    print(json.dumps(out | {"steps": steps}), flush=True)
"""


class Caller:
    """Calls `resolve` in other processes, which share one cache."""

    def __init__(self, server: HubServer, worker: subprocess.Popen[str], folder: Path):
        self.server, self.worker, self.folder = server, worker, folder
        self.cache = folder / "hub"

    def question(self, repo: str, revision: str = "main", cache: Path | None = None, largest: int = 0) -> str:
        asked = {"repo": repo, "revision": revision, "cache": str(cache or self.cache), "largest": largest}
        return json.dumps(asked) + "\n"

    def __call__(self, repo: str, revision: str = "main", cache: Path | None = None) -> dict[str, Any]:
        """Call in the shared worker."""
        assert self.worker.stdin
        assert self.worker.stdout
        self.worker.stdin.write(self.question(repo, revision, cache))
        self.worker.stdin.flush()
        return json.loads(self.worker.stdout.readline())

    def apart(self, repo: str, revision: str = "main", largest: int = 0, **env: str) -> dict[str, Any]:
        """Call in a process of its own; what it logged is under "log"."""
        process = start_worker(self.server, env)
        out, err = process.communicate(self.question(repo, revision, largest=largest), timeout=60)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        return json.loads(out) | {"log": err}


def start_worker(server: HubServer, env: dict[str, str], errors: int = subprocess.PIPE) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING_FACE"))}
    clean |= {"HF_ENDPOINT": server.endpoint, "HF_HOME": "/nowhere", "HF_HUB_DISABLE_TELEMETRY": "1"}
    clean |= {"PYTHONPATH": str(PROJECT), "NO_PROXY": "*", "no_proxy": "*", "OMP_NUM_THREADS": "1", **env}
    command, pipe = [sys.executable, "-c", WORKER], subprocess.PIPE
    return subprocess.Popen(command, env=clean, stdin=pipe, stdout=pipe, stderr=errors, text=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a tiny real Llama checkpoint in three or more shards."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("checkpoint")
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="40KB")
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = {f.name: f.read_bytes() for f in folder.iterdir()}
    assert sum(name.endswith(".safetensors") for name in files) >= 3
    return files


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[HubServer, subprocess.Popen[str]]]:
    """The server and the shared worker."""
    with HubServer() as server:
        worker = start_worker(server, {}, subprocess.DEVNULL)  # nobody would empty a pipe
        yield server, worker
        worker.communicate(timeout=30)


@pytest.fixture
def server(running: tuple[HubServer, subprocess.Popen[str]]) -> HubServer:
    running[0].clear()
    return running[0]


@pytest.fixture
def call(server: HubServer, running: tuple[HubServer, subprocess.Popen[str]], tmp_path: Path) -> Caller:
    return Caller(server, running[1], tmp_path)


def shards(files: dict[str, bytes]) -> list[str]:
    return sorted(name for name in files if name.endswith(".safetensors"))


def on_disk(path: str) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in Path(path).iterdir()}


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
