"""The bad-input table, row by row: each gets its own error with the file, the tensor, both sizes and the remedy."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from checkpoint_zoo import Example, read_raw, write_raw
from safetensors.torch import load_file, save_file

from resources.checkpoints import (
    BadConfig,
    BadIndex,
    CheckpointError,
    CorruptHeader,
    MissingShard,
    MissingTensor,
    NonFiniteWeights,
    PickleCheckpoint,
    QuantizedFormat,
    RemoteCode,
    ShapeMismatch,
    TruncatedFile,
    UnknownArchitecture,
    UnsafePath,
    open_checkpoint,
)
from resources.checkpoints.header import read_header
from rotoscale.errors import RotoscaleError

Copy = Callable[[str], Path]
Zoo = Callable[[str], Example]
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(copy_of: Copy) -> Path:
    return copy_of("llama")


@pytest.fixture
def shards(zoo: Zoo, tmp_path: Path) -> Path:
    zoo("llama").model.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    return tmp_path / "shards"


def _fails(folder: Path, error: type[Exception], *words: str) -> str:
    """The checkpoint fails with this class and a message that holds all the words and one sentence of remedy."""
    with pytest.raises(error) as caught:
        open_checkpoint(folder).verify_and_hash()
    message = str(caught.value)
    assert isinstance(caught.value, RotoscaleError)
    assert str(folder) in message
    for word in words:
        assert word in message, (word, message)
    assert re.search(
        r"\b(Download|Restore|rename|Use|Copy|Give|Convert|Describe|Keep|Check|Replace|Export|Start)\b", message
    ), message
    return message


def _configure(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value != "DELETE"}))


# --- the file itself -------------------------------------------------------------------------------------------------


def test_truncated_data(folder: Path) -> None:
    size = (folder / WEIGHTS).stat().st_size
    os.truncate(folder / WEIGHTS, size - 100)
    _fails(folder, TruncatedFile, f"expected {size} bytes, found {size - 100}", "cut short at tensor 'model.")


def test_truncated_header(folder: Path) -> None:
    os.truncate(folder / WEIGHTS, 200)
    _fails(folder, TruncatedFile, "for the header alone, found 200")


@pytest.mark.parametrize("size", [0, 1, 7])
def test_empty_file(folder: Path, size: int) -> None:
    os.truncate(folder / WEIGHTS, size)
    _fails(folder, TruncatedFile, "at least 8 bytes", "empty" if size == 0 else str(size))


def test_trailing_bytes(folder: Path) -> None:
    with (folder / WEIGHTS).open("ab") as file:
        file.write(b"x" * 10)
    _fails(folder, TruncatedFile, "10 bytes belong to no tensor")


@pytest.mark.parametrize("claim", [2**63, 2**64 - 1, 10**15, 10**8 + 1])
def test_a_header_that_claims_petabytes_allocates_nothing(folder: Path, claim: int) -> None:
    header, data = read_raw(folder / WEIGHTS)
    write_raw(folder / WEIGHTS, header, data, length=claim)
    tracemalloc.start()
    _fails(folder, CorruptHeader, str(claim))
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    tracemalloc.stop()


def test_a_tensor_that_claims_petabytes(folder: Path) -> None:
    header, data = read_raw(folder / WEIGHTS)
    entry = header["model.norm.weight"]
    entry["shape"] = [2**50]
    entry["data_offsets"][1] = entry["data_offsets"][0] + 2**51
    write_raw(folder / WEIGHTS, header, data)
    _fails(folder, TruncatedFile, "model.norm.weight")


LIES: dict[str, tuple[Any, type[Exception], str]] = {
    "not json": (b"{broken", CorruptHeader, "not valid JSON"),
    "not utf-8": (b'{"\xff": 1}', CorruptHeader, "not valid JSON"),
    "a list": (b"[]", CorruptHeader, "expected an object"),
    "deep nesting": (b"[" * 200_000, CorruptHeader, "not valid JSON"),
    "NaN": (b'{"a": NaN}', CorruptHeader, "NaN is not JSON"),
    "a long number": (b'{"a": ' + b"9" * 5000 + b"}", CorruptHeader, "not valid JSON"),
    "twice": (
        b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
        CorruptHeader,
        "'a' stands there twice",
    ),
    "metadata": (b'{"__metadata__": {"a": 1}}', CorruptHeader, "__metadata__"),
}


@pytest.mark.parametrize("case", sorted(LIES))
def test_headers_that_are_no_headers(folder: Path, case: str) -> None:
    text, error, words = LIES[case]
    write_raw(folder / WEIGHTS, text, b"")
    _fails(folder, error, words)


def _fails_in_little_memory(folder: Path, error: type[Exception], *words: str, file: Path) -> None:
    """Refused with the memory that the file itself takes and 16 MB; what is parsed first takes twenty times that."""
    tracemalloc.start()
    _fails(folder, error, *words)
    assert tracemalloc.get_traced_memory()[1] < min(file.stat().st_size, 40 * 2**20) + 16 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(("lists", "data", "words"), [(30, 0, "at most"), (10, 2**27, "values"), (1, 0, "less header")])
def test_headers_of_empty_lists(folder: Path, lists: int, data: int, words: str) -> None:
    """Millions of lists in three bytes each, with and without (sparse) data to go with so long a header."""
    write_raw(folder / WEIGHTS, b'{"a":[' + b"[]," * (lists * 10**6) + b"[]]}", b"")
    os.truncate(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size + data)
    _fails_in_little_memory(folder, CorruptHeader, words, file=folder / WEIGHTS)


def test_a_large_header_of_real_tensors_is_read(tmp_path: Path) -> None:
    """15,000 small tensors: more than a megabyte of header, in front of as much data."""
    size = 2 * 64
    header = {
        f"model.layers.{number}.mlp.weight": {
            "dtype": "BF16",
            "shape": [8, 8],
            "data_offsets": [number * size, (number + 1) * size],
        }
        for number in range(15_000)
    }
    write_raw(tmp_path / WEIGHTS, header, bytes(size * len(header)))
    assert (tmp_path / WEIGHTS).stat().st_size > size * len(header) + 2**20
    assert [entry.name for entry in read_header(tmp_path / WEIGHTS).tensors] == list(header)


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "dtype": ({"dtype": "F99"}, "expected a dtype"),
    "dtype type": ({"dtype": 7}, "expected a dtype"),
    "negative": ({"shape": [-32]}, "whole numbers"),
    "fraction": ({"shape": [32.0]}, "whole numbers"),
    "bool": ({"shape": [True, 32]}, "whole numbers"),
    "no list": ({"shape": "32"}, "whole numbers"),
    "many axes": ({"shape": [1] * 40}, "whole numbers"),
    "huge": ({"shape": [2**62]}, "whole numbers"),
    "wrong size": ({"shape": [31]}, "takes 62 bytes"),
    "three offsets": ({"data_offsets": [0, 1, 2]}, "two offsets"),
    "backwards": ({"data_offsets": [64, 0]}, "takes 64 bytes"),
    "overlap": ({"data_offsets": [0, 64]}, "overlaps"),
    "extra": ({"more": 1}, "expected dtype, shape and data_offsets"),
}


@pytest.mark.parametrize("case", sorted(FIELDS))
def test_lying_fields_name_the_tensor(folder: Path, case: str) -> None:
    header, data = read_raw(folder / WEIGHTS)
    changes, words = FIELDS[case]
    header["model.norm.weight"] |= changes
    write_raw(folder / WEIGHTS, header, data)
    message = _fails(folder, CorruptHeader, words)
    assert "model.norm.weight" in message or case == "overlap"


def test_a_hole_between_tensors(folder: Path) -> None:
    header, data = read_raw(folder / WEIGHTS)
    del header["model.layers.1.input_layernorm.weight"]
    write_raw(folder / WEIGHTS, header, data)
    _fails(folder, CorruptHeader, "leaves a hole after")


def test_hostile_names_cannot_garble_the_terminal(folder: Path) -> None:
    header, data = read_raw(folder / WEIGHTS)
    header["\x1b[2J" + "x" * 10_000] = {"dtype": "F99", "shape": [], "data_offsets": [0, 0]}
    write_raw(folder / WEIGHTS, header, data)
    message = _fails(folder, CorruptHeader, "\\x1b[2J")
    assert "\x1b" not in message
    assert len(message) < 2000


def test_names_without_end(folder: Path) -> None:
    header, data = read_raw(folder / WEIGHTS)
    header["x" * 5000] = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    write_raw(folder / WEIGHTS, header, data)
    _fails(folder, CorruptHeader, "a name of 5000 characters")


@pytest.mark.parametrize("dtype", ["F8_E4M3FNUZ", "F8_E8M0", "BOOL", "U8"])
def test_matrices_of_a_dtype_that_is_no_weight(folder: Path, dtype: str) -> None:
    header, data = read_raw(folder / WEIGHTS)
    entry = header["model.layers.0.mlp.up_proj.weight"]
    entry |= {"dtype": dtype, "shape": [48, 64]}
    write_raw(folder / WEIGHTS, header, data)
    _fails(folder, QuantizedFormat, "model.layers.0.mlp.up_proj.weight", dtype)


# --- shards and their index ------------------------------------------------------------------------------------------


def _edit_index(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    index = json.loads((folder / INDEX).read_text())
    change(index)
    (folder / INDEX).write_text(json.dumps(index))


def test_missing_shard(shards: Path) -> None:
    victim = sorted(shards.glob("model-*.safetensors"))[1]
    victim.unlink()
    _fails(shards, MissingShard, victim.name)


def test_index_naming_absent_tensors(shards: Path) -> None:
    def change(index: dict[str, Any]) -> None:
        first = next(iter(index["weight_map"].values()))
        index["weight_map"]["model.layers.7.mlp.up_proj.weight"] = first

    _edit_index(shards, change)
    _fails(shards, BadIndex, "model.layers.7.mlp.up_proj.weight", "no such tensor")


def test_index_naming_the_wrong_shard(shards: Path) -> None:
    def change(index: dict[str, Any]) -> None:
        first, last = sorted(set(index["weight_map"].values()))[:: len(set(index["weight_map"].values())) - 1]
        name = next(name for name, file in index["weight_map"].items() if file == first)
        index["weight_map"][name] = last

    _edit_index(shards, change)
    _fails(shards, BadIndex, "found it in model-00001")


def test_index_leaving_tensors_out(shards: Path) -> None:
    _edit_index(shards, lambda index: index["weight_map"].pop("model.norm.weight"))
    _fails(shards, BadIndex, "model.norm.weight", "does not name")


def test_the_same_tensor_in_two_shards(shards: Path) -> None:
    first, second = sorted(shards.glob("model-*.safetensors"))[:2]
    save_file(load_file(second) | dict([next(iter(load_file(first).items()))]), second)
    _fails(shards, BadIndex, "is also in")


@pytest.mark.parametrize(
    "text", ["{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', '{"weight_map": []}', "[1]", "x", ""]
)
def test_indexes_that_are_none(shards: Path, text: str) -> None:
    (shards / INDEX).write_text(text)
    _fails(shards, BadIndex, INDEX)


def test_an_index_that_points_to_pickles(shards: Path) -> None:
    _edit_index(shards, lambda index: index["weight_map"].update(a="pytorch_model-00001-of-00002.bin"))
    _fails(shards, BadIndex, "no safetensors file")


def test_an_index_of_absurd_size_is_not_read(shards: Path) -> None:
    os.truncate(shards / INDEX, 2**33)  # sparse: claims 8 GiB, holds nothing
    _fails(shards, BadIndex, "expected at most")


@pytest.mark.parametrize(("lists", "words"), [(20, "at most"), (5, "values")])
def test_indexes_of_empty_lists(shards: Path, lists: int, words: str) -> None:
    (shards / INDEX).write_bytes(b'{"weight_map":[' + b"[]," * (lists * 10**6) + b"[]]}")
    _fails_in_little_memory(shards, BadIndex, words, file=shards / INDEX)


def test_configurations_of_empty_lists(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"a":[' + b"[]," * (2 * 10**6) + b"[]]}")
    _fails_in_little_memory(folder, BadConfig, "values", file=folder / "config.json")


def _transformers_reads(folder: Path) -> torch.Tensor:
    """The first embedding row of what ``from_pretrained`` makes of the folder."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto", local_files_only=True)
    return model.get_input_embeddings().weight[0]


def test_a_file_under_another_name_is_not_the_model(folder: Path) -> None:
    """transformers passes weights.safetensors over and loads the pickle beside it: the scores would be of that one."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).rename(folder / "weights.safetensors")
    _fails(folder, MissingShard, "weights.safetensors", f"rename it to {WEIGHTS}")
    with pytest.raises(OSError, match="no file named"):
        _transformers_reads(folder)
    pickled = tensors | {"model.embed_tokens.weight": tensors["model.embed_tokens.weight"] + 1}
    torch.save(pickled, folder / "pytorch_model.bin")
    assert not torch.equal(_transformers_reads(folder), tensors["model.embed_tokens.weight"][0])
    _fails(folder, MissingShard, "weights.safetensors", "it would load pytorch_model.bin instead")


def test_shards_without_their_index_are_not_loaded(shards: Path) -> None:
    (shards / INDEX).unlink()
    with pytest.raises(OSError, match="no file named"):
        _transformers_reads(shards)
    _fails(shards, MissingShard, "model-00001", f"Download {INDEX} too")


def test_the_index_that_transformers_reads_is_the_only_one(shards: Path) -> None:
    """Another tool's index and a maker's own copy of the weights lie beside it: the choice depends on no order."""
    content = open_checkpoint(shards).content_hash()
    for name in ("consolidated.safetensors.index.json", "a.safetensors.index.json", "z.safetensors.index.json"):
        (shards / name).write_text('{"weight_map": {"a": "nothing.safetensors"}}')
    save_file({"a": torch.ones(1)}, shards / "consolidated.safetensors")
    assert open_checkpoint(shards).content_hash() == content


def test_a_configuration_that_names_other_weights(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    other = tensors | {"model.embed_tokens.weight": tensors["model.embed_tokens.weight"] + 1}
    save_file(other, folder / "other.safetensors", {"format": "pt"})
    _configure(folder, transformers_weights="other.safetensors")
    assert torch.equal(_transformers_reads(folder), other["model.embed_tokens.weight"][0])
    _fails(folder, BadConfig, "transformers_weights", "'other.safetensors'", WEIGHTS)
    _configure(folder, transformers_weights=WEIGHTS)
    open_checkpoint(folder).verify_and_hash()


# --- paths -----------------------------------------------------------------------------------------------------------

ESCAPES = ["../secret.safetensors", "/etc/secret.safetensors", "a/../../secret.safetensors", "..\\secret.safetensors"]


@pytest.mark.parametrize("name", [*ESCAPES, "../secret.bin", "a\0b.safetensors"])
def test_names_that_lead_out_of_the_folder(shards: Path, zoo: Zoo, name: str) -> None:
    shutil.copy(zoo("llama").path / WEIGHTS, shards.parent / "secret.safetensors")
    _edit_index(shards, lambda index: index["weight_map"].update(a=name))
    _fails(shards, UnsafePath, "leads out")


@pytest.mark.parametrize("victim", [WEIGHTS, "config.json"])
def test_links_out_of_the_folder(folder: Path, tmp_path: Path, victim: str) -> None:
    (folder / victim).rename(tmp_path / "outside")
    (folder / victim).symlink_to(tmp_path / "outside")
    _fails(folder, UnsafePath, str(tmp_path / "outside"))
    open_checkpoint(folder, allowed_root=tmp_path).verify_and_hash()


def test_links_through_a_folder(shards: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(shards, outside)
    (shards / "sub").symlink_to(outside)
    _edit_index(shards, lambda index: index.update(weight_map={k: f"sub/{v}" for k, v in index["weight_map"].items()}))
    _fails(shards, UnsafePath, "outside")


def test_links_in_circles_and_to_nothing(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to(WEIGHTS)
    with pytest.raises(CheckpointError):
        open_checkpoint(folder)
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to("nothing")
    with pytest.raises(CheckpointError, match="no such file"):
        open_checkpoint(folder)


def test_the_hubs_own_links_are_fine(zoo: Zoo, tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--llama"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for number, path in enumerate(sorted(zoo("llama").path.iterdir())):
        shutil.copy(path, repository / "blobs" / f"hash{number}")
        (snapshot / path.name).symlink_to(f"../../blobs/hash{number}")
    open_checkpoint(snapshot).verify_and_hash()
    (tmp_path / "mine").symlink_to(snapshot)
    open_checkpoint(tmp_path / "mine").verify_and_hash()
    other = tmp_path / "models--owner--other" / "blobs"
    other.mkdir(parents=True)
    shutil.copy(zoo("llama").path / WEIGHTS, other / "stolen")
    (snapshot / WEIGHTS).unlink()
    (snapshot / WEIGHTS).symlink_to("../../../models--owner--other/blobs/stolen")
    _fails(snapshot, UnsafePath, "models--owner--other")


def test_a_named_pipe_does_not_hang(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)
    _fails(folder, CheckpointError, "not a regular file")


def test_a_folder_in_place_of_a_file(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()
    _fails(folder, CheckpointError, "not a regular file")


def test_paths_that_are_no_checkpoint(folder: Path) -> None:
    for path in (folder / "nothing", folder / WEIGHTS):
        with pytest.raises(CheckpointError, match="Give the folder"):
            open_checkpoint(path)


def test_an_adapter_and_a_whole_model_in_one_folder(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
    open_checkpoint(folder).verify_and_hash()  # what is left of a merge: the model counts
    shutil.copy(folder / WEIGHTS, folder / "adapter_model.safetensors")
    _fails(folder, CheckpointError, "holds an adapter", "whole model")


# --- formats ---------------------------------------------------------------------------------------------------------


def test_pickles_are_refused_with_the_conversion(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    message = _fails(folder, PickleCheckpoint, "pytorch_model.bin", "can execute code")
    assert f"python -c \"from transformers import AutoModelForCausalLM as M; M.from_pretrained('{folder}'" in message


def test_pickled_adapters_are_refused(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(PickleCheckpoint, match="save_file"):
        open_checkpoint(tmp_path, base=zoo("llama").path)


def test_gguf_is_refused_by_name(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model.gguf")
    _fails(folder, QuantizedFormat, "GGUF")


def test_a_folder_without_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    _fails(folder, MissingShard, "config.json", WEIGHTS)


def test_unknown_architecture_lists_the_tensors(folder: Path) -> None:
    _configure(folder, model_type="mystery")
    _fails(folder, UnknownArchitecture, "'mystery'", "model.layers.0.mlp.up_proj.weight", "architectures/<name>.yaml")


def test_remote_code_is_refused_by_name_and_never_run(folder: Path) -> None:
    (folder / "modeling_mystery.py").write_text("raise SystemExit('executed')")
    remote = {"AutoModelForCausalLM": "modeling_mystery.Mystery"}
    _configure(folder, model_type="mystery", auto_map=remote)
    _fails(folder, RemoteCode, "modeling_mystery.Mystery", "never executed")
    _configure(folder, model_type="llama", auto_map=remote)
    open_checkpoint(folder).verify_and_hash()  # the layout is known: the code is not needed


# --- configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "x", "[]", "{", '{"a": 1, "a": 2}'])
def test_configurations_that_are_none(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    _fails(folder, BadConfig, "config.json")


def test_a_missing_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()
    _fails(folder, CheckpointError, "config.json", "no such file")


@pytest.mark.parametrize("value", [0, -1, 2.5, "2", True, [2], 2**40, {"a": 1}])
def test_sizes_that_are_none(folder: Path, value: Any) -> None:
    _configure(folder, num_hidden_layers=value)
    _fails(folder, BadConfig, "num_hidden_layers")


@pytest.mark.parametrize("key", ["architectures", "tie_word_embeddings", "text_config", "torch_dtype", "vocab_size"])
@pytest.mark.parametrize("value", [None, 7, "x", [1], {"a": [None]}])
def test_other_odd_values_give_no_traceback(folder: Path, key: str, value: Any) -> None:
    _configure(folder, **{key: value})
    with contextlib.suppress(CheckpointError):
        open_checkpoint(folder).verify_and_hash()


def test_model_type_may_be_anything(folder: Path) -> None:
    for value in (None, 7, ["llama"], {"a": 1}):
        _configure(folder, model_type=value)
        _fails(folder, UnknownArchitecture)


def test_a_configuration_of_another_size(folder: Path) -> None:
    _configure(folder, intermediate_size=64)
    _fails(folder, ShapeMismatch, "gate_proj", "expected [64, 32]", "found [48, 32]", "intermediate")
    _configure(folder, intermediate_size=48, num_key_value_heads=4)
    _fails(folder, ShapeMismatch, "k_proj", "kv_heads*head_dim")
    _configure(folder, num_key_value_heads=2, num_hidden_layers=1)
    _fails(folder, ShapeMismatch, "1 layers", "layer 1")
    _configure(folder, num_hidden_layers=3)
    _fails(folder, MissingTensor, "layer 2 lacks")
    _configure(folder, num_hidden_layers=2, num_attention_heads=7, head_dim=None)
    _fails(folder, BadConfig, "no whole number")


def test_absurd_numbers_of_layers_and_experts_end_soon(folder: Path, copy_of: Copy) -> None:
    _configure(folder, num_hidden_layers=2**31 - 1)
    _fails(folder, MissingTensor, "layer 2 lacks")
    moe = copy_of("mixtral")
    _configure(moe, num_local_experts=2**31 - 1)
    _fails(moe, MissingTensor, "layer 0 lacks")


def test_a_missing_matrix_names_what_the_layer_has(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors["model.layers.1.self_attn.k_proj.weight"]
    save_file(tensors, folder / WEIGHTS)
    _fails(folder, MissingTensor, "layer 1 lacks model.layers.1.self_attn.k_proj.weight", "self_attn.q_proj.weight")


def test_a_missing_embedding_or_head(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    save_file({k: v for k, v in tensors.items() if k != "lm_head.weight"}, folder / WEIGHTS)
    _fails(folder, MissingTensor, "lm_head.weight", "not tied")
    save_file({k: v for k, v in tensors.items() if k != "model.embed_tokens.weight"}, folder / WEIGHTS)
    _fails(folder, MissingTensor, "model.embed_tokens.weight")


def test_the_wrong_prefix(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    save_file({"net." + name: value for name, value in tensors.items()}, folder / WEIGHTS)
    _fails(folder, MissingTensor, "net.model.embed_tokens.weight")


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"])
def test_nan_and_infinity(folder: Path, name: str, value: float) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors[name].view(-1)[3:5] = value
    save_file(tensors, folder / WEIGHTS)
    _fails(folder, NonFiniteWeights, name, "holds 2 NaN or infinite values of")
    checkpoint = open_checkpoint(folder)
    with pytest.raises(NonFiniteWeights, match=r"layers\.1\.up|norm\.weight"):
        [checkpoint.read(key) for key in checkpoint.matrices()] + [
            checkpoint.read_other(n) for n in checkpoint.others()
        ]
    checkpoint.content_hash()  # identity can be had of a broken model too


def test_large_finite_values_are_no_infinity(folder: Path) -> None:
    """Their sum overflows, they do not."""
    tensors = load_file(folder / WEIGHTS)
    tensors["model.norm.weight"].fill_(3e38)
    save_file(tensors, folder / WEIGHTS)
    open_checkpoint(folder).verify_and_hash()


def test_a_file_that_shrinks_while_it_is_used(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    keys = checkpoint.matrices()
    os.truncate(folder / WEIGHTS, 6000)
    with pytest.raises(CheckpointError, match="replaced while it was in use"):
        [checkpoint.read(key) for key in keys]


def test_asking_for_what_is_not_there(folder: Path) -> None:
    from resources.checkpoints import MatrixKey

    checkpoint = open_checkpoint(folder)
    with pytest.raises(MissingTensor, match=r"no matrix layers\.9\.q"):
        checkpoint.read(MatrixKey(9, "q"))
    with pytest.raises(MissingTensor, match="no tensor 'x'"):
        checkpoint.read_other("x")
