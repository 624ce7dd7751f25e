"""The words of the family's world: objects, letters, names, places and colours.

The tokenizer makes each of them one token, the generators draw from them.
"""

from string import ascii_uppercase


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LETTERS: tuple[str, ...] = tuple(ascii_uppercase)

OBJECTS: tuple[str, ...] = _listed(
    """apple bell book brush card chain clock coat coin comb cup drum egg fan flag flute fork glass glove guitar
    hammer hat helmet key knife lamp leaf lemon letter map mask medal mirror needle note nut orange paper pear pen
    phone pill plant plate pot radio ribbon ring rock rope rose scarf shell shirt shoe soap spoon stamp stone string
    tea ticket tie tile tool toy train watch wheel wire"""
)

NAMES: tuple[str, ...] = _listed(
    "Anna Ben Clara David Emma Finn Grace Henry Iris Jack Kate Leo Mia Noah Olive Paul Rosa Sam Tess Will"
)

PLACES: tuple[str, ...] = _listed("garden kitchen market school forest river station library harbour farm bridge tower")

COLOURS: tuple[str, ...] = _listed("red blue green yellow black white brown grey")
