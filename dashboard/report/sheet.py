"""The report's paper: blocks one after the other, and the one HTML file that the templates make of them.

Everything that reaches a template is escaped there; only a figure's data is not, which is JSON without angle brackets
inside a script element. Plotly's script is packed into the file and unpacked by the browser, which makes 2 MB of its 5.
The page's own policy forbids it any request: a report shows what it holds and asks nobody.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from markupsafe import Markup

from dashboard.catalogue import Catalogue

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

    from dashboard.figures.frame import Chart

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"

Columns = Sequence[tuple[str, str, Callable[[Any], str] | None]]
"""Columns of a table: the data frame's name, the heading, and how a number is written (None for text)."""


LONGEST_WORD = 24
"""Characters of a word that stays whole in a table."""


MOST_COLUMNS = 12
"""Columns that fit on A4 in the letters of other tables."""

MOST_ROWS_KEPT = 12
"""Rows, one for each claim, of a table that is not broken between two pages."""


@dataclass(frozen=True)
class Text:
    """A heading, a paragraph, or a note in small grey letters."""

    template: ClassVar[str] = "text.html.j2"
    kind: Literal["heading", "paragraph", "note"]
    words: str
    level: int = 2


@dataclass(frozen=True)
class Figure:
    """One figure with its data in it; `height` in pixels."""

    place: str
    name: str
    height: int
    spec: Markup


@dataclass(frozen=True)
class Figures:
    """Figures beside each other."""

    template: ClassVar[str] = "figures.html.j2"
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Heading:
    """A column's heading and what it means, on hover."""

    words: str
    meaning: str | None


@dataclass(frozen=True)
class Cell:
    """One cell as it is written."""

    words: str
    is_number: bool
    tone: str = ""

    @property
    def is_long(self) -> bool:
        """Whether it has a word, such as a hash, that must be broken to fit on paper."""
        return max(map(len, self.words.replace("_", " ").replace("-", " ").split()), default=0) > LONGEST_WORD


@dataclass(frozen=True)
class Table:
    """A table whose headings explain themselves."""

    template: ClassVar[str] = "table.html.j2"
    headings: list[Heading]
    rows: list[list[Cell]]

    @property
    def is_wide(self) -> bool:
        """Whether it has so many columns that it is set in smaller letters on paper."""
        return len(self.headings) > MOST_COLUMNS

    @property
    def is_short(self) -> bool:
        """Whether it stays on one page of paper."""
        return len(self.rows) <= MOST_ROWS_KEPT


@dataclass(frozen=True)
class Texts:
    """Texts beside each other, line breaks kept: (whose, what)."""

    template: ClassVar[str] = "texts.html.j2"
    texts: tuple[tuple[str, str], ...]


@dataclass
class Sheet:
    """A page under construction; `catalogue` explains the columns of its tables."""

    title: str
    catalogue: Catalogue
    _blocks: list[Text | Figures | Table | Texts] = field(default_factory=list)
    _figures: int = 0

    def heading(self, words: str, level: int = 2) -> None:
        """A heading."""
        self._blocks.append(Text("heading", words, level))

    def note(self, words: str) -> None:
        """A paragraph in small grey letters."""
        self._blocks.append(Text("note", words))

    def paragraph(self, words: str) -> None:
        """A paragraph."""
        self._blocks.append(Text("paragraph", words))

    def figures(self, *charts: tuple[Chart, str]) -> None:
        """Figures beside each other: (chart, name)."""
        self._blocks.append(Figures(tuple(self._figure(chart, name) for chart, name in charts)))

    def figure(self, chart: Chart, name: str) -> None:
        """A figure, with its data in it."""
        self.figures((chart, name))

    def table(
        self,
        data: pd.DataFrame,
        columns: Columns,
        *,
        of: str | None = None,
        meanings: Mapping[str, str] | None = None,
        tones: Mapping[str, str] | None = None,
    ) -> None:
        """A table of those columns that the data has.

        `of` names the table of the warehouse whose texts explain the headings; `meanings` explains what is in none.
        `tones` gives cells of these words a class of the style sheet.
        """
        there = [(column, heading, write) for column, heading, write in columns if column in data.columns]
        headings = [
            Heading(words, (meanings or {}).get(column) or self.catalogue.meaning(column, of))
            for column, words, _ in there
        ]
        rows = [[_cell(row[c], write, tones or {}) for c, _, write in there] for row in data.to_dict("records")]
        self._blocks.append(Table(headings, rows))

    def beside(self, texts: Sequence[tuple[str, str]]) -> None:
        """Texts beside each other: (whose, what), line breaks kept."""
        self._blocks.append(Texts(tuple(texts)))

    def page(self, footer: str) -> str:
        """The whole file."""
        from plotly.offline import get_plotlyjs

        packed = base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
        template = _templates().get_template("report.html.j2")
        return template.render(title=self.title, blocks=self._blocks, footer=footer, plotly=packed)

    def _figure(self, chart: Chart, name: str) -> Figure:
        from plotly.io import to_json

        self._figures += 1
        spec = str(to_json(chart, validate=False)).replace("<", "\\u003c").replace(">", "\\u003e")
        height = int(chart.to_dict()["layout"].get("height", 400))
        return Figure(f"figure-{self._figures}", name, height, Markup(spec))


@functools.cache
def _templates() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _cell(value: Any, write: Callable[[Any], str] | None, tones: Mapping[str, str]) -> Cell:
    words = write(value) if write else _known(value)
    return Cell(words, write is not None, tones.get(words, ""))


def _known(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return "" if value is None or value != value else str(value)
