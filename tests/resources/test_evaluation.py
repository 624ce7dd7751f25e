"""Real lm-eval on really trained tiny models: right scores, failures with reasons, nothing scored twice."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from resources.evaluation import probes
from resources.evaluation.contrasts import Comparison, contrast_rows
from resources.evaluation.harness import Harness, HarnessError
from resources.evaluation.scores import Scores
from resources.evaluation.scoring import Scorer
from resources.evaluation.store import ResultStore
from resources.evaluation.subjects import NotFinite, Subject, SubjectError, loaded, model_subject
from resources.evaluation.weights import content_hash
from resources.families import Task
from resources.location import Location
from tests.speakers import make_speakers, make_tasks

PROMPTS = ("a b c d e f g h", "m n o p q r", "x y z a b c d e f")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("speakers")
    make_tasks(made / "tasks")
    return make_speakers(made)


@pytest.fixture(scope="module")
def harness(folder: Path) -> Harness:
    return Harness(folder / "tasks")


def subject(folder: Path, name: str) -> Subject:
    location = Location(folder / name, folder / "speaker" if name == "adapter" else None)
    return model_subject(name, content_hash(location.path, location.base), location, folder / "scratch")


def without_weights(name: str, content_hash: str) -> Subject:
    """A subject whose weights cannot be had any more."""
    return model_subject(name, content_hash, Location(Path("/nowhere")), Path("/nowhere"))


def plainly_loaded(folder: Path, name: str) -> tuple[AutoModelForCausalLM, AutoTokenizer]:
    place = folder / name
    return AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(place)


@pytest.fixture(scope="module")
def scores(folder: Path, harness: Harness) -> dict[str, Scores]:
    model, tokenizer = plainly_loaded(folder, "speaker")
    return {name: harness.score(model, tokenizer, Task(name)) for name in ("next_letter", "lines")}


# -------------------------------------------------------------------------------------------------------- the scores


def test_accuracy_and_its_error_are_those_of_plain_forward_passes(folder: Path, scores: dict[str, Scores]) -> None:
    model, tokenizer = plainly_loaded(folder, "speaker")
    right, log_likelihood = [], []
    for line in (folder / "tasks" / "next_letter.jsonl").read_text().splitlines():
        document = json.loads(line)
        ids = tokenizer(document["prompt"], return_tensors="pt").input_ids
        (answer,) = tokenizer(document["answer"], add_special_tokens=False).input_ids
        with torch.inference_mode():
            logits = model(ids).logits[0, -1].double()
        right.append(float(logits.argmax() == answer))
        log_likelihood.append(float(logits.log_softmax(0)[answer]))
    rows = {row["metric"]: row for row in scores["next_letter"].rows}
    assert rows["acc"]["value"] == pytest.approx(np.mean(right))
    assert rows["acc"]["stderr"] == pytest.approx(np.std(right, ddof=1) / len(right) ** 0.5)
    assert rows["perplexity"]["value"] == pytest.approx(math.exp(-np.mean(log_likelihood)), rel=1e-5)
    assert 0 < rows["perplexity"]["stderr"] < rows["perplexity"]["value"]
    assert rows["acc"]["is_primary"]
    assert not rows["perplexity"]["is_primary"]
    assert (rows["acc"]["n_samples"], rows["acc"]["n_shot"], rows["acc"]["task_version"]) == (60, 0, "1.0")
    assert (rows["acc"]["higher_is_better"], rows["perplexity"]["higher_is_better"]) == (True, False)
    samples = {sample.metric: sample for sample in scores["next_letter"].samples}
    assert samples["acc"].single().tolist() == right
    assert samples["acc"].documents == list(range(60))


def test_word_perplexity_is_weighted_over_documents(scores: dict[str, Scores]) -> None:
    (row,) = scores["lines"].rows
    (sample,) = scores["lines"].samples
    logs = np.array(sample.scores)
    assert row["value"] == pytest.approx(math.exp(-logs[:, 0].sum() / logs[:, 1].sum()))
    assert sample.single()[3] == pytest.approx(math.exp(-logs[3, 0] / logs[3, 1]))
    assert 0 < row["stderr"] < 1


def test_results_survive_being_stored(scores: dict[str, Scores], tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for name, found in scores.items():
        store.keep(found.as_json(), name, 1)
        again = Scores.from_json(store.find(name, 1))
        assert again.rows == found.rows
        assert np.array_equal(again.samples[0].single(), found.samples[0].single())
    assert store.find("other") is None


def test_a_stored_result_that_was_edited_or_has_another_shape_counts_as_absent(
    scores: dict[str, Scores], tmp_path: Path
) -> None:
    store, key = ResultStore(tmp_path), ("score", 1, "hash")
    whole = scores["next_letter"].as_json()
    store.keep(whole, *key)
    assert store.find(*key) == whole
    text = store.path(*key).read_text()
    value = next(row["value"] for row in whole["rows"] if row["metric"] == "acc")
    assert f'"value":{value}' in text
    for damaged in (text.replace(f'"value":{value}', '"value":0.999'), text[:100], "{cut short", "[]", '"text"'):
        store.path(*key).write_text(damaged)
        assert store.find(*key) is None
    short = {**whole, "samples": [{**whole["samples"][0], "scores": [["high"]]}]}
    without = {**whole, "rows": [{"task": "next_letter"}]}
    for shape in ({"rows": []}, [], "text", None, 3, {"rows": 1, "samples": 2}, without, short):
        store.keep(shape, *key)
        assert store.find(*key) is None
    for kind in ("generations", "entropies", "cka", "broken"):
        for shape in ([{"layer": "one"}], {"a": 1}, 3, None, [[3]], ["text"]):
            store.keep(shape, kind, 1)
            assert store.find(kind, 1) is None


def test_the_command_line_of_lm_eval_gives_the_same_number(
    folder: Path, scores: dict[str, Scores], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--tasks", "next_letter", "--device", "cpu"]
    arguments = f"pretrained={folder / 'speaker'},dtype=float32"
    where = ["--include_path", str(folder / "tasks"), "--output_path", str(tmp_path), "--batch_size", "8"]
    result = subprocess.run(
        [*command, "--model_args", arguments, *where],
        cwd=tmp_path,  # a folder that has nothing to do with the tasks
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "DISABLE_MULTIPROC": "1"},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    (file,) = tmp_path.rglob("results_*.json")
    theirs = json.loads(file.read_text())["results"]["next_letter"]
    ours = {row["metric"]: row for row in scores["next_letter"].rows}
    assert ours["acc"]["value"] == theirs["acc,none"]
    assert ours["acc"]["stderr"] == pytest.approx(theirs["acc_stderr,none"])
    assert ours["perplexity"]["value"] == pytest.approx(theirs["perplexity,none"], rel=1e-5)


def test_limit_and_shots_reach_the_task(folder: Path, harness: Harness) -> None:
    model, tokenizer = plainly_loaded(folder, "speaker")
    found = harness.score(model, tokenizer, Task("next_letter", limit=7))
    assert {row["n_samples"] for row in found.rows} == {7}
    assert found.samples[0].documents == list(range(7))
    assert harness.identity(Task("next_letter", limit=7)) != harness.identity(Task("next_letter"))


def test_templates_and_tokens_are_made_once_for_all_models_of_a_process(folder: Path, harness: Harness) -> None:
    from lm_eval.utils import apply_template, env

    task = Task("next_letter", limit=5)
    harness.score(*plainly_loaded(folder, "speaker"), task)
    encoded = dict(harness.encoded)
    compiled = env.from_string.cache_info().misses
    another = Harness(folder / "tasks")
    another.score(*plainly_loaded(folder, "fluent"), task)
    assert encoded
    assert another.encoded == encoded
    assert env.from_string.cache_info().misses == compiled
    assert [apply_template("{{a}}", {"a": value}) for value in "xy"] == ["x", "y"]


# ------------------------------------------------------------------------------------------------------------ failures


def test_a_task_that_does_not_exist_or_has_no_data(folder: Path, harness: Harness) -> None:
    with pytest.raises(HarnessError, match=r"no_data: its data .*/nowhere/gone\.jsonl"):
        harness.identity(Task("no_data"))
    lonely = Harness(folder / "nowhere")
    with pytest.raises(HarnessError, match=r"there is no folder .*nowhere"):
        lonely.identity(Task("next_letter"))


def test_a_broken_model_is_found_before_it_is_scored(folder: Path) -> None:
    with pytest.raises(NotFinite, match="computes NaN or infinity"), loaded(subject(folder, "broken"), "cpu"):
        pass
    empty = without_weights("empty", "x")
    with pytest.raises(SubjectError, match="empty cannot be loaded"), loaded(empty, "cpu"):
        pass


def test_failures_are_results_and_the_rest_goes_on(folder: Path, harness: Harness, tmp_path: Path) -> None:
    tasks = [Task("no_data"), Task("lines"), Task("next_letter", limit=5)]
    scorer = Scorer(harness, ResultStore(tmp_path), tasks, PROMPTS)
    found = scorer.results(subject(folder, "speaker"))
    assert set(found.scores) == {"lines", "next_letter"}
    assert "gone.jsonl" in found.failures["no_data"]
    assert not scorer.is_complete(found)
    broken = scorer.results(subject(folder, "broken"))
    assert set(broken.failures) == {"no_data", "lines", "next_letter"}
    assert "NaN" in broken.failures["lines"]
    assert broken.generations == []


# ------------------------------------------------------------------------------------------------------------- resume


def test_nothing_is_scored_twice(folder: Path, tmp_path: Path) -> None:
    """A second run finds everything in the store: it would fail if it had to load the model, which is gone."""
    store, tasks = ResultStore(tmp_path), [Task("next_letter", limit=10)]
    whole = subject(folder, "fluent")
    reference = subject(folder, "speaker")

    def scorer(tasks: list[Task], seed: int = 0) -> Scorer:
        return Scorer(Harness(folder / "tasks", seed), store, tasks, PROMPTS, references=[reference])

    first = scorer(tasks).results(whole, attention=True)
    gone = without_weights("fluent", whole.content_hash)
    second = scorer(tasks).results(gone, attention=True)
    assert (second.scores, second.generations, second.entropies) == (first.scores, first.generations, first.entropies)
    assert second.similarities == first.similarities
    assert first.similarities["speaker"]
    # A new task scores only itself; another seed, or other weights under the same name, score everything.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    more = scorer([*tasks, Task("lines", limit=4)]).results(whole, attention=True)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert set(more.scores) == {"next_letter", "lines"}
    assert len(after) == len(before) + 1
    assert all(after[path] == before[path] for path in before)
    changed = without_weights("fluent", "another hash")
    assert "cannot be loaded" in scorer(tasks).results(changed).failures["next_letter"]
    assert "cannot be loaded" in scorer(tasks, seed=1).results(gone).failures["next_letter"]


def test_a_changed_document_is_scored_again(folder: Path, tmp_path: Path) -> None:
    tasks = make_tasks(tmp_path / "tasks")
    before = Harness(tasks).identity(Task("next_letter"))
    assert before == Harness(folder / "tasks").identity(Task("next_letter"))
    lines = (tasks / "next_letter.jsonl").read_text().splitlines()
    (tasks / "next_letter.jsonl").write_text("\n".join([*lines[:-1], '{"prompt": "a b", "answer": " d"}']) + "\n")
    assert Harness(tasks).identity(Task("next_letter")) != before
    assert Harness(tasks).identity(Task("next_letter", limit=10)) == Harness(folder / "tasks").identity(
        Task("next_letter", limit=10)
    )


def test_narrowed_runs_still_report_what_is_stored(folder: Path, harness: Harness, tmp_path: Path) -> None:
    store, tasks = ResultStore(tmp_path), [Task("lines", limit=4), Task("next_letter", limit=5)]
    first = Scorer(harness, store, tasks, PROMPTS, only=["lines"]).results(subject(folder, "speaker"))
    assert set(first.scores) == {"lines"}
    second = Scorer(harness, store, tasks, PROMPTS, only=["next_letter"]).results(subject(folder, "speaker"))
    assert set(second.scores) == {"lines", "next_letter"}


# ------------------------------------------------------------------------------------ adapters, probes, contrasts


def test_an_adapter_is_scored_as_merged(folder: Path) -> None:
    import peft

    with loaded(subject(folder, "adapter"), "cpu", folder / "speaker") as (model, tokenizer):
        plain, _ = plainly_loaded(folder, "speaker")
        tuned = peft.PeftModel.from_pretrained(plain, folder / "adapter")
        ids = tokenizer("a b c d", return_tensors="pt").input_ids
        with torch.inference_mode():
            assert torch.allclose(model(ids).logits, tuned(ids).logits, atol=1e-4)
    assert not list((folder / "scratch").iterdir())


def test_texts_are_greedy_and_the_same_one_by_one(folder: Path) -> None:
    model, tokenizer = plainly_loaded(folder, "speaker")
    model.generation_config.do_sample = True  # what the model would like does not count
    together = probes.generate(model, tokenizer, PROMPTS)
    alone = [probes.generate(model, tokenizer, [prompt])[0] for prompt in PROMPTS]
    assert [row["text"] for row in together] == [row["text"] for row in alone]
    ids = tokenizer(PROMPTS[0], return_tensors="pt").input_ids
    for _ in range(5):
        with torch.inference_mode():
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], 1)
    assert together[0]["text"].startswith(tokenizer.decode(ids[0, -5:]))


def test_attention_entropy_is_that_of_the_softmax(folder: Path) -> None:
    model, tokenizer = plainly_loaded(folder, "speaker")
    implementation = model.config._attn_implementation
    found = probes.attention_entropies(model, tokenizer, PROMPTS)
    assert model.config._attn_implementation == implementation
    assert np.array(found).shape == (3, 2, 4)
    weights = load_file(folder / "speaker" / "model.safetensors")
    ids = tokenizer(PROMPTS[0], return_tensors="pt").input_ids
    # Layer 0 by hand, from the embedding up.
    x = weights["model.embed_tokens.weight"][ids[0]].double()
    x = x / (x.square().mean(-1, keepdim=True) + model.config.rms_norm_eps).sqrt()
    x = x * weights["model.layers.0.input_layernorm.weight"].double()
    q, k = (
        (x @ weights[f"model.layers.0.self_attn.{name}_proj.weight"].double().T).view(len(x), -1, 8).transpose(0, 1)
        for name in "qk"
    )
    theta = float((model.config.rope_parameters or {}).get("rope_theta", 10000.0))
    angles = torch.arange(len(x))[:, None] * theta ** (-torch.arange(0, 8, 2).double() / 8)
    cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
    q, k = (y * cos + torch.cat([-y[..., 4:], y[..., :4]], -1) * sin for y in (q, k))
    logits = q @ k.repeat_interleave(2, 0).transpose(1, 2) / 8**0.5
    logits += torch.full((len(x), len(x)), -math.inf, dtype=torch.float64).triu(1)
    a = logits.softmax(-1)
    entropy = -torch.where(a > 0, a * a.clamp_min(1e-300).log(), 0.0).sum(-1)[:, 1:].mean(-1)
    assert np.allclose(found[0][0], entropy.tolist(), atol=1e-4)


def test_hidden_states_and_their_likeness(folder: Path) -> None:
    model, tokenizer = plainly_loaded(folder, "speaker")
    other, _ = plainly_loaded(folder, "fluent")
    own, theirs = (probes.hidden_states(m, tokenizer, PROMPTS) for m in (model, other))
    assert len(own) == 3
    assert own[0].shape == (8 + 6 + 9, 32)
    assert [round(row["cka"], 6) for row in probes.similarity(own, own)] == [1.0] * 3
    rows = probes.similarity(own, theirs)
    assert all(0.3 < row["cka"] <= 1 for row in rows)
    assert {row["n_tokens"] for row in rows} == {23}
    assert probes.similarity(own, theirs[:-1]) == []
    assert probes.hidden_states(model, tokenizer, PROMPTS, most_tokens=10)[0].shape[0] == 10


def test_contrasts_pair_the_documents(folder: Path, harness: Harness, tmp_path: Path) -> None:
    tasks = [Task("next_letter"), Task("lines")]
    scorer = Scorer(harness, ResultStore(tmp_path), tasks, PROMPTS)
    results = {name: scorer.results(subject(folder, name)) for name in ("speaker", "fluent")}
    rows = list(contrast_rows([Comparison("fluent", "speaker", "post against base")], results, tasks, seed=0))
    assert {(row["task"], row["metric"], row["test"]) for row in rows} == {
        ("next_letter", "acc", "exact McNemar"),
        ("next_letter", "perplexity", "paired bootstrap"),
        ("lines", "word_perplexity", "paired bootstrap"),
    }
    value = {
        name: {(row["task"], row["metric"]): row["value"] for s in found.scores.values() for row in s.rows}
        for name, found in results.items()
    }
    for row in rows:
        key = row["task"], row["metric"]
        assert row["difference"] == pytest.approx(value["fluent"][key] - value["speaker"][key])
        assert 0 < row["p_value"] <= 1
        assert row["n"] == (60 if row["task"] == "next_letter" else 20)
    again = list(contrast_rows([Comparison("fluent", "speaker", "post against base")], results, tasks, seed=0))
    assert again == rows
    nothing = list(contrast_rows([Comparison("speaker", "speaker", "itself")], results, tasks, seed=0))
    assert {(row["difference"], row["p_value"]) for row in nothing} == {(0.0, 1.0)}
