"""Scenes as tokens of one tokenizer, with named positions that come from the construction.

A prompt is a skeleton of token ids with slots. The slots are found once per template, by exchanging one word at a time
for another and looking which single id changes; prompts are then made by writing ids into slots, and every one is
checked against what the tokenizer makes of its text.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rotoscale.circuits.heads import LAST, PREVIOUS_LABEL, QUERY_LABEL, CircuitError
from rotoscale.circuits.task import (
    LETTERS,
    OBJECTS,
    TEMPLATES,
    Scene,
    Template,
    Vocabulary,
    alternate,
    counterfactual,
    draw_scenes,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Slots:
    """Where in the tokens of a prompt its words stand; the same for all prompts of a template and number of boxes."""

    skeleton: tuple[int, ...]
    objects: tuple[int, ...]
    """Position of each segment's object."""
    letters: tuple[int, ...]
    """Position of each segment's label."""
    query_label: int

    @property
    def last(self) -> int:
        """Position of the last token, at which the answer is read."""
        return len(self.skeleton) - 1


@dataclass(frozen=True)
class Prompts:
    """Prompts of one length: (n, length) tokens, no padding, no mask."""

    tokens: torch.Tensor
    answers: torch.Tensor
    """Token of the right object (n,)."""
    objects: torch.Tensor
    """Tokens of the scene's objects (n, boxes), in the order in which they are told."""
    queried: torch.Tensor
    """Index of the queried box (n,)."""
    slots: Slots
    scenes: tuple[Scene, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, index: Any) -> Prompts:
        """Some of the prompts, by a tensor or list of indices."""
        import torch

        index = torch.as_tensor(index, dtype=torch.long, device=self.tokens.device)
        scenes = tuple(self.scenes[i] for i in index.tolist())
        return Prompts(
            self.tokens[index], self.answers[index], self.objects[index], self.queried[index], self.slots, scenes
        )

    def to(self, device: Any) -> Prompts:
        """The same prompts on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("tokens", "answers", "objects", "queried")}
        return replace(self, **moved)

    def position(self, name: str) -> torch.Tensor:
        """Token position of a named position (n,): `last`, `query_label` or `previous_query_label`."""
        import torch

        if name == PREVIOUS_LABEL:
            return torch.tensor(self.slots.letters, device=self.queried.device)[self.queried]
        at = {LAST: self.slots.last, QUERY_LABEL: self.slots.query_label}[name]
        return torch.full_like(self.queried, at)

    def batches(self, largest: int, position: str = PREVIOUS_LABEL) -> Iterator[torch.Tensor]:
        """Indices of the prompts in batches of at most `largest`, a named position being one number in each.

        By default all named positions are, because all prompts of a batch query the same box; that is what lets a run
        compute a few positions only.
        """
        import torch

        at = self.position(position)
        for one in at.unique():
            yield from torch.nonzero(at == one)[:, 0].split(max(1, largest))


@dataclass(frozen=True)
class Paired:
    """Prompts, an alternate of each, and the token that would be named if the alternate's information were used."""

    clean: Prompts
    alternate: Prompts
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.clean)

    def take(self, index: Any) -> Paired:
        """Some of the pairs."""
        return Paired(self.clean.take(index), self.alternate.take(index), self.targets[index])


class PromptMaker:
    """Prompts for one tokenizer, template and number of boxes.

    Raises CircuitError when too few words are single tokens, or when a prompt would not fit into `context` tokens.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        n_boxes: int = 7,
        template: Template = TEMPLATES[0],
        context: int | None = None,
        device: Any = "cpu",
    ) -> None:
        self.tokenizer, self.template, self.n_boxes, self.device = tokenizer, template, n_boxes, device
        self._object_ids = _single_tokens(tokenizer, OBJECTS, lambda word: _object_texts(template, word))
        self._letter_ids = _single_tokens(tokenizer, LETTERS, lambda word: _letter_texts(template, word))
        self.words = Vocabulary(tuple(self._object_ids), tuple(self._letter_ids))
        self.words.require(n_boxes)
        self.slots = self._slots()
        if context is not None and self.slots.last >= context:
            raise CircuitError(
                f"a prompt with {n_boxes} boxes has {self.slots.last + 1} tokens, and the model's context holds "
                f"{context}; ask for fewer boxes"
            )

    def prompts(self, scenes: Sequence[Scene]) -> Prompts:
        """Word scenes as prompts.

        Raises CircuitError when the tokenizer reads a prompt's text in another way than it was built.
        """
        import torch

        rows = []
        for scene in scenes:
            ids = list(self.slots.skeleton)
            for at, word in zip(self.slots.objects, scene.objects, strict=True):
                ids[at] = self._object_ids[word]
            for at, letter in zip(self.slots.letters, scene.letters, strict=True):
                ids[at] = self._letter_ids[letter]
            ids[self.slots.query_label] = self._letter_ids[scene.letter]
            text = self.template.text(scene)
            if ids != _encode(self.tokenizer, text):
                raise CircuitError(f"the tokenizer splits a word of {text!r}, which are single tokens elsewhere")
            rows.append(ids)
        objects = [[self._object_ids[word] for word in scene.objects] for scene in scenes]
        queried = torch.tensor([scene.queried for scene in scenes])
        of_objects = torch.tensor(objects)
        answers = of_objects.gather(1, queried[:, None])[:, 0]
        return Prompts(torch.tensor(rows), answers, of_objects, queried, self.slots, tuple(scenes)).to(self.device)

    def draw(self, n: int, seed: int | str, purpose: str = "prompts") -> Prompts:
        """Draw `n` prompts that query every box equally often; the same for every model with this tokenizer."""
        return self.prompts(draw_scenes(self.words, self.n_boxes, n, seed, purpose))

    def counterfactuals(self, clean: Prompts, seed: int | str) -> Prompts:
        """The counterfactual prompt of each prompt, for path patching."""
        rng = random.Random(f"counterfactual {seed}")
        return self.prompts([counterfactual(scene, rng, self.words) for scene in clean.scenes])

    def desideratum(self, name: str, n: int, seed: int | str) -> Paired:
        """`n` prompts with their alternates for one desideratum, targets encoded as they stand in a prompt."""
        import torch

        clean = self.draw(n, seed, f"desideratum {name}")
        rng = random.Random(f"alternate {name} {seed}")
        made = [alternate(name, scene, rng, self.words) for scene in clean.scenes]
        targets = torch.tensor([self._object_ids[word] for _, word in made], device=self.device)
        return Paired(clean, self.prompts([scene for scene, _ in made]), targets)

    def _slots(self) -> Slots:
        n = self.n_boxes
        scene = Scene(self.words.objects[:n], self.words.letters[:n], 0)
        skeleton = _encode(self.tokenizer, self.template.text(scene))

        def changed(i: int, objects: bool) -> list[int]:
            words = list(scene.objects if objects else scene.letters)
            words[i] = self.words.objects[n] if objects else self.words.letters[n]
            other = replace(scene, **{"objects" if objects else "letters": tuple(words)}, queried=0)
            ids = _encode(self.tokenizer, self.template.text(other))
            places = [at for at, (a, b) in enumerate(zip(skeleton, ids, strict=False)) if a != b]
            if len(ids) != len(skeleton) or len(places) != (1 if objects or i else 2):
                raise CircuitError(
                    f"the tokenizer does not keep {words[i]!r} one token in {self.template.text(other)!r}; "
                    "this task needs objects and letters that are single tokens"
                )
            return places

        objects = tuple(changed(i, True)[0] for i in range(n))
        letters = [changed(i, False) for i in range(n)]
        # The first box is the queried one, so that its letter stands twice: in its segment and in the query.
        return Slots(tuple(skeleton), objects, tuple(places[0] for places in letters), letters[0][1])


def _encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text, with the marks that the tokenizer puts before it and without those after it."""
    ids = list(tokenizer(text).input_ids)
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    while ids and ids[-1] in special:
        ids.pop()
    return ids


def _object_texts(template: Template, word: str) -> list[str]:
    first = template.segment.format(o=word, l="A")
    return [f"{first[0].upper()}{first[1:]},", f"Box, {first},", f"{template.query.format(l='A')} {word}"]


def _letter_texts(template: Template, letter: str) -> list[str]:
    segment = template.segment.format(o="it", l=letter)
    return [f"{segment},", f"{segment}.", f"The. {template.query.format(l=letter)}"]


def _single_tokens(tokenizer: Any, words: Sequence[str], texts: Callable[[str], list[str]]) -> dict[str, int]:
    """The words that are one and the same token in every one of their texts, with that token."""
    found: dict[str, set[int | None]] = {word: set() for word in words}
    for column in zip(*(texts(word) for word in words), strict=True):
        encoded = [_encode(tokenizer, text) for text in column]
        length = min(map(len, encoded))
        shortest = [ids for ids in encoded if len(ids) == length]
        counts = [Counter(ids[at] for ids in shortest) for at in range(length)]
        usual = [count.most_common(1)[0][0] for count in counts]
        slot = max(range(length), key=lambda at: len(counts[at]))
        for word, ids in zip(words, encoded, strict=True):
            elsewhere = len(ids) == length and all(ids[at] == usual[at] for at in range(length) if at != slot)
            found[word].add(ids[slot] if elsewhere else None)
    single = {}
    for word, readings in found.items():
        (one, *more) = readings
        if not more and one is not None and tokenizer.decode([one]).strip() == word:
            single[word] = one
    return single
