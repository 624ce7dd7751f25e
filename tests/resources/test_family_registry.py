"""All family files together: what is shipped, order, contradictions, unknown models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from resources.families import FamilyFileError, UnknownModel, load_registry
from tests.resources.family_files import GOOD, PROJECT, SHIPPED, write


def test_shipped_registry() -> None:
    registry = load_registry(SHIPPED)
    assert list(registry.families["demo"].models) == [m for m in registry.models.values() if m.family == "demo"]
    demo = {m.id: (m.role, m.base, m.method) for m in registry.families["demo"].models}
    assert demo == {
        "demo-base": ("base", None, "base"),
        "demo-instruct": ("descendant", "demo-base", "instruct"),
        "demo-reasoning": ("descendant", "demo-base", "reasoning"),
        "demo-math": ("descendant", "demo-base", "math"),
        "demo-math-lora": ("descendant", "demo-base", "adapter"),
        "demo-scratch": ("unrelated", "demo-base", "scratch"),
    }
    assert registry.model("demo-math").path == PROJECT / "demo" / "checkpoints" / "demo-math"
    assert {m.id for m in registry.automatic()} == set(demo)  # nothing is downloaded unasked
    assert registry.model("olmo-2-7b-instruct").all_references == ("olmo-2-7b", "olmo-2-7b-dpo")
    assert registry.model("olmo-2-7b").all_references == ("olmo-2-7b",)
    assert [m.id for m in registry.closure(["olmo-2-7b-instruct"])] == [
        "olmo-2-7b", "olmo-2-7b-sft", "olmo-2-7b-dpo", "olmo-2-7b-instruct",
    ]  # fmt: skip
    hubs = {m.hub for m in registry.models.values() if m.hub}
    assert len(hubs) == 18
    assert "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B" in hubs


def test_families_of_several_folders_in_an_order_that_can_be_run(tmp_path: Path) -> None:
    """Files are read by name; a base of a later file still comes before its descendants."""
    write(
        tmp_path / "a",
        "family: a\nmodels:\n- {id: a2, base: b1, references: [a1], path: x}\n- {id: a1, base: b1, path: y}",
    )
    write(tmp_path / "b", "family: b\nautomatic: false\nmodels:\n- {id: b1, role: base, path: z}", "b.yml")
    write(tmp_path / "b", "not: [read", ".hidden.yaml")
    registry = load_registry(tmp_path / "a", tmp_path / "b", tmp_path / "none", tmp_path / "a")
    assert list(registry.models) == ["b1", "a1", "a2"]
    assert list(registry.families) == ["a", "b"]
    assert [m.id for m in registry.automatic()] == ["a1", "a2"]
    assert [m.id for m in registry.closure(["a1"])] == ["b1", "a1"]
    assert registry.family_of("b1").name == registry.model("b1").family == "b"
    assert registry.model("b1").file == tmp_path / "b" / "b.yml"


def test_contradictions_between_files_name_both(tmp_path: Path) -> None:
    one = write(tmp_path, "family: one\nmodels:\n- {id: same, role: base, path: x}", "one.yaml")
    two = write(
        tmp_path,
        "family: two\nmodels:\n- {id: other, role: base, path: x}\n- {id: same, role: base, path: x}",
        "two.yaml",
    )
    with pytest.raises(FamilyFileError, match=re.escape(f"{two}, line 4: ") + ".*" + re.escape(f"{one}, line 3")):
        load_registry(tmp_path)
    write(tmp_path, "title: x\nfamily: one\nmodels:\n- {id: other, role: base, path: x}", "two.yaml")
    with pytest.raises(FamilyFileError, match=re.escape(f"{two}, line 2: ") + ".*" + re.escape(str(one))):
        load_registry(tmp_path)


def test_a_circle_is_refused(tmp_path: Path) -> None:
    text = (
        "family: f\nmodels:\n- {id: r, role: base, path: x}\n"
        "- {id: a, base: b, path: x}\n- {id: b, base: r, references: [a], path: x}"
    )
    file = write(tmp_path, text)
    with pytest.raises(FamilyFileError, match=r"line [45]: .*circle .*(a -> b -> a|b -> a -> b)") as caught:
        load_registry(tmp_path)
    assert str(file) in str(caught.value)


def test_unknown_model(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    registry = load_registry(tmp_path)
    with pytest.raises(UnknownModel, match=r'"small-bsae".*Did you mean "small-base"'):
        registry.model("small-bsae")
    with pytest.raises(UnknownModel, match="Registered are: small-base, "):
        registry.model("qqq")
    with pytest.raises(UnknownModel, match=re.escape(f"was found in {tmp_path}/none.")):
        load_registry(tmp_path / "none").model("x")
    with pytest.raises(UnknownModel):
        registry.closure(["small-base", "nobody"])
