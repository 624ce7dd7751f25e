"""lm-eval tasks on a loaded model: one call, one task, scores with their errors and every document's own score.

Standard tasks are looked up only when a family's own folder has no task of that name, because reading the harness's
whole collection takes some twenty seconds. A task is loaded once and used for every model, so that all are given the
same documents and the same examples.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from resources.evaluation.harness_results import (
    answers,
    by_metric,
    first_metric,
    is_pair,
    leaves,
    members,
    pooled,
    statistic_name,
)
from resources.evaluation.language_model import Encoded, language_model, quiet
from resources.evaluation.scores import Answers, Samples, Scores
from resources.evaluation.texts import Text, texts_of
from resources.families import Task
from rotoscale.errors import RotoscaleError

_SEEDS = {"random": 0, "numpy": 1234, "torch": 1234, "fewshot": 1234}
"""lm-eval's own defaults, so that its command line draws the same examples; a seed is added to each."""

_GENERIC_RESAMPLES = 100

_ENCODED: Encoded = {}
"""What was encoded in this process: models of a family mostly share a tokenizer, and each has a harness of its own."""


class HarnessError(RotoscaleError):
    """A task that cannot be scored: unknown, without its data, out of memory, or broken."""


class Harness:
    """The tasks of one family, ready to score models with. A small model's batches go to `threads` threads."""

    def __init__(self, include_path: Path | None = None, seed: int = 0, threads: int = 1) -> None:
        self.include_path = include_path
        self.seed = seed
        self.threads = threads
        self.encoded = _ENCODED
        self._loaded: dict[Task, Any] = {}
        self._identities: dict[Task, str] = {}
        self._failed: dict[str, str] = {}

    @staticmethod
    @cache
    def version() -> str:
        """Version of lm-eval, without importing it."""
        import importlib.metadata

        return importlib.metadata.version("lm_eval")

    def identity(self, task: Task) -> str:
        """What a task is: of the family's own, its configuration and documents; of a standard one, its name.

        Raises HarnessError when it cannot be loaded.
        """
        if task not in self._identities:
            self._identities[task] = self._identity(task)
        return self._identities[task]

    def _identity(self, task: Task) -> str:
        facts: list[Any] = [asdict(task), self.version(), self.seed]
        if self._is_local(task.name):
            for leaf in leaves(self._task(task)):
                configuration = leaf.config.to_dict()
                for name in ("dataset_path", "dataset_name", "dataset_kwargs", "metadata"):
                    configuration.pop(name, None)  # where the documents lie; they themselves follow
                facts.append([_plain(configuration), leaf.VERSION, list(_documents(leaf, task.limit))])
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=_plain).encode()).hexdigest()

    def texts(self, task: Task, limit: int) -> list[Text]:
        """The first documents of a task (of each task of a group), as models are given them.

        Raises HarnessError when it cannot be loaded, or its documents cannot be put into words.
        """
        loaded = self._task(task)
        with quiet(), _explained(f"task {task.name}"):
            self._seed_everything(loaded)
            return [text for leaf in leaves(loaded) for text in texts_of(leaf, limit)]

    def score(self, model: Any, tokenizer: Any, task: Task) -> Scores:
        """Score a loaded model on one task.

        Raises HarnessError with the reason, whatever goes wrong inside the task or the model.
        """
        loaded = self._task(task)
        with quiet():
            from lm_eval.evaluator import evaluate

            start = time.perf_counter()
            with _explained(f"task {task.name}"):
                self._seed_everything(loaded)
                # What `simple_evaluate` ends in, without its report on the machine, which asks pip for every package.
                found = evaluate(
                    lm=language_model(model, tokenizer, self.encoded, self.threads),
                    task_dict=self._own.load([loaded]),
                    limit=task.limit,
                    bootstrap_iters=0,  # theirs starts processes for a hundred thousand draws; ours is below
                    log_samples=True,
                    fewshot_as_multiturn=True,
                )
            seconds = time.perf_counter() - start
        if found is None:
            raise HarnessError(f"task {task.name}: the harness gave no result")
        return self._result(task, loaded, dict(found), seconds)

    def _seed_everything(self, loaded: Any) -> None:
        """The same examples in the same order for every model."""
        import random

        import numpy as np
        import torch

        random.seed(_SEEDS["random"] + self.seed)
        np.random.seed(_SEEDS["numpy"] + self.seed)
        torch.manual_seed(_SEEDS["torch"] + self.seed)
        for leaf in leaves(loaded):
            leaf.set_fewshot_seed(seed=_SEEDS["fewshot"] + self.seed)

    def _result(self, task: Task, loaded: Any, found: dict[str, Any], seconds: float) -> Scores:
        parts_by_name = {leaf.config.task: leaf for leaf in leaves(loaded)}
        samples: list[Samples] = []
        written: list[Answers] = []
        errors: dict[tuple[str, str, str], float | None] = {}
        for name, logged in found["samples"].items():
            with _explained(f"task {task.name}"):
                by_document = answers(parts_by_name[name], logged)
            if by_document:
                written.append(Answers(name, list(by_document), list(by_document.values())))
            for metric, filter_name, logs in by_metric(logged):
                aggregate = parts_by_name[name].aggregation().get(metric)
                values = [log[metric] for log in logs]
                statistic = statistic_name(aggregate, values)
                errors[name, metric, filter_name] = self._stderr(values, statistic, aggregate)
                if statistic:
                    scores = [[float(x) for x in value] if is_pair(value) else [float(value)] for value in values]
                    documents = [int(log["doc_id"]) for log in logs]
                    samples.append(Samples(name, metric, filter_name, statistic, documents, scores))
        rows = []
        for name, metrics in found["results"].items():
            parts = [part for part in parts_by_name if part in members(found, name)] or [name]
            first = first_metric(parts_by_name, parts)
            for label, value in metrics.items():
                metric, comma, filter_name = label.partition(",")
                if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                    continue
                sizes = [found["n-samples"][part]["effective"] for part in parts if part in found["n-samples"]]
                of_parts = [errors.get((part, metric, filter_name)) for part in parts]
                rows.append(
                    {
                        "task": name,
                        "metric": metric,
                        "filter": filter_name,
                        "value": float(value),
                        "stderr": pooled(of_parts, sizes),
                        "higher_is_better": found["higher_is_better"].get(name, {}).get(metric),
                        "is_primary": False,
                        "n_samples": sum(sizes),
                        "n_shot": int(found["n-shot"].get(name) or 0),
                        "seed": self.seed,
                        "harness_version": self.version(),
                        "task_version": str(found["versions"].get(name, "")),
                        "seconds": seconds,
                    }
                )
            own = [row for row in rows if row["task"] == name == task.name]
            if own:
                next((row for row in own if row["metric"] == first), own[0])["is_primary"] = True
        if not rows:
            raise HarnessError(f"task {task.name}: the harness computed no metric; check its metric_list")
        broken = [row for row in rows if not math.isfinite(row["value"])]
        if broken:
            raise HarnessError(
                f"task {task.name}: {broken[0]['metric']} is {broken[0]['value']}: the model's probabilities are not "
                "finite or zero on some document"
            )
        return Scores(rows, samples, written)

    def _stderr(self, values: Sequence[Any], statistic: str, aggregate: Callable[..., float] | None) -> float | None:
        """Standard error of one metric; of one that the harness aggregates in its own way, from few resamples."""
        import numpy as np

        from rotoscale.contrast import bootstrap_stderr

        if len(values) < 2:
            return None
        if statistic:
            return bootstrap_stderr(np.asarray(values, dtype=np.float64), statistic=statistic, seed=self.seed)
        if aggregate is None:
            return None
        generator = np.random.default_rng(self.seed)
        drawn = [
            aggregate([values[i] for i in generator.integers(0, len(values), len(values))])
            for _ in range(_GENERIC_RESAMPLES)
        ]
        return float(np.std(drawn, ddof=1))

    def _task(self, task: Task) -> Any:
        """The loaded task or group of tasks; a failure is remembered, so that it costs its waiting only once."""
        task = replace(task, limit=None)  # a limit is applied when documents are taken
        if task in self._loaded:
            return self._loaded[task]
        if task.name in self._failed:
            raise HarnessError(self._failed[task.name])
        try:
            built = self._load(task.name)
        except HarnessError as error:
            self._failed[task.name] = str(error)
            raise
        for leaf in leaves(built):
            if self._is_local(task.name):
                _list_documents(leaf)
            # By the rules of lm-eval's own command line: a task that says 0 means it.
            own = leaf.get_config("num_fewshot")
            if task.num_fewshot is not None and own != 0:
                leaf.set_config(key="num_fewshot", value=task.num_fewshot)
            elif own is None:
                leaf.set_config(key="num_fewshot", value=0)
        self._loaded[task] = built
        return built

    def _load(self, name: str) -> Any:
        _compile_templates_once()
        with quiet():
            manager = self._own if self._is_local(name) else self._all
            if name not in manager.all_tasks:
                own = ", ".join(self._own.all_tasks) or "none"
                where = f" in {self.include_path}" if self.include_path else ""
                raise HarnessError(
                    f"there is no task {name!r}{where} (there: {own}) or among the standard tasks of lm-eval "
                    f"{self.version()}; correct the family's evaluation.tasks"
                )
            with _explained(
                f"task {name}: its data or configuration cannot be loaded (correct its file or add its data)"
            ):
                built = manager._load_spec(name)
        if isinstance(built, list):
            raise HarnessError(f"{name!r} is a tag of {len(built)} tasks; name the tasks themselves")
        return built

    def _is_local(self, name: str) -> bool:
        return name in self._own.all_tasks

    @cached_property
    def _own(self) -> Any:
        """The task manager of the family's own folder alone."""
        with quiet():
            from lm_eval.tasks import TaskManager

            if self.include_path is not None and not self.include_path.is_dir():
                raise HarnessError(f"there is no folder {self.include_path}; correct the family's include_path")
            return TaskManager(include_path=self.include_path, include_defaults=False)

    @cached_property
    def _all(self) -> Any:
        """The task manager of everything; takes some twenty seconds."""
        with quiet():
            from lm_eval.tasks import TaskManager

            return TaskManager(include_path=self.include_path)


@cache
def _compile_templates_once() -> None:
    """Keep lm-eval's compiled templates, which it makes anew for every document of every model."""
    from lm_eval.utils import env

    env.from_string = lru_cache(maxsize=256)(env.from_string)


def _list_documents(leaf: Any) -> None:
    """Hold the documents that are scored as a list: a data set makes each of them anew at every look, twice a model."""
    split = leaf.config.test_split or leaf.config.validation_split
    if split and leaf.config.process_docs is None and split in (leaf.dataset or {}):
        leaf.dataset = {**leaf.dataset, split: list(leaf.dataset[split])}


def _documents(leaf: Any, limit: int | None) -> Iterator[Any]:
    for index, document in enumerate(leaf.eval_docs):
        if limit is not None and index >= limit:
            return
        yield document


def _plain(value: Any) -> Any:
    """A configuration as JSON takes it; of a function its source, because its address changes with every process."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if callable(value):
        try:
            return inspect.getsource(value)
        except (OSError, TypeError):
            return getattr(value, "__qualname__", type(value).__name__)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Whatever a task or a model throws becomes a HarnessError: tasks are anybody's code, and the others go on."""
    try:
        yield
    except RotoscaleError:
        raise
    except MemoryError as error:
        raise HarnessError(f"{what}: out of memory; use a smaller model or another device") from error
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        if "out of memory" in text.lower():
            raise HarnessError(f"{what}: out of memory; use a smaller model or another device ({text})") from error
        raise HarnessError(f"{what}: {type(error).__name__}: {text}") from error
