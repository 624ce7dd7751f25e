"""A checkpoint opened for work on its heads, after a look at what costs nothing: its tokenizer and configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from resources.evaluation.subjects import loaded, model_subject
from rotoscale.circuits.heads import CircuitError

if TYPE_CHECKING:
    from resources.circuits.model import HeadModel
    from resources.circuits.settings import CircuitSettings
    from resources.location import Location
    from resources.workspace import Workspace


@contextmanager
def opened(
    space: Workspace, name: str, location: Location, content_hash: str, settings: CircuitSettings
) -> Iterator[HeadModel]:
    """The model at a location, its adapter merged, for the duration of a `with` block.

    Raises CircuitError for a model that the task cannot be put to, before its weights are read where that shows; and
    SubjectError for one that cannot be loaded.
    """
    from resources.circuits.model import HeadModel

    require_task(name, location, settings)
    subject = model_subject(name, content_hash, location, space.settings.edits)
    with loaded(subject, space.settings.device, location.base or location.path) as (model, tokenizer):
        yield HeadModel(model, tokenizer, model_id=name)


def require_task(name: str, location: Location, settings: CircuitSettings) -> None:
    """Check by tokenizer and configuration alone that prompts of the task can be made for a model.

    Raises CircuitError, naming the model, for an unknown architecture, for one layer only, for a missing tokenizer, for
    one that splits the task's words, and for a prompt that is longer than the context.
    """
    from transformers import AutoConfig

    from resources.circuits.layouts import layout_of, require_layers
    from resources.circuits.prompts import PromptMaker

    try:
        config = AutoConfig.from_pretrained(location.base or location.path, local_files_only=True)
        layout_of(SimpleNamespace(config=config))
        context = int(getattr(config, "max_position_embeddings", None) or 1 << 30)
        PromptMaker(_tokenizer(location), n_boxes=settings.n_boxes, context=context)
    except CircuitError as error:
        raise CircuitError(f"{name}: {error}") from error
    except (OSError, ValueError, KeyError) as error:
        raise CircuitError(f"{name} has no configuration that can be read: {' '.join(str(error).split())}") from error
    require_layers(name, int(config.num_hidden_layers))


def require_alike(first: tuple[str, Location], second: tuple[str, Location]) -> None:
    """Check by tokenizer and configuration alone that heads of one model correspond to those of another.

    Raises CircuitError where that shows; `require_comparable` looks closer once both are loaded.
    """
    from transformers import AutoConfig

    names = [name for name, _ in (first, second)]
    vocabularies, shapes = [], []
    for _, location in (first, second):
        config = AutoConfig.from_pretrained(location.base or location.path, local_files_only=True)
        kv = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        shapes.append((config.num_hidden_layers, config.num_attention_heads, kv, config.hidden_size))
        vocabularies.append(_tokenizer(location).get_vocab())
    if vocabularies[0] != vocabularies[1]:
        raise CircuitError(
            f"{names[0]} and {names[1]} have different tokenizers: one prompt is other tokens in each; "
            "compare models of one tokenizer"
        )
    if shapes[0] != shapes[1]:
        told = [
            f"{name} has {layers} layers of {heads} heads ({kv} key-value heads) and width {width}"
            for name, (layers, heads, kv, width) in zip(names, shapes, strict=True)
        ]
        raise CircuitError(
            f"{told[0]}, {told[1]}: their heads do not correspond; compare models of one architecture and size"
        )


def _tokenizer(location: Location) -> Any:
    from transformers import AutoTokenizer

    for place in filter(None, (location.path, location.base)):
        try:
            return AutoTokenizer.from_pretrained(place, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, ImportError, KeyError, AttributeError):
            continue
    raise CircuitError(f"no tokenizer can be read in {location.path}; add its tokenizer files")
