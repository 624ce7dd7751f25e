"""Settings: from the environment, checked, with a device that torch takes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from resources import settings
from resources.settings import PROJECT, SettingsError, load_settings, torch_device


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


VARIABLES = re.findall(r"^\| (ROTOSCALE_\w+) ", settings.__doc__ or "", flags=re.MULTILINE)


def test_the_table_lists_exactly_the_variables_that_are_read() -> None:
    fields = settings.Settings.model_fields.values()
    assert sorted(VARIABLES) == sorted(str(field.validation_alias) for field in fields)
    assert all(field.description for field in fields)


def test_defaults() -> None:
    found = load_settings()
    assert (found.data, found.families) == (PROJECT / "data", PROJECT / "families")
    assert found.architectures is None
    assert found.device == "cpu"
    assert found.workers >= 1
    assert found.memory_gigabytes is None
    assert (found.depth, found.null_draws, found.control_draws) == ("auto", 0, None)
    assert (found.factor_gigabytes, found.seed, found.keep_edits) == (50, 0, "")


def test_every_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATA": "here",
        "FAMILIES": "~/mine",
        "ARCHITECTURES": str(tmp_path / "more"),
        "DEVICE": "cpu:0",
        "WORKERS": "3",
        "MEMORY_GB": "2.5",
        "DEPTH": "full",
        "NULL_DRAWS": "7",
        "CONTROL_DRAWS": "4",
        "FACTOR_GB": "0",
        "KEEP_EDITS": " restore-left ",
        "SEED": "5",
    }.items():
        monkeypatch.setenv(f"ROTOSCALE_{name}", value)
    found = load_settings()
    assert (found.data, found.families) == (tmp_path / "here", Path.home() / "mine")
    assert found.architectures == tmp_path / "more"
    assert (found.device, found.workers, found.memory_gigabytes) == ("cpu:0", 3, 2.5)
    assert (found.depth, found.null_draws, found.control_draws) == ("full", 7, 4)
    assert (found.factor_gigabytes, found.keep_edits, found.seed) == (0, "restore-left", 5)
    assert load_settings(data=tmp_path / "other").data == tmp_path / "other"
    with pytest.raises(SettingsError, match="workers='0' is not a whole number"):
        load_settings(workers=0)
    with pytest.raises(TypeError, match="no setting device"):
        load_settings(device="cpu")  # its name is requested_device
    assert settings.Settings(data=tmp_path, families=tmp_path).workers == 3
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    assert load_settings().control_draws is None  # empty counts as not set


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ROTOSCALE_WORKERS", "inf", "a whole number of at least 1"),
        ("ROTOSCALE_WORKERS", "0", "a whole number of at least 1"),
        ("ROTOSCALE_WORKERS", "nan", "a whole number of at least 1"),
        ("ROTOSCALE_MEMORY_GB", "inf", "a number of at least 0"),
        ("ROTOSCALE_MEMORY_GB", "-1", "a number of at least 0"),
        ("ROTOSCALE_FACTOR_GB", "nan", "a number of at least 0"),
        ("ROTOSCALE_SEED", "1e400", "a whole number from 0"),
        ("ROTOSCALE_SEED", "-1", "a whole number from 0"),
        ("ROTOSCALE_NULL_DRAWS", "inf", "a whole number of at least 0"),
        ("ROTOSCALE_CONTROL_DRAWS", "-1", "a whole number of at least 0"),
        ("ROTOSCALE_CONTROL_DOCUMENTS", "1", "a whole number of at least 2"),
        ("ROTOSCALE_DEPTH", "ful", "auto, standard or full"),
        ("ROTOSCALE_DEVICE", "cuda:x", "cpu, cuda, cuda:N, mps or auto"),
        ("ROTOSCALE_DEVICE", "tpu", "cpu, cuda, cuda:N, mps or auto"),
        ("ROTOSCALE_DATA", "~nobody-of-that-name/x", "a folder"),
    ],
)
def test_a_wrong_value_is_answered_with_the_variable_and_what_it_may_be(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=re.escape(f"{variable}={value!r} is not {said}")):
        load_settings()


def test_auto_is_a_device_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTOSCALE_DEVICE", "auto")
    device = load_settings().device
    assert device != "auto"
    assert torch.ones(2, device=device).sum().item() == 2


def test_an_absent_device_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = f"cuda:{torch.cuda.device_count()}"
    monkeypatch.setenv("ROTOSCALE_DEVICE", absent)
    found = load_settings()  # a page that only reads tables needs no device
    with pytest.raises(SettingsError, match=f"'{absent}' is not available"):
        _ = found.device
    with pytest.raises(SettingsError, match="unknown device"):
        torch_device("tpu")


def test_loading_settings_imports_nothing_heavy() -> None:
    code = (
        "import sys; from resources.settings import load_settings; load_settings().workers\n"
        "print({'torch', 'numpy', 'dagster', 'duckdb'} & set(sys.modules))"
    )
    environment = {"ROTOSCALE_DEVICE": "auto", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
