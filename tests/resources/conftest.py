"""A Hub on this machine, a worker that fetches from it, and a tiny checkpoint to fetch."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.resources.hub_caller import Caller, start_worker
from tests.resources.hub_server import HubServer


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
