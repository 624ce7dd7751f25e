"""Tables as plain lines that fit a width, in which no number and no name is ever broken.

Texts are wrapped between words. A table that is too wide all the same is printed in parts below each other, each with
the first column again; one with texts that would need many, row by row, a line for every cell.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

GAP = 2
"""Spaces between columns."""

NARROWEST = 20
"""Columns that a text is given at least."""

MOST_PARTS = 2
"""Parts that a table with texts is printed in; one that needs more is printed row by row."""


@dataclass(frozen=True)
class Column:
    """One column: its header and its cells as they are printed."""

    header: str
    cells: tuple[str, ...]
    right: bool
    """Aligned right, as numbers are."""
    whole: bool
    """Never wrapped."""

    @property
    def natural(self) -> int:
        """Width with nothing wrapped."""
        return max(map(len, (self.header, *self.cells)))

    @property
    def least(self) -> int:
        """Width with all wrapped that may be, and no word broken."""
        if self.whole:
            return max(map(len, (*self.header.split(), *self.cells)), default=0)
        words = (word for text in (self.header, *self.cells) for word in text.split())
        return max(min(NARROWEST, self.natural), *map(len, words))

    def lines(self, text: str, width: int, *, last: bool) -> list[str]:
        """A text of this column in lines of `width`; of the last column without spaces at the end."""
        found = [text] if self.whole and text != self.header else _wrapped(text, width)
        if self.right:
            return [line.rjust(width) for line in found]
        return found if last else [line.ljust(width) for line in found]


@dataclass(frozen=True)
class Table:
    """A table to be printed: see `table`."""

    title: str
    columns: tuple[Column, ...]
    caption: str | None = None

    def lines(self, width: int) -> list[str]:
        """The table without title and caption, in lines of at most `width` columns, but for longer words."""
        if self._fits(self.columns, width):
            return list(_grid(self.columns, width))
        parts = self._parts(width)
        if len(parts) > MOST_PARTS and any(not column.whole for column in self.columns[1:]):
            return list(_records(self.columns, width))
        lines: list[str] = []
        for part in parts:
            lines += [*([""] if lines else []), *_grid(part, width)]
        return lines

    @staticmethod
    def _fits(columns: Sequence[Column], width: int) -> bool:
        """Whether all columns have room; the last, if of texts, may hold words that are longer than its room."""
        *rest, last = columns
        of_last = last.least if last.whole else min(last.natural, max(NARROWEST, len(last.header)))
        return sum(column.least + GAP for column in rest) + of_last <= width

    def _parts(self, width: int) -> list[tuple[Column, ...]]:
        """The columns in as few groups of equal size as fit, the first column at the head of each."""
        first, *rest = self.columns
        for size in (-(-len(rest) // n) for n in range(1, len(rest) + 1)):
            groups = [(first, *rest[i : i + size]) for i in range(0, len(rest), size)]
            if all(self._fits(group, width) for group in groups):
                return groups
        return [(first, column) for column in rest] or [(first,)]


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    caption: str | None = None,
    numbers: Collection[str] = (),
) -> Table:
    """A table of these rows. Columns of numbers, and of the texts in `numbers`, are aligned right and never wrapped."""
    made = []
    for i, header in enumerate(columns):
        values = [row[i] for row in rows]
        numeric = header in numbers or all(isinstance(value, int | float | None) for value in values)
        cells = tuple(number(value) for value in values)
        made.append(Column(header, cells, numeric, numeric or all(" " not in cell for cell in cells)))
    return Table(title, tuple(made), caption)


def number(value: Any) -> str:
    """A cell: four significant digits, nothing for a missing value, any other text on one line as it is."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, float):
        return " ".join(str(value).split())
    return f"{value:.4g}" if abs(value) < 1e-3 or abs(value) >= 1e4 else f"{value:.4f}"


def _wrapped(text: str, width: int) -> list[str]:
    """A text in lines that break between words only; never none."""
    found = textwrap.wrap(text, max(width, 1), break_long_words=False, break_on_hyphens=False)
    return found or [""]


def _grid(columns: Sequence[Column], width: int) -> Iterator[str]:
    """Header and rows beneath each other."""
    widths = _widths(columns, width)
    for i in range(-1, len(columns[0].cells)):
        texts = [column.header if i < 0 else column.cells[i] for column in columns]
        blocks = [
            column.lines(text, room, last=column is columns[-1])
            for column, text, room in zip(columns, texts, widths, strict=True)
        ]
        height = max(map(len, blocks))
        for n in range(height):
            # A header stands on the line above its numbers, a cell starts on the first line of its row.
            at = [n - (height - len(block)) if i < 0 else n for block in blocks]
            yield (
                (" " * GAP)
                .join(
                    block[k] if 0 <= k < len(block) else " " * room
                    for block, k, room in zip(blocks, at, widths, strict=True)
                )
                .rstrip()
            )


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """Widths of columns: the least each needs, and what is left over to those that would be wrapped, left to right."""
    widths = [column.least for column in columns]
    spare = width - sum(widths) - GAP * (len(columns) - 1)
    if spare < 0:  # the last column holds a longer word than there is room for
        widths[-1] += spare
        return widths
    wanted = [column.natural - least for column, least in zip(columns, widths, strict=True)]
    # The shortest wish first, so that one long text does not wrap the others.
    for left, i in enumerate(sorted(range(len(columns)), key=lambda i: wanted[i])):
        given = min(wanted[i], spare // (len(columns) - left))
        widths[i] += given
        spare -= given
    return widths


def _records(columns: Sequence[Column], width: int) -> Iterator[str]:
    """Row by row: the first cell alone, the others beneath it with their headers."""
    first, *rest = columns
    for i, name in enumerate(first.cells):
        yield name or first.header
        for column in rest:
            if column.cells[i]:
                text = f"{column.header}: {column.cells[i]}"
                yield from textwrap.wrap(
                    text, max(width, NARROWEST), initial_indent="  ", subsequent_indent="    ",
                    break_long_words=False, break_on_hyphens=False,
                )  # fmt: skip
