"""A small grammar of regular expressions over module names, matched in linear time whatever the pattern.

Python's ``re`` can take exponential time, and the patterns of an adapter come from an untrusted file. Here the set of
all positions that a pattern can have reached is carried along, as one integer with a bit for each: no backtracking, a
few operations on it for each item of the pattern. Where both apply, the answer is that of ``re``.

    pattern     sequence|sequence|...
    sequence    items, one after the other
    item        a character, as it is or with ?, * or + behind it; ^; $; (pattern) or (?:pattern), not repeated
    character   a literal; . ; \\d \\w \\s, and \\ before punctuation; [...] and [^...] of characters, ranges, escapes

Everything else (repeated groups, counted repeats, look-around, back references, flags) is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

MAX_LENGTH = 512
_MAX_DEPTH = 16


class UnsupportedPattern(Exception):  # noqa: N818 (reads as what it says)
    """A pattern outside the grammar; the message says what in it is not allowed."""


@dataclass(frozen=True)
class Characters:
    """A set of characters: single ones, ranges, and the classes ``d``, ``w``, ``s``; or all others."""

    single: str = ""
    ranges: tuple[tuple[str, str], ...] = ()
    classes: str = ""
    negated: bool = False

    @property
    def only(self) -> str:
        """The one character of the set; nothing if it has several."""
        return self.single if len(self.single) == 1 and not (self.ranges or self.classes or self.negated) else ""

    def __contains__(self, c: str) -> bool:
        found = c in self.single or any(first <= c <= last for first, last in self.ranges)
        for name in self.classes:
            found |= {"d": c.isdecimal(), "w": c.isalnum() or c == "_", "s": c.isspace()}[name]
        return found is not self.negated


@cache
def _literal(character: str) -> Characters:
    return Characters(character)


_ANY = Characters(single="\n", negated=True)


@dataclass(frozen=True)
class Character:
    """One character of a set: once, or with ``optional`` and ``endless`` as ``?``, ``+`` and ``*`` have it."""

    of: Characters
    optional: bool = False
    endless: bool = False


@dataclass(frozen=True)
class Anchor:
    """The start (``^``) or the end (``$``) of the name."""

    end: bool


@dataclass(frozen=True)
class Alternatives:
    """Any one of several sequences."""

    sequences: tuple[tuple[Item, ...], ...]


Item = Character | Anchor | Alternatives


def parse(text: str) -> Alternatives:
    """The pattern as a tree. Raises UnsupportedPattern."""
    if len(text) > MAX_LENGTH:
        raise UnsupportedPattern(f"longer than {MAX_LENGTH} characters")
    parser = _Parser(text)
    found = parser.alternatives(0)
    if parser.peek():
        raise UnsupportedPattern("a closing parenthesis too many")
    return found


class _Parser:
    """Recursive descent over the grammar above."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def peek(self) -> str:
        """The next character, or nothing at the end."""
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        character = self.peek()
        self.at += len(character)
        return character

    def alternatives(self, depth: int) -> Alternatives:
        if depth > _MAX_DEPTH:
            raise UnsupportedPattern("groups nested too deeply")
        sequences: list[tuple[Item, ...]] = []
        items: list[Item] = []
        while (character := self.peek()) not in ("", ")"):
            if character == "|":
                self.take()
                sequences.append(tuple(items))
                items = []
            else:
                items.append(self.item(depth))
        return Alternatives((*sequences, tuple(items)))

    def item(self, depth: int) -> Item:
        character = self.take()
        if character in "*+?{":
            raise UnsupportedPattern(f"a counted or possessive repeat, or {character} with nothing before it")
        if character not in "^$(":
            return self.repeated(self.character(character))
        found: Item = self.group(depth) if character == "(" else Anchor(character == "$")
        if self.peek() in ("*", "+", "?", "{"):
            raise UnsupportedPattern("a repeated group or anchor")
        return found

    def group(self, depth: int) -> Alternatives:
        if self.peek() == "?":
            if self.text[self.at : self.at + 2] != "?:":
                raise UnsupportedPattern("a group (?... other than (?:...)")
            self.at += 2
        found = self.alternatives(depth + 1)
        if self.take() != ")":
            raise UnsupportedPattern("a group that is not closed")
        return found

    def repeated(self, of: Characters) -> Character:
        sign = self.peek()
        if sign not in ("?", "*", "+"):
            return Character(of)
        self.take()
        if self.peek() == "?":  # lazy: tried in another order, the same names
            self.take()
        return Character(of, optional=sign != "+", endless=sign != "?")

    def character(self, character: str) -> Characters:
        if character == ".":
            return _ANY
        if character == "[":
            return self.bracket()
        return self.escaped() if character == "\\" else _literal(character)

    def escaped(self) -> Characters:
        character = self.take()
        if character in ("d", "w", "s"):
            return Characters(classes=character)
        if not character or character.isalnum() or not character.isascii():
            raise UnsupportedPattern(f"the escape \\{character}")
        return _literal(character)

    def bracket(self) -> Characters:
        """Behind an opening square bracket."""
        negated = self.peek() == "^"
        self.at += negated
        single, classes, ranges = "", "", []
        start = self.at
        while (character := self.take()) != "]" or self.at == start + 1:
            if not character or character == "[" or (character in "-&~|" and self.peek() == character):
                raise UnsupportedPattern("square brackets that are not closed, or sets of sets")
            behind = self.text[self.at + 1 : self.at + 2]
            if character == "\\":
                inside = self.escaped()
                single, classes = single + inside.single, classes + inside.classes
            elif self.peek() == "-" and behind not in ("", "]"):
                if behind in "[\\" or behind < character:
                    raise UnsupportedPattern(f"the range {character}-{behind}")
                ranges.append((character, behind))
                self.at += 2
            else:
                single += character
        return Characters(single, tuple(ranges), classes, negated)


class Name:
    """A name to be matched. Position ``i``, in front of its character ``i``, is bit ``i`` of a set of positions."""

    def __init__(self, name: str) -> None:
        self.start, self.end = 1, 1 << len(name)
        self.where: dict[str, int] = {}
        for place, character in enumerate(name):
            self.where[character] = self.where.get(character, 0) | 1 << place
        self.before: dict[Characters, int] = {}
        self.work = 0

    def after(self, item: Item, positions: int) -> int:
        """The positions that an item leads to from any of ``positions``; ``work`` counts the items."""
        self.work += 1
        if isinstance(item, Anchor):
            return positions & (self.end if item.end else self.start)
        if isinstance(item, Character):
            mask = self._before(item.of)
            reached = (positions & mask) << 1
            if item.endless:  # in the sum a carry runs from each position through all fitting characters behind it
                reached |= ((reached & mask) + mask) ^ mask
            return reached | positions if item.optional else reached
        found = 0
        for sequence in item.sequences:
            reached = positions
            for part in sequence:
                reached = self.after(part, reached)
                if not reached:
                    break
            found |= reached
        return found

    def _before(self, of: Characters) -> int:
        """The positions in front of a character of the set."""
        if of not in self.before:
            self.before[of] = sum(places for character, places in self.where.items() if character in of)
        return self.before[of]
