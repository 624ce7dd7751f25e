"""The report's paper: one HTML file with everything in it, and the escaping that makes names harmless there.

Plotly's script is packed into the file and unpacked by the browser, which makes 2 MB of its 5. The page's own policy
forbids it any request: a report shows what it holds and asks nobody.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dashboard import text

if TYPE_CHECKING:
    import pandas as pd

    from dashboard.figures.frame import Chart

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 1200px; margin: 2rem auto;
       padding: 0 1.2rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.4rem; } h3 { font-size: 1.05rem; }
code { background: #f3f5f7; padding: 0 .25em; border-radius: 3px; }
p.note, footer { color: #5b636d; font-size: .9rem; }
.wide { overflow-x: auto; } .figure { width: 100%; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { border-bottom: 1px solid #dfe3e8; padding: .25rem .6rem; text-align: left; vertical-align: top; }
th { background: #f3f5f7; } th[title] { cursor: help; text-decoration: underline dotted #8a8f98; }
td.number { text-align: right; } td.text { max-width: 26rem; overflow-wrap: break-word; }
pre { background: #f3f5f7; padding: .6rem; white-space: pre-wrap; margin: 0; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(460px, 1fr)); gap: .8rem; align-items: end; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: .8rem; }
@media print { .figure { break-inside: avoid; } }
"""

_SCRIPT = """
const figures = Array.from(document.querySelectorAll('script[data-figure]'));
async function start() {
  const packed = Uint8Array.from(atob(document.getElementById('plotly').textContent), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  const script = document.createElement('script');
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  for (const source of figures) {
    const {data, layout} = JSON.parse(source.textContent);
    const place = document.getElementById(source.dataset.figure);
    const axis = {gridcolor: '#e3e7eb', zerolinecolor: '#e3e7eb', linecolor: '#c5ccd3'};
    for (const key of Object.keys(layout).filter(k => /^[xy]axis/.test(k))) layout[key] = {...axis, ...layout[key]};
    layout.font = {family: 'system-ui, sans-serif', color: '#1b1f24', ...layout.font};
    await Plotly.newPlot(place, data, layout, {responsive: true, displaylogo: false,
      modeBarButtonsToRemove: ['lasso2d', 'select2d', 'autoScale2d'],
      toImageButtonOptions: {format: 'svg', filename: 'rotoscale-' + source.dataset.figure}});
  }
  document.body.dataset.drawn = figures.length;
}
start().catch(error => { document.getElementById('trouble').textContent =
  'The figures need a browser of 2023 or newer (' + error.message + '); the tables are complete without them.'; });
"""


@dataclass
class Sheet:
    """An HTML page under construction. Every text given to its methods is escaped, unless its name says markup."""

    title: str
    _parts: list[str] = field(default_factory=list)
    _figures: int = 0

    def heading(self, words: str, level: int = 2) -> None:
        """A heading."""
        self._parts.append(f"<h{level}>{plain(words)}</h{level}>")

    def note(self, words: str) -> None:
        """A paragraph in small grey letters."""
        self._parts.append(f'<p class="note">{plain(words)}</p>')

    def paragraph(self, words: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{plain(words)}</p>")

    def figures(self, *charts: tuple[Chart, str]) -> None:
        """Figures beside each other: (chart, name)."""
        self._parts.append('<div class="two">')
        for chart, name in charts:
            self._parts.append("<div>")
            self.figure(chart, name)
            self._parts.append("</div>")
        self._parts.append("</div>")

    def figure(self, chart: Chart, name: str) -> None:
        """A figure, with its data in it."""
        from plotly.io import to_json

        self._figures += 1
        place = f"figure-{self._figures}"
        spec = str(to_json(chart, validate=False)).replace("<", "\\u003c").replace(">", "\\u003e")
        height = int(chart.to_dict()["layout"].get("height", 400))
        self._parts.append(
            f'<div class="figure" id="{place}" role="img" aria-label="{plain(name)}" style="height:{height}px"></div>'
            f'<script type="application/json" data-figure="{place}">{spec}</script>'
        )

    def table(self, data: pd.DataFrame, columns: Sequence[tuple[str, str, Callable[[Any], str] | None]]) -> None:
        """A table: column, heading, and how a number is written (None for text). Headings explain themselves."""
        head = "".join(
            f"<th{_hover(column)}>{plain(heading)}</th>" for column, heading, _ in columns if column in data.columns
        )
        body = []
        for row in data.to_dict("records"):
            cells = [
                f'<td class="number">{plain(write(row[column]))}</td>'
                if write
                else f'<td class="text">{plain(_known(row[column]))}</td>'
                for column, _, write in columns
                if column in data.columns
            ]
            body.append(f"<tr>{''.join(cells)}</tr>")
        self._parts.append(f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}')
        self._parts.append("</tbody></table></div>")

    def beside(self, texts: Sequence[tuple[str, str]]) -> None:
        """Texts beside each other: (whose, what), line breaks kept."""
        boxes = "".join(f"<div><b>{plain(whose)}</b><pre>{plain(what)}</pre></div>" for whose, what in texts)
        self._parts.append(f'<div class="columns">{boxes}</div>')

    def page(self, footer: str) -> str:
        """The whole file."""
        from plotly.offline import get_plotlyjs

        packed = base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{plain(self.title)}</title>\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
            f'<body><h1>{plain(self.title)}</h1>\n<p class="note" id="trouble"></p>'
            "<noscript><p>The figures need JavaScript; the tables are complete without it.</p></noscript>\n"
            + "\n".join(self._parts)
            + f'\n<footer><p>{plain(footer)}</p></footer>\n<script type="text/plain" id="plotly">{packed}</script>\n'
            f"<script>{_SCRIPT}</script></body></html>\n"
        )


def plain(value: Any) -> str:
    """A text as HTML shows it, quotes included, so that it may stand in an attribute too."""
    return html.escape(str(value), quote=True)


def _hover(column: str) -> str:
    meaning = text.meaning(column)
    return f' title="{plain(meaning)}"' if meaning else ""


def _known(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return "" if value is None or value != value else str(value)
