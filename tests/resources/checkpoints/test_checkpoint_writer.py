"""Edited checkpoints: what was asked for is changed, every other byte is the source's, nothing is half-made."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers as hf
from checkpoint_zoo import MODELS, Example, loaded_weight, read_raw
from safetensors.torch import load_file, save_file

from resources.checkpoints import Checkpoint, MatrixKey, MissingTensor, WriteError, open_checkpoint
from resources.checkpoints.writer import write_edited

Zoo = Callable[[str], Example]


def _negate(key: MatrixKey, matrix: torch.Tensor) -> torch.Tensor:
    """An edit that is exact in every dtype."""
    return -matrix


def _scope(checkpoint: Checkpoint, *matrices: str) -> list[MatrixKey]:
    """Some matrices of layer 1, of expert 2 where there are experts."""
    return [key for key in checkpoint.matrices() if key.layer == 1 and key.matrix in matrices and key.expert in (-1, 2)]


def _bytes(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        header, data = read_raw(path)
        for name, entry in header.items():
            if name != "__metadata__":
                found[name] = data[slice(*entry["data_offsets"])]
    return found


@pytest.mark.parametrize("name", sorted(MODELS))
def test_only_what_was_asked_for_changes(zoo: Zoo, tmp_path: Path, name: str) -> None:
    source = open_checkpoint(zoo(name).path)
    keys = _scope(source, "q", "kv_b", "up", "gate")
    out = write_edited(source, tmp_path / "out", _negate, keys=keys, manifest={"recipe": "negate"})
    edited = open_checkpoint(out)
    assert edited.matrices() == source.matrices()
    for key in source.matrices():
        assert torch.equal(edited.read(key), -source.read(key) if key in keys else source.read(key)), key
    holders = {source.structure.parts[key].entry.name for key in keys}
    before, after = _bytes(source.path), _bytes(out)
    assert list(before) == list(after)  # the same order too
    assert {tensor for tensor in before if before[tensor] != after[tensor]} == holders
    edited.verify_and_hash()
    back = write_edited(edited, tmp_path / "back", _negate, keys=keys, manifest={})
    assert (back / "model.safetensors").read_bytes() == (source.path / "model.safetensors").read_bytes()


def _generate(folder: Path, kind: Any = hf.AutoModelForCausalLM) -> torch.Tensor:
    model = kind.from_pretrained(folder, dtype=torch.float32)
    tokens = torch.arange(3, 11).view(1, -1)
    return model.generate(tokens, max_new_tokens=4, do_sample=False, pad_token_id=0, eos_token_id=None)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["llama", "llama_tied", "phi3", "gpt2", "gpt_neox", "mixtral", "gpt_oss", "gemma2"])
def test_transformers_loads_the_edit_and_generates(zoo: Zoo, tmp_path: Path, name: str) -> None:
    source = open_checkpoint(zoo(name).path)
    keys = [key for key in source.matrices() if key.matrix in ("q", "up")]
    out = write_edited(source, tmp_path / "out", lambda key, w: 2 * w, keys=keys, manifest={})
    loaded, info = hf.AutoModelForCausalLM.from_pretrained(out, dtype="auto", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    for key in source.matrices():
        assert torch.equal(loaded_weight(name, loaded, key), zoo(name).loaded(key) * (2 if key in keys else 1)), key
    assert _generate(out).shape == (1, 12)


def test_shards_index_and_companions_are_kept(zoo: Zoo, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    zoo("llama").model.save_pretrained(folder, max_shard_size="10KB")
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "merges.txt",
        "chat_template.jinja",
        "LICENSE",
        "spiece.model",
    ):
        (folder / name).write_text("{}")
    for name in ("pytorch_model.bin", "modeling_x.py", "optimizer.pt", "README.md", "training_args.bin"):
        (folder / name).write_text("left behind")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool.jinja").write_text("x")
    source = open_checkpoint(folder)
    seen: list[tuple[int, int]] = []
    out = write_edited(
        source,
        tmp_path / "out",
        _negate,
        keys=_scope(source, "down"),
        manifest={},
        progress=lambda *at: seen.append(at),
    )
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    weights = {path.name for path in folder.glob("*.safetensors*")}
    assert names == weights | {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "merges.txt",
        "chat_template.jinja",
        "LICENSE",
        "spiece.model",
        "additional_chat_templates/tool.jinja",
        "edit.json",
        "README.md",
    }
    same = [name for name in weights if (out / name).read_bytes() == (folder / name).read_bytes()]
    assert len(weights) - len(same) == 1
    assert "left behind" not in (out / "README.md").read_text()
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    assert not list(tmp_path.glob(".*"))


def test_the_manifest_says_what_was_done(zoo: Zoo, tmp_path: Path) -> None:
    source = open_checkpoint(zoo("llama").path)
    manifest = {"recipe": "swap", "alpha": 0.5, "nested": {"a": [1]}}
    out = write_edited(source, tmp_path / "out", _negate, keys=_scope(source, "q"), manifest=manifest)
    content = json.loads((out / "edit.json").read_text())
    assert content["manifest"] == manifest
    assert content["edited"] == ["layers.1.q"]
    assert "swap" in (out / "README.md").read_text()
    for bad in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises(WriteError, match="manifest"):
            write_edited(source, tmp_path / "other", _negate, keys=[], manifest=bad)


def test_none_and_no_keys_copy_the_source(zoo: Zoo, tmp_path: Path) -> None:
    source = open_checkpoint(zoo("phi3").path)
    for keys, edit in (([], _negate), (source.matrices(), lambda key, matrix: None)):
        out = write_edited(source, tmp_path / "out", edit, keys=keys, manifest={})
        assert (out / "model.safetensors").read_bytes() == (source.path / "model.safetensors").read_bytes()


def test_rounding_is_that_of_the_stored_dtype(zoo: Zoo, tmp_path: Path) -> None:
    source = open_checkpoint(zoo("gpt_neox").path)
    keys = _scope(source, "q", "o")
    out = open_checkpoint(write_edited(source, tmp_path / "out", lambda k, w: w * 1.1, keys=keys, manifest={}))
    for key in keys:
        assert torch.equal(out.read(key), (source.read(key) * 1.1).bfloat16().float())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("llama", {"target_modules": ["q_proj", "down_proj", "lm_head"], "modules_to_save": ["norm"]}),
        ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
        ("gpt_neox", {"target_modules": ["query_key_value"]}),
    ],
)
def test_an_adapter_becomes_a_full_checkpoint(zoo: Zoo, tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    made = zoo(name)
    adapted = peft.get_peft_model(copy.deepcopy(made.model).float(), peft.LoraConfig(r=2, **settings))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape) * 0.1)
    adapted.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "tokenizer.json").write_text('{"of": "adapter"}')
    source, base = open_checkpoint(tmp_path / "adapter", base=made.path), open_checkpoint(made.path)
    keys = _scope(source, "k", "down")
    out = write_edited(source, tmp_path / "out", _negate, keys=keys, manifest={})
    edited = open_checkpoint(out)
    assert edited.adapter is None
    assert edited.dtype == "bfloat16"
    for key in source.matrices():
        expected = -source.read(key) if key in keys else source.read(key)
        assert torch.equal(edited.read(key), expected.bfloat16().float()), key
    for other in source.others():
        assert torch.equal(edited.read_other(other), source.read_other(other).bfloat16())
    assert json.loads((out / "tokenizer.json").read_text()) == {"of": "adapter"}
    assert not (out / "adapter_config.json").exists()
    touched = {source.structure.canonical[place] for place in source.adapter.touched()} if source.adapter else set()
    holders = {base.structure.parts[key].entry.name for key in keys}
    before, after = _bytes(made.path), _bytes(out)
    assert {tensor for tensor in before if before[tensor] != after[tensor]} == touched | holders
    assert _generate(out).shape == (1, 12)


def test_what_cannot_be_written_is_refused_before_the_first_byte(zoo: Zoo, tmp_path: Path) -> None:
    tied = zoo("llama_tied")
    settings = peft.LoraConfig(r=2, target_modules=["embed_tokens", "q_proj"])
    peft.get_peft_model(copy.deepcopy(tied.model), settings).save_pretrained(tmp_path / "adapter")
    source = open_checkpoint(tmp_path / "adapter", base=tied.path)
    with pytest.raises(WriteError, match=r"ties together.*merge_and_unload"):
        write_edited(source, tmp_path / "out", _negate, keys=[], manifest={})
    llama = open_checkpoint(zoo("llama").path)
    with pytest.raises(MissingTensor, match=r"layers\.9\.q"):
        write_edited(llama, tmp_path / "out", _negate, keys=[MatrixKey(9, "q")], manifest={})
    folder = tmp_path / "fp8"
    shutil.copytree(zoo("llama").path, folder)
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.1.self_attn.q_proj.weight"
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    tensors[name + "_scale"] = torch.ones(1)
    save_file(tensors, folder / "model.safetensors")
    fp8 = open_checkpoint(folder)
    with pytest.raises(WriteError, match=r"q_proj.*F8_E4M3.*quantized again"):
        write_edited(fp8, tmp_path / "out", _negate, keys=_scope(fp8, "q"), manifest={})
    assert not (tmp_path / "out").exists()
    write_edited(fp8, tmp_path / "out", _negate, keys=_scope(fp8, "k"), manifest={})  # fp8 tensors that stay are fine


BAD_EDITS: dict[str, tuple[Callable[[MatrixKey, torch.Tensor], torch.Tensor], type[Exception], str]] = {
    "shape": (lambda key, w: w[1:], WriteError, r"layers\.1\.q has shape \[31, 32\], expected \[32, 32\]"),
    "nan": (lambda key, w: w * float("nan"), WriteError, r"layers\.1\.q.*1024 values of 1024"),
    "overflow": (lambda key, w: w.sign() * 3.4e38, WriteError, "not finite in bfloat16"),
    "exception": (lambda key, w: 1 / 0, ZeroDivisionError, "division"),  # type: ignore[return-value,dict-item]
}


@pytest.mark.parametrize("case", sorted(BAD_EDITS))
def test_a_failing_edit_leaves_nothing(zoo: Zoo, tmp_path: Path, case: str) -> None:
    source = open_checkpoint(zoo("llama").path)
    edit, error, words = BAD_EDITS[case]
    with pytest.raises(error, match=words):
        write_edited(source, tmp_path / "out", edit, keys=_scope(source, "q"), manifest={})
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_taken(zoo: Zoo, copy_of: Callable[[str], Path], tmp_path: Path) -> None:
    source = open_checkpoint(copy_of("llama"))
    keys = _scope(source, "q")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name in ("mine", "file", "link"):
        with pytest.raises(WriteError, match="Choose another place"):
            write_edited(source, tmp_path / name, _negate, keys=keys, manifest={})
    with pytest.raises(WriteError, match="holds the source"):
        write_edited(source, source.path, _negate, keys=keys, manifest={})
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "do not touch"
    (tmp_path / "empty").mkdir()
    for manifest in ({"run": 1}, {"run": 2}):  # an empty folder is used, one of ours is replaced
        write_edited(source, tmp_path / "empty", _negate, keys=keys, manifest=manifest)
    assert json.loads((tmp_path / "empty" / "edit.json").read_text())["manifest"] == {"run": 2}
    assert not list(tmp_path.glob(".*"))


def _child(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[3],
    )


FULL = """
import resource, signal, sys
from resources.checkpoints import WriteError, open_checkpoint
from resources.checkpoints.writer import write_edited
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
source = open_checkpoint(sys.argv[1])
try:
    write_edited(source, sys.argv[2], lambda k, w: -w, keys=source.matrices(), manifest={})
except WriteError as error:
    print(error)
"""


def test_a_full_disk_is_said_and_leaves_nothing(zoo: Zoo, tmp_path: Path) -> None:
    process = _child(FULL, zoo("llama").path, tmp_path / "out")
    output, errors = process.communicate(timeout=60)
    assert "the disk is full" in output, errors
    assert "Make room" in output
    assert list(tmp_path.iterdir()) == []


SLOW = """
import sys, time
from resources.checkpoints import open_checkpoint
from resources.checkpoints.writer import write_edited
def edit(key, matrix):
    print("writing", flush=True)
    time.sleep(60)
source = open_checkpoint(sys.argv[1])
write_edited(source, sys.argv[2], edit, keys=source.matrices(), manifest={})
"""


@pytest.fixture
def writing(zoo: Zoo, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of writing ``out``."""
    process = _child(SLOW, zoo("llama").path, tmp_path / "out")
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.communicate()


def test_a_killed_run_leaves_nothing_that_is_read_and_is_cleared(
    zoo: Zoo, tmp_path: Path, writing: subprocess.Popen[str]
) -> None:
    source = open_checkpoint(zoo("llama").path)
    assert not (tmp_path / "out").exists()
    write_edited(source, tmp_path / "out", _negate, keys=_scope(source, "q"), manifest={})
    assert len(list(tmp_path.glob(".out.partial-*"))) == 1  # the other run is alive: left alone
    writing.kill()
    writing.wait()
    time.sleep(0.1)
    write_edited(source, tmp_path / "out", _negate, keys=_scope(source, "q"), manifest={})
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_left_of_another_place_goes_when_it_is_old(zoo: Zoo, tmp_path: Path) -> None:
    source = open_checkpoint(zoo("llama").path)
    old, young, aside, lost = (
        tmp_path / f".{name}" for name in ("a.partial-1a", "b.partial-1b", "c.partial-1c-old", "d")
    )
    for folder in (old, young, aside, lost):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"0")
    for folder in (old, aside, lost):
        os.utime(folder, (0, 0))
    write_edited(source, tmp_path / "out", _negate, keys=[], manifest={})
    # One may be about to be locked, one is the only copy of an earlier edit, one is none of ours.
    assert {path.name for path in tmp_path.iterdir()} == {young.name, aside.name, lost.name, "out"}


def test_folders_made_for_what_failed_go_too(zoo: Zoo, tmp_path: Path) -> None:
    source = open_checkpoint(zoo("llama").path)
    with pytest.raises(ZeroDivisionError):
        write_edited(source, tmp_path / "a" / "b" / "out", lambda key, w: 1 / 0, keys=_scope(source, "q"), manifest={})  # type: ignore[arg-type,return-value]
    assert list(tmp_path.iterdir()) == []


def test_killed_between_the_two_renames(zoo: Zoo, tmp_path: Path) -> None:
    source = open_checkpoint(zoo("llama").path)
    out = write_edited(source, tmp_path / "out", _negate, keys=[], manifest={"run": 1})
    out.rename(tmp_path / ".out.partial-abc-old")
    with pytest.raises(ZeroDivisionError):
        write_edited(source, out, lambda key, w: 1 / 0, keys=_scope(source, "q"), manifest={})  # type: ignore[arg-type,return-value]
    assert json.loads((out / "edit.json").read_text())["manifest"] == {"run": 1}


def test_memory_is_that_of_one_tensor(tmp_path: Path) -> None:
    """A checkpoint of 96 MB is rewritten in much less memory than that."""
    folder = tmp_path / "big"
    folder.mkdir()
    hidden, layers = 512, 8
    config = {"model_type": "llama", "hidden_size": hidden, "num_attention_heads": 8, "num_hidden_layers": layers}
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 2048, "tie_word_embeddings": True}))
    tensors = {"model.embed_tokens.weight": torch.zeros(1000, hidden), "model.norm.weight": torch.ones(hidden)}
    for layer in range(layers):
        start = f"model.layers.{layer}."
        for name in ("q", "k", "v", "o"):
            tensors[f"{start}self_attn.{name}_proj.weight"] = torch.zeros(hidden, hidden)
        for name in ("gate", "up"):
            tensors[f"{start}mlp.{name}_proj.weight"] = torch.zeros(2048, hidden)
        tensors[f"{start}mlp.down_proj.weight"] = torch.zeros(hidden, 2048)
    save_file(tensors, folder / "model.safetensors")
    code = """
import resource, sys, torch
from resources.checkpoints import open_checkpoint
from resources.checkpoints.writer import write_edited
torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = open_checkpoint(sys.argv[1])
source.verify_and_hash()
write_edited(source, sys.argv[2], lambda k, w: w + 1, keys=source.matrices(), manifest={})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    output, errors = _child(code, folder, tmp_path / "out").communicate(timeout=120)
    assert (folder / "model.safetensors").stat().st_size > 100 * 2**20
    assert int(output) < 48 * 1024, errors  # KiB; the largest matrix takes 4 MiB
