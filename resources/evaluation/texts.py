"""The texts of a task as they are given to models: what is read, and the right answer to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Text(NamedTuple):
    """One document; of a task that is scored on whole texts the prompt is empty."""

    prompt: str
    answer: str

    @property
    def read(self) -> str:
        """What a model reads before it has to answer; the text itself where there is no question."""
        return self.prompt or self.answer


def texts_of(leaf: Any, limit: int) -> Iterator[Text]:
    """The first `limit` documents of one lm-eval task, with its examples in front if it has any."""
    leaf.build_all_requests(limit=limit)
    by_document: dict[int, list[Any]] = {}
    for instance in leaf.instances:
        by_document.setdefault(instance.doc_id, []).append(instance)
    for document in sorted(by_document):
        yield _text(leaf, by_document[document])


def _text(leaf: Any, instances: list[Any]) -> Text:
    first = instances[0]
    if first.request_type == "loglikelihood_rolling":
        return Text("", first.args[0])
    if leaf.OUTPUT_TYPE == "multiple_choice":
        target = leaf.doc_to_target(first.doc)
        target = target[0] if isinstance(target, list) else target
        right = target if isinstance(target, int) else leaf.doc_to_choice(first.doc).index(target)
        return Text(*instances[right].args[:2])
    if first.request_type == "loglikelihood":
        return Text(*first.args[:2])
    target = leaf.doc_to_target(first.doc)
    return Text(first.args[0], leaf.config.target_delimiter + str(target[0] if isinstance(target, list) else target))


def encode(language_model: Any, text: Text, longest: int) -> tuple[list[int], list[int]]:
    """Tokens of what is given and of what is judged, as the harness encodes them; the latter cut to `longest`."""
    if text.prompt:
        context, continuation = language_model._encode_pair(text.prompt, text.answer)
    else:
        tokens = language_model.tok_encode(text.answer, add_special_tokens=False)
        context, continuation = [language_model.prefix_token_id], tokens
    return list(context), list(continuation)[:longest]
