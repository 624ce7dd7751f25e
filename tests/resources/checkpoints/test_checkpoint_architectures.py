"""Architecture files: a user's own beside those that ship, and mistakes named by file, line and key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_zoo import Example
from safetensors.torch import load_file, save_file

from resources.checkpoints import BadArchitectureFile, UnknownArchitecture, open_checkpoint
from resources.checkpoints.known_layouts import SHIPPED, VARIABLE, layouts

Zoo = Callable[[str], Example]

OWN = """\
# A maker's own names for Llama's matrices, gate and up in one tensor.
extends: llama
model_types:
  mine: {num_key_value_heads: 2}
  mine_too:

layer: "blocks.{layer}."
blocks:
  mlp:
    fused:
      - {tensor: mlp.gate_up.weight, parts: {gate: intermediate, up: intermediate}, in: hidden}
      - {tensor: mlp.down_proj.weight, parts: {down: hidden}, in: intermediate}
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a user's own folder."""
    folder = tmp_path / "architectures"
    folder.mkdir()
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder / "mine.yaml"


def _renamed(folder: Path, target: Path) -> Path:
    """The llama example as the maker of OWN would store it."""
    target.mkdir()
    tensors = {
        name.replace(".layers.", ".blocks."): value for name, value in load_file(folder / "model.safetensors").items()
    }
    for layer in range(2):
        stem = f"model.blocks.{layer}.mlp."
        halves = [tensors.pop(f"{stem}{part}_proj.weight") for part in ("gate", "up")]
        tensors[stem + "gate_up.weight"] = torch.cat(halves)
    save_file(tensors, target / "model.safetensors")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "mine"}
    (target / "config.json").write_text(json.dumps(config))
    return target


def test_a_file_of_ones_own_adds_an_architecture(zoo: Zoo, tmp_path: Path, own: Path) -> None:
    folder = _renamed(zoo("llama").path, tmp_path / "model")
    with pytest.raises(UnknownArchitecture, match=VARIABLE):
        open_checkpoint(folder)
    own.write_text(OWN)
    checkpoint = open_checkpoint(folder)
    checkpoint.verify_and_hash()
    for key in checkpoint.matrices():
        assert torch.equal(checkpoint.read(key), zoo("llama").loaded(key)), key
    assert set(layouts()) >= {"llama", "mine", "mine_too"}


def test_the_folder_is_read_again_when_a_file_changes(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write_text(OWN)
    assert "mine" in layouts()
    own.with_name("other.yml").write_text("extends: mine\nmodel_types: {another: {}}\n")
    assert layouts()["another"].layer == "blocks.{layer}."
    own.with_name("other.yml").unlink()
    assert "another" not in layouts()
    monkeypatch.delenv(VARIABLE)
    assert "mine" not in layouts()


def test_what_ships_cannot_be_replaced(own: Path) -> None:
    for taken, holder in (("qwen2", "llama.yaml"), ("llava", "wrappers.yaml")):
        own.write_text(f"extends: llama\nmodel_types:\n  mine: {{}}\n  {taken}: {{}}\n")
        with pytest.raises(
            BadArchitectureFile, match=rf"line 4: model_types\.{taken}: .*{SHIPPED / holder} already"
        ) as e:
            layouts()
        assert str(own) in str(e.value)
    own.unlink()
    for name in ("llama", "common"):
        (own.parent / f"{name}.yaml").write_text(OWN)
        with pytest.raises(
            BadArchitectureFile, match=rf"{own.parent / name}.yaml: {SHIPPED / name}.yaml has the same name"
        ):
            layouts()
        (own.parent / f"{name}.yaml").unlink()


def test_a_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(BadArchitectureFile, match=rf"{VARIABLE} names {tmp_path}/nowhere, which is no folder"):
        layouts()
    monkeypatch.setenv(VARIABLE, "")
    assert "llama" in layouts()


#: what is replaced in OWN, by what -> line and words of the answer
MISTAKES = {
    ("blocks:", "bloks:"): (8, r"bloks: is not a known key\. Did you mean 'blocks'\?"),
    ("in: hidden}", "inn: hidden}"): (11, r"blocks\.mlp\.fused\[0\]\.inn: is not a known key\. Did you mean 'in'\?"),
    (", in: hidden}", "}"): (11, r"blocks\.mlp\.fused\[0\]: lacks in"),
    ("in: hidden}", "in: hidden, stored: inout}"): (11, r"stored: expected out_in or in_out, .*'inout'\. Did you mean"),
    ("extends: llama", "extends: lama"): (2, r"extends: there is no architecture 'lama'\. Did you mean 'llama'\?"),
    ("extends: llama", "extends: mine"): (2, r"extends: mine extends mine\. Break the circle"),
    ("extends: llama", "head: lm_head.weight"): (1, r"the file: lacks prefixes"),
    ("gate: intermediate,", "gate: intermediate-1,"): (11, r"parts\.gate: expected a size, .* found 'intermediate-1'"),
    ("gate: intermediate,", "gate: [1],"): (11, r"parts\.gate: expected a size, .* found a list"),
    ("{gate: intermediate, up: intermediate}", "{}"): (11, r"parts: expected a table, found an empty one"),
    ("  mine_too:", "  mine: {}"): (4, r"model_types\.mine: stands there twice, again in line 5"),
    ("{num_key_value_heads: 2}", "{num_key_value_heads: [2]}"): (4, r"num_key_value_heads: expected a number"),
    ("{num_key_value_heads: 2}", "seven"): (4, r"model_types\.mine: expected a table, found 'seven'"),
    ('"blocks.{layer}."', "blocks."): (7, r"layer: expected a start of names, .* found 'blocks\.'"),
    ("    fused:", "    fused: ["): (11, r"not valid YAML"),
    ("blocks:", "when: {fusd: {a: 1}}\nblocks:"): (8, r"when\.fusd: expected a variant.*Did you mean 'fused'\?"),
    ("blocks:", "skipped: [['(a', b]]\nblocks:"): (8, r"skipped\[0\]: '\(a' is no regular expression"),
    ("blocks:", "aliases: [[a, b, c]]\nblocks:"): (8, r"aliases\[0\]: expected a list of two texts"),
    ("blocks:", "prefixes: []\nblocks:"): (8, r"prefixes: expected a list, found an empty one"),
}


@pytest.mark.parametrize("change", MISTAKES)
def test_a_mistake_is_named_with_its_line(own: Path, change: tuple[str, str]) -> None:
    line, words = MISTAKES[change]
    assert change[0] in OWN
    own.write_text(OWN.replace(*change, 1))
    with pytest.raises(BadArchitectureFile, match=rf"^{own}, line {line}: .*{words}"):
        layouts()


@pytest.mark.parametrize("text", ["- a list\n", "just a word\n", "", "\x00", b"\xff\xfe"])
def test_files_that_are_none(own: Path, text: str | bytes) -> None:
    own.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadArchitectureFile, match=str(own)):
        layouts()
