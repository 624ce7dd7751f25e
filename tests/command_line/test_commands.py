"""The `rotoscale` command as its user runs it: in processes of its own, on tiny real checkpoints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from resources.warehouse import current, read
from tests.tiny import truncated_copy

COMMAND = [sys.executable, "-m", "command_line"]


def rotoscale(*arguments: object, data: Path, families: Path | None = None, **options) -> subprocess.CompletedProcess:  # type: ignore[no-untyped-def]
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(data, families),
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


def environment(data: Path, families: Path | None) -> dict[str, str]:
    changed = {"ROTOSCALE_DATA": str(data), "COLUMNS": "200"}
    if families:
        changed["ROTOSCALE_FAMILIES"] = str(families)
    return {**os.environ, **changed}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> tuple[Path, str]:
    """Data folder after `compare base tuned --json`, and what it printed."""
    folder = tmp_path_factory.mktemp("compared")
    result = rotoscale(
        "compare", checkpoints / "base", checkpoints / "tuned", "--json", folder / "rows.json", data=folder / "data"
    )
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_compare_prints_the_verdict_first_and_every_table_when_asked(
    compared: tuple[Path, str], checkpoints: Path
) -> None:
    folder, printed = compared
    pair, first, *_ = printed.splitlines()
    assert pair == "tuned against base"
    assert first.startswith("- tuned, HC1 ")
    assert "tuned, HC3 refuted" in printed
    assert printed.index("Not known") < printed.index("By matrix type")
    tables = ("Most changed outside", "Scale:", "Rotation:", "stand out", "Agreement:", "Energy of")
    assert not any(table in printed for table in tables[:-1])
    wide = rotoscale("compare", checkpoints / "base", checkpoints / "tuned", "--wide", data=folder / "data")
    assert all(table in wide.stdout for table in tables)
    assert "expert" not in wide.stdout  # there are none
    with read(folder / "data" / "published") as connection:
        stored = connection.execute("SELECT page, sentence FROM findings WHERE model_id = 'tuned' ORDER BY page, rank")
        sentences = stored.fetchall()
    flat = " ".join(printed.split())
    assert all(sentence in flat for page, sentence in sentences if page == "pair" or ", HC3 " in sentence)


def test_in_a_pipe_of_80_columns_nothing_is_broken(compared: tuple[Path, str], checkpoints: Path) -> None:
    folder, _ = compared
    result = subprocess.run(
        [*COMMAND, "compare", str(checkpoints / "base"), str(checkpoints / "tuned"), "--wide"],
        env={**environment(folder / "data", None), "COLUMNS": "80"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert not set(result.stdout) & set("…│┃━─\x1b")
    row = next(line.split() for line in result.stdout.splitlines() if line.startswith("gate "))
    assert len(row) == 9
    assert all(float(cell) is not None for cell in row[1:])


def test_a_failed_comparison_leaves_nothing_but_its_message(tmp_path: Path, checkpoints: Path) -> None:
    truncated_copy(checkpoints / "tuned", tmp_path / "truncated")
    data = tmp_path / "data"
    failed = rotoscale("compare", checkpoints / "base", tmp_path / "truncated", data=data)
    assert failed.returncode == 1
    assert "model.safetensors" in failed.stderr
    assert not list((data / "tables").rglob("*.parquet"))
    assert not list((data / "families").glob("*.yaml"))
    assert not (data / "published").exists()
    assert "truncated" not in rotoscale("families", data=data).stdout


def test_compare_writes_rows_that_numpy_agrees_with(compared: tuple[Path, str], checkpoints: Path) -> None:
    folder, _ = compared
    rows = json.loads((folder / "rows.json").read_text())
    base, tuned = (load_file(checkpoints / name / "model.safetensors") for name in ("base", "tuned"))
    parts = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj"}
    parts |= {name: f"mlp.{name}_proj" for name in ("gate", "up", "down")}
    assert len(rows["rotation_statistics"]) == len(rows["scale_statistics"]) == 21
    for row, scale in zip(rows["rotation_statistics"], rows["scale_statistics"], strict=True):
        assert (row["layer"], row["matrix"], row["expert"]) == (scale["layer"], scale["matrix"], -1)
        name = f"model.layers.{row['layer']}.{parts[row['matrix']]}.weight"
        W, X = base[name].double().numpy(), tuned[name].double().numpy()
        U, s, Vh = np.linalg.svd(W, full_matrices=False)
        U2, s2, Vh2 = np.linalg.svd(X, full_matrices=False)
        I_orth = (U.T @ U2).T @ (Vh @ Vh2.T)
        assert row["nf"] == pytest.approx(np.linalg.norm(I_orth - np.eye(len(s))) / len(s) ** 0.5, abs=1e-4)
        assert row["base_error"] == pytest.approx(np.linalg.norm(W - X) / np.linalg.norm(X), rel=1e-6)
        assert scale["alpha_median"] == pytest.approx(np.median((s2 / s)[s > 1e-3 * s[0]]), rel=1e-6)
        assert row["nf_over_null"] == pytest.approx(row["nf"] / row["nf_null"])
        assert row["nf_null_simulated"] is row["null_draws"] is None


def test_compare_again_recomputes_nothing(compared: tuple[Path, str], checkpoints: Path) -> None:
    folder, printed = compared
    before = current(folder / "data" / "published")
    again = rotoscale("compare", checkpoints / "base", checkpoints / "tuned", data=folder / "data")
    assert again.returncode == 0
    assert again.stdout == printed
    assert current(folder / "data" / "published") == before


def test_an_adapter_is_compared_as_its_merged_model(tmp_path: Path, checkpoints: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(checkpoints / "base", dtype=torch.float32)
    lora = get_peft_model(model, LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "up_proj"]))
    for name, parameter in lora.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    lora.save_pretrained(tmp_path / "adapter")
    lora.merge_and_unload().save_pretrained(tmp_path / "merged")
    rows = {}
    for post in ("adapter", "merged"):
        result = rotoscale(
            "compare",
            checkpoints / "base",
            tmp_path / post,
            "--json",
            tmp_path / f"{post}.json",
            data=tmp_path / "data",
        )
        assert result.returncode == 0, result.stderr
        rows[post] = json.loads((tmp_path / f"{post}.json").read_text())["rotation_statistics"]
    changed = [row for row in rows["adapter"] if row["relative_change"] > 0]
    assert {row["matrix"] for row in changed} == {"q", "up"}
    for ours, merged in zip(rows["adapter"], rows["merged"], strict=True):
        assert ours["nf"] == pytest.approx(merged["nf"], abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "{base}", "nowhere/at/all/really"], ["nowhere"]),
        (["compare", "{base}", "{truncated}"], ["model.safetensors", "bytes"]),
        (["compare", "{base}"], ["POST"]),
        (["run", "tunde"], ["tunde", "tuned"]),
        (["compare", "{base}", "{tuned}", "--device", "abacus"], ["abacus", "cuda"]),
        (["frobnicate"], ["frobnicate"]),
    ],
)
def test_errors_are_sentences_with_exit_codes(
    tmp_path: Path, checkpoints: Path, families: Path, arguments: list[str], words: list[str]
) -> None:
    if "{truncated}" in arguments:
        truncated_copy(checkpoints / "tuned", tmp_path / "truncated")
    places = {"base": checkpoints / "base", "tuned": checkpoints / "tuned", "truncated": tmp_path / "truncated"}
    result = rotoscale(*(a.format(**places) for a in arguments), data=tmp_path / "data", families=families)
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr + result.stdout
    for word in words:
        assert word in result.stderr


def test_run_families_and_doctor(tmp_path: Path, families: Path) -> None:
    data = tmp_path / "data"
    listed = rotoscale("families", data=data, families=families)
    assert listed.stdout.count("not started") == 3
    first = rotoscale("run", data=data, families=families)
    assert first.returncode == 0, first.stderr
    assert "HC3" in first.stdout
    assert "3 models brought up to date" in first.stdout
    assert len(first.stdout.splitlines()) < 50  # about a screen: the verdicts
    assert "Lineage: unrelated." not in first.stdout
    everything = rotoscale("run", "--verbose", data=data, families=families)
    assert "Lineage: unrelated." in everything.stdout  # the unrelated model
    assert "What post-training did" in everything.stdout
    again = rotoscale("run", data=data, families=families)
    assert "0 models brought up to date, 3 already were" in again.stdout
    assert rotoscale("families", data=data, families=families).stdout.count("up to date") == 3
    healthy = rotoscale("doctor", data=data, families=families)
    assert healthy.returncode == 0, healthy.stdout
    broken = next((data / "tables").rglob("rows.parquet"))
    broken.write_bytes(b"PAR1")
    sick = rotoscale("doctor", data=data, families=families)
    assert sick.returncode == 1
    assert "WRONG" in sick.stdout


def larger_pair(folder: Path) -> tuple[Path, Path]:
    """A pair whose comparison takes long enough to be killed in the middle: 8 layers of 256 x 704."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=256, intermediate_size=704, num_hidden_layers=8, num_attention_heads=4
    )
    LlamaForCausalLM(config).save_pretrained(folder / "large-base")
    tensors = load_file(folder / "large-base" / "model.safetensors")
    generator = torch.Generator().manual_seed(1)
    moved = {name: t + 0.001 * torch.randn(t.shape, generator=generator) for name, t in tensors.items()}
    (folder / "large-post").mkdir()
    (folder / "large-post" / "config.json").write_text((folder / "large-base" / "config.json").read_text())
    save_file(moved, folder / "large-post" / "model.safetensors", {"format": "pt"})
    return folder / "large-base", folder / "large-post"


def test_a_killed_run_keeps_finished_matrices_and_the_next_does_only_the_rest(tmp_path: Path) -> None:
    base, post = larger_pair(tmp_path)
    data = tmp_path / "data"
    process = subprocess.Popen(
        [*COMMAND, "compare", str(base), str(post)],
        env=environment(data, None),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    # Two records of each pair, of standard and of full depth; the 112 of the base with itself come first.
    while len(finished := list((data / "pairs").rglob("*.json"))) < 120 + 5:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = list((data / "pairs").rglob("*.json"))
    factors = list((data / "factors").glob("??/*.safetensors"))
    before = {path: path.stat().st_mtime_ns for path in finished}
    made = {path: path.stat().st_size for path in factors}
    result = rotoscale("compare", base, post, data=data)
    assert result.returncode == 0, result.stderr
    assert len(list((data / "pairs").rglob("*.json"))) > len(finished)  # it was killed in the middle of the work
    assert {path: path.stat().st_mtime_ns for path in finished} == before
    assert {path: path.stat().st_size for path in factors} == made
    assert not list(data.rglob("*.parquet.*.tmp"))


def test_two_runs_at_once_on_one_base_with_the_published_file_held_open(tmp_path: Path, families: Path) -> None:
    data = tmp_path / "data"
    assert rotoscale("run", "base", data=data, families=families).returncode == 0
    of_base = {path: path.stat().st_ino for path in (data / "factors").glob("??/*.safetensors")}
    assert len(of_base) == 21
    held = current(data / "published")
    assert held is not None
    reader = duckdb.connect(str(held), read_only=True)
    runs = [
        subprocess.Popen(
            [*COMMAND, "run", model],
            env=environment(data, families),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for model in ("tuned", "unrelated")
    ]
    for process in runs:
        _, complaint = process.communicate(timeout=300)
        assert process.returncode == 0, complaint
    assert reader.execute("SELECT count(*) FROM models").fetchone() == (1,)
    reader.close()
    with read(data / "published") as connection:
        assert connection.execute("SELECT count(*) FROM models").fetchone() == (3,)
    assert {path: path.stat().st_ino for path in of_base} == of_base  # decomposed once, replaced by nobody


def test_help_teaches() -> None:
    shown = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    for command in ("compare", "run", "families", "doctor", "ui", "publish"):
        assert command in shown
    assert "Examples" in subprocess.run([*COMMAND, "compare", "-h"], capture_output=True, text=True, check=True).stdout
