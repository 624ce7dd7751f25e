"""Random corruption of headers, indexes and configurations: a clean error or a valid read, soon, in little memory."""

from __future__ import annotations

import json
import random
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_zoo import Example

from resources.checkpoints import CheckpointError, open_checkpoint

Zoo = Callable[[str], Example]
ODD = [
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    1e300,
    "",
    "x",
    "../x",
    "\x00",
    [],
    [[]],
    {},
    {"a": 1},
    "F4",
    [2**61, 4],
    "BF16",
]


def _attempt(folder: Path) -> bool:
    """Open and verify; True when it is valid. Anything but CheckpointError fails the test."""
    start = time.monotonic()
    try:
        checkpoint = open_checkpoint(folder)
        checkpoint.verify_and_hash()
        checkpoint.coverage()
        for key in checkpoint.matrices():
            checkpoint.read(key)
        message = ""
    except CheckpointError as error:
        message = str(error)
    assert time.monotonic() - start < 5
    assert len(message) < 8000
    message.encode()
    return not message


def _flip(random_: random.Random, data: bytearray, limit: int) -> None:
    """Change, delete, insert or cut bytes below ``limit``."""
    for _ in range(random_.choice([1, 1, 1, 3, 10])):
        place = random_.randrange(max(1, min(limit, len(data))))
        what = random_.random()
        if what < 0.6:
            data[place : place + 1] = bytes([random_.randrange(256)])
        elif what < 0.75:
            del data[place : place + random_.randrange(1, 30)]
        elif what < 0.9:
            data[place:place] = random_.choice([b"0", b'"', b"[", b"}", b"9" * 30, b"\xff", b",", b"-"])
        else:
            del data[place:]


def _replace_value(random_: random.Random, value: Any) -> Any:
    """The same JSON with one value somewhere inside made odd."""
    if isinstance(value, dict) and value and random_.random() < 0.9:
        key = random_.choice(list(value))
        changed = dict(value)
        if random_.random() < 0.1:
            del changed[key]
        elif random_.random() < 0.1:
            changed[random_.choice(["", "x", "../x", "model.layers.99.x"])] = changed.pop(key)
        else:
            changed[key] = _replace_value(random_, value[key])
        return changed
    if isinstance(value, list) and value and random_.random() < 0.7:
        place = random_.randrange(len(value))
        return [*value[:place], _replace_value(random_, value[place]), *value[place + 1 :]]
    return random_.choice(ODD)


@pytest.fixture
def shards(zoo: Zoo, tmp_path: Path) -> Path:
    zoo("mixtral").model.save_pretrained(tmp_path / "shards", max_shard_size="40KB")
    return tmp_path / "shards"


@pytest.mark.parametrize("victim", ["config.json", "model.safetensors.index.json", "model-00002-of-00003.safetensors"])
@pytest.mark.parametrize("how", ["bytes", "values"])
def test_random_corruption(shards: Path, victim: str, how: str) -> None:
    path = shards / victim
    assert path.exists()
    original = path.read_bytes()
    header = 8 + int.from_bytes(original[:8], "little") if victim.endswith(".safetensors") else len(original)
    random_ = random.Random(f"{victim} {how}")
    assert _attempt(shards)
    tracemalloc.start()
    valid = 0
    for _ in range(120):
        if how == "bytes":
            data = bytearray(original)
            _flip(random_, data, header)
        else:
            content = original[8:header] if victim.endswith(".safetensors") else original
            text = json.dumps(_replace_value(random_, json.loads(content))).encode()
            data = bytearray(text)
            if victim.endswith(".safetensors"):
                data = bytearray(len(text).to_bytes(8, "little") + text + original[header:])
        path.write_bytes(data)
        valid += _attempt(shards)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 2**20
    assert valid < 120


@pytest.mark.parametrize("victim", ["adapter_config.json", "adapter_model.safetensors"])
def test_random_corruption_of_adapters(zoo: Zoo, tmp_path: Path, victim: str) -> None:
    import copy

    import peft

    settings = peft.LoraConfig(r=2, target_modules=["q_proj"], rank_pattern={"layers.1.*q_proj": 3})
    peft.get_peft_model(copy.deepcopy(zoo("llama").model), settings).save_pretrained(tmp_path / "adapter")
    shutil.copytree(zoo("llama").path, tmp_path / "base")
    path = tmp_path / "adapter" / victim
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text()) | {
        "base_model_name_or_path": "base"
    }
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    original = path.read_bytes()
    header = 8 + int.from_bytes(original[:8], "little") if victim.endswith(".safetensors") else len(original)
    random_ = random.Random(victim)
    assert _attempt(tmp_path / "adapter")
    for number in range(120):
        data = bytearray(original)
        if number % 2 and victim.endswith(".json"):
            data = bytearray(json.dumps(_replace_value(random_, json.loads(original))).encode())
        else:
            _flip(random_, data, header)
        path.write_bytes(data)
        _attempt(tmp_path / "adapter")
