"""What is scored, wherever its weights come from: a subject, and its model loaded into memory.

A subject names its weights by hash and can give a folder with them when they are needed: a model's own folder, an edit
kept on disk, or one that is written for the purpose (an adapter merged into its base, an edit that was deleted) and
removed afterwards. The folder is given only after its weights were found to be those of the hash.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.evaluation.weights import require_weights
from resources.location import Location
from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    import torch

ONE_THREAD_BELOW = 20_000_000
"""Parameters below which one thread computes: on products that small a second one mostly waits, and on a shared
machine the waiting cost ten times the work."""

MODEL, EDIT, CONTROL = "model", "edit", "control"


class SubjectError(RotoscaleError):
    """A checkpoint that cannot be loaded, or that computes nonsense."""


class NotFinite(SubjectError):  # noqa: N818 (reads as what it says)
    """A model whose logits are NaN or infinite: trying again would change nothing."""


@dataclass(frozen=True)
class Subject:
    """Something to be scored."""

    id: str
    kind: str
    content_hash: str
    folder: Callable[[], AbstractContextManager[Path]]
    """A folder that `from_pretrained` takes, for the duration of a `with` block."""
    recipe: str = ""
    """What it was edited by; empty of a model."""


def model_subject(model_id: str, content_hash: str, location: Location, scratch: Path) -> Subject:
    """A registered model; an adapter is merged into a folder under `scratch` for as long as it is needed."""

    @contextmanager
    def folder() -> Iterator[Path]:
        from resources.checkpoints.writer import write_edited

        require_weights(model_id, content_hash, location.path, location.base)
        if location.base is None:
            yield location.path
            return
        with scratch_folder(scratch) as made:
            manifest = {"recipe": "none", "merged": model_id}
            yield write_edited(location.open(), made / "merged", lambda *_: None, keys=[], manifest=manifest)

    return Subject(model_id, MODEL, content_hash, folder)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder beside the edits, where there is room for a checkpoint; removed at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".scratch-") as folder:
        yield Path(folder)


def model_dtype(device: str) -> str:
    """Number format that models compute in: bfloat16 on a CUDA device, float32 elsewhere."""
    return "bfloat16" if device.startswith("cuda") else "float32"


@contextmanager
def loaded(subject: Subject, device: str, tokenizer_folder: Path | None = None) -> Iterator[tuple[Any, Any]]:
    """The subject's model, ready to compute, and its tokenizer (from `tokenizer_folder` where it brings none).

    Raises SubjectError when it cannot be loaded, or when its logits are not finite on any text: a broken edit.
    """
    import torch

    with ExitStack() as given:
        try:
            folder = given.enter_context(subject.folder())
        except SubjectError:
            raise
        except (RotoscaleError, OSError) as error:  # this subject's failure: the others go on
            raise SubjectError(f"{subject.id} cannot be loaded: {error}") from error
        model, tokenizer = _load(subject, folder, device, tokenizer_folder)
        threads = torch.get_num_threads()
        if is_small(model):
            torch.set_num_threads(1)
        try:
            _require_finite(subject, model)
            yield model, tokenizer
        finally:
            torch.set_num_threads(threads)
            del model
            if torch.cuda.is_available():
                gc.collect()  # takes half a second, and only the GPU's memory cannot wait for the next one
                torch.cuda.empty_cache()


def is_small(model: Any) -> bool:
    """Whether a model is so small that one thread computes fastest (ONE_THREAD_BELOW)."""
    return sum(weight.numel() for weight in model.parameters()) < ONE_THREAD_BELOW


def _load(subject: Subject, folder: Path, device: str, tokenizer_folder: Path | None) -> tuple[Any, Any]:
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    transformers.utils.logging.disable_progress_bar()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, model_dtype(device)),
            use_safetensors=True,  # the weights that were analysed, never a pickle that lies beside them
            local_files_only=True,
            trust_remote_code=False,
        )
        model = model.to(device).eval()
    except (OSError, ValueError, RuntimeError, MemoryError, ImportError, KeyError) as error:
        raise SubjectError(f"{subject.id} cannot be loaded: {type(error).__name__}: {_short(error)}") from error
    errors = []
    for place in (folder, tokenizer_folder):
        if place is None:
            continue
        try:
            return model, AutoTokenizer.from_pretrained(place, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, ImportError, KeyError, AttributeError) as error:
            errors.append(f"{place}: {_short(error)}")
    raise SubjectError(f"{subject.id} has no tokenizer that can be read ({'; '.join(errors)}); add its tokenizer files")


def _require_finite(subject: Subject, model: Any) -> None:
    import torch

    config = model.config.get_text_config()
    length = min(16, int(config.vocab_size) - 1)
    text = torch.arange(1, length + 1, device=model.device)[None]
    try:
        with torch.inference_mode():
            logits = model(input_ids=text).logits
    except (RuntimeError, MemoryError) as error:
        raise SubjectError(f"{subject.id} cannot compute: {type(error).__name__}: {_short(error)}") from error
    bad = int((~torch.isfinite(logits)).sum())
    if bad:
        raise NotFinite(
            f"{subject.id} computes NaN or infinity ({bad} of {logits.numel()} logits of a short text): the edit broke "
            "the model, there is nothing to score"
        )


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def encoded(tokenizer: Any, text: str, longest: int, device: torch.device) -> torch.Tensor:
    """Token ids of a text (1 x n), at most `longest` of them."""
    import torch

    ids = list(tokenizer(text).input_ids)[:longest]
    return torch.tensor([ids], device=device)
