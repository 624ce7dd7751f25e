"""The family's tokenizer: whole words where the corpus has them, bytes for everything else.

Text is cut into words with their leading space, single digits, runs of signs and line breaks, then written as bytes.
The vocabulary is not learned: it is the 256 bytes and every word of the corpus with and without a leading space, in
a unigram model that takes the fewest pieces. So each word of the corpus is one token, and any other text still
survives the way there and back.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from demo import arithmetic, entity_tracking, stories
from demo.words import COLOURS, LETTERS, NAMES, OBJECTS, PLACES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNK = range(4)

PATTERN = r" ?[A-Za-z]+| ?\d| ?[^\sA-Za-z\d]|\s"

_EXTRA = """Question Answer User Assistant The What Where Who does have has is are the a an in with on colour answer
step by Ones Tens So so write and carry borrow plus minus contains contain box Box boxes of to it not can be was were
You I he she they we you your This That these those No Yes no yes please Please which Which How many much What
will Let us first then next last"""

_SIGNS = list("+-=.,:;?!'\"()*/")


def words() -> list[str]:
    """Return every word of the corpus once, in a fixed order."""
    templates = [text for part in stories.PARTS for text in part]
    templates += [text for r in (entity_tracking.TASK, *entity_tracking.EASIER) for text in (r.segment, r.query)]
    told = [w.strip(".,:?") for text in templates for w in text.split() if "{" not in w]
    everything = [*LETTERS, *OBJECTS, *NAMES, *PLACES, *COLOURS, *arithmetic.NUMERALS, *_EXTRA.split(), *told]
    return list(dict.fromkeys(everything))


def build() -> PreTrainedTokenizerFast:
    """Build the tokenizer; the same every time."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    space = "\u0120"  # how the byte alphabet writes a space
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    units = [*words(), *"0123456789", *_SIGNS]
    pieces = [*alphabet, *units, *(space + unit for unit in units)]
    vocabulary = [(name, -50.0) for name in SPECIAL]
    vocabulary += [(piece, -10.0) for piece in dict.fromkeys(pieces)]
    model = models.Unigram(vocabulary, unk_id=UNK, byte_fallback=False)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", BOS)]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        model_max_length=256,
        padding_side="right",
    )


def save(folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` into a checkpoint folder."""
    build().save_pretrained(str(folder))


class Encoder:
    """Encodes documents piece by piece, remembering the pieces it has seen."""

    def __init__(self) -> None:
        self.tokenizer = build()
        self.pad, self.bos, self.eos = PAD, BOS, EOS
        self._backend = self.tokenizer.backend_tokenizer
        self.ids = lru_cache(maxsize=20_000)(self._ids)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._backend.encode(text, add_special_tokens=False).ids)

    def __len__(self) -> int:
        return len(self.tokenizer)
