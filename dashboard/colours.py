"""Colours that survive colour blindness and both themes, with one meaning each.

Categories are Okabe and Ito's; what is compared around a neutral value runs from blue over the page's own
background tone to orange; amounts run along Cividis. Reference lines are a grey that both themes can show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

REFERENCE = "#8a8f98"
"""Lines that are not data: alpha = 1, nulls, the unrelated level."""

BASE, POST, EDIT, CONTROL = "#8a8f98", "#0072B2", "#D55E00", "#CC79A7"
MIRROR, NOISE = "draw of the mirror control", "draw of the noise control"
"""Kinds of points that are losses of control draws."""

KINDS = {"base": BASE, "post": POST, "model": POST, "edit": EDIT, "control": CONTROL, MIRROR: CONTROL, NOISE: BASE}
KIND_MARKS = {
    "base": "diamond", "post": "circle", "model": "circle", "edit": "square", "control": "x",
    MIRROR: "circle-open", NOISE: "x-thin-open",
}  # fmt: skip

CATEGORIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#A6761D", "#7B6FD0")
MARKS = ("circle", "square", "diamond", "cross", "triangle-up", "star", "hexagon", "pentagon")
DASHES = ("solid", "solid", "solid", "solid", "dash", "dash", "dash", "dash")
LATER_DASHES = ("dot", "dashdot", "longdashdot")

MATRICES = {
    "q": "#0072B2", "k": "#56B4E9", "v": "#009E73", "o": "#D55E00",
    "gate": "#E69F00", "up": "#CC79A7", "down": "#A6761D",
}  # fmt: skip
LEVELS = {
    "nf": (POST, "circle", "solid"),
    "nf_null": (CATEGORIES[3], "diamond", "dashdot"),
    "nf_null_simulated": (CATEGORIES[2], "diamond", "dot"),
    "nf_unrelated": (REFERENCE, "square", "dash"),
}
"""Colour, marker and dash of an NF and of the levels it is held against."""

BANDS = {
    "top": (CATEGORIES[1], "circle", "solid"),
    "middle": (CATEGORIES[0], "square", "dash"),
    "bottom": (CATEGORIES[2], "diamond", "dot"),
}
"""The same of the bands of a spectrum."""

SHARES = {
    "scale": "#E69F00", "diagonal": "#A6761D", "shared": "#0072B2", "apart": "#D55E00", "outside": "#8a8f98",
}  # fmt: skip
"""Of the parts of a change's energy."""

AMOUNT = "Cividis"
_AMOUNTS = [
    "#00224e",
    "#123570",
    "#3b496c",
    "#575d6d",
    "#707173",
    "#8a8678",
    "#a59c74",
    "#c3b369",
    "#e1cc55",
    "#fee838",
]


def in_sight(theme: str) -> list[list[float | str]]:
    """The scale of amounts for points: without its dark end on a dark page, without its light end on a light one."""
    colours = _AMOUNTS[3:] if theme == "dark" else _AMOUNTS[:-1]
    return [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)]


UNDECIDED = {"light": "#d5d8dc", "dark": "#3d444c"}
"""Cells whose test decides nothing."""

_FROM_NOTHING = {
    "light": ["#f4f4f2", "#b9cfe6", "#5b9bd0", "#1f66ad", "#08306b"],
    "dark": ["#24282e", "#1f4f7d", "#3f8fcf", "#8ec7f0", "#e3f2fd"],
}

_DIVERGING = {
    "light": ["#08519c", "#3182bd", "#9ecae1", "#f4f4f2", "#fdbe85", "#e6760d", "#8c3a04"],
    "dark": ["#a6d3f5", "#4a97d0", "#1f4f7d", "#24282e", "#85430f", "#e07f2a", "#fdd0a2"],
}


def diverging(theme: str) -> list[list[float | str]]:
    """Scale around a neutral middle: blue below, orange above, the middle fading into the page."""
    colours = _DIVERGING["dark" if theme == "dark" else "light"]
    return [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)]


def steep(theme: str, *, around: bool) -> list[list[float | str]]:
    """The scale `around` a neutral middle, or that of amounts, stretched by a square root.

    On a scale that is fixed for all models a value of a hundredth of the reach still has a colour of its own.
    """
    colours = _DIVERGING["dark" if theme == "dark" else "light"] if around else _AMOUNTS
    steps = 40
    scale: list[list[float | str]] = []
    for i in range(steps + 1):
        place = i / steps  # evenly spaced in the root, so that stops are dense where colours change fast
        far = 2 * place - 1
        scale.append([(1 + far * abs(far)) / 2 if around else place**2, _between(colours, place)])
    return scale


def _between(colours: Sequence[str], place: float) -> str:
    """The colour at `place`, 0 to 1, along evenly spaced ones."""
    at = place * (len(colours) - 1)
    low = min(int(at), len(colours) - 2)
    ends = [[int(colours[low + k][i : i + 2], 16) for i in (1, 3, 5)] for k in (0, 1)]
    mixed = [round(a + (at - low) * (b - a)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def amount(theme: str) -> list[list[float | str]]:
    """Scale of amounts of which most are nothing: zero fades into the page."""
    colours = _FROM_NOTHING["dark" if theme == "dark" else "light"]
    return [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)]


def ink(theme: str) -> str:
    """The strongest contrast to the page, for outlines of what is picked."""
    return "#fafafa" if theme == "dark" else "#111111"


def assigned(names: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """A colour, a marker and a dash for each name, by its place in the order given; 32 of them differ from each other.

    When the colours have run out they come again with open markers and finer dashes.
    """
    found = {}
    for i, name in enumerate(dict.fromkeys(names)):
        time_round, place = divmod(i, len(CATEGORIES))
        dash = (DASHES[place], *LATER_DASHES)[time_round % (1 + len(LATER_DASHES))]
        found[name] = (CATEGORIES[place], MARKS[place] + ("-open" if time_round % 2 else ""), dash)
    return found


METHODS = {
    "instruct": 1, "math": 2, "adapter": 0, "reasoning": 3, "scratch": 4, "rl": 5, "sft": 6, "code": 7,
}  # fmt: skip
"""Places in CATEGORIES of the methods that have a name; a method keeps its colour whatever else is shown."""


def of_methods(lines: Mapping[str, str]) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and dash of lines by name, given each line's method: one colour for a method on every page.

    Lines of the same method differ in marker and dash.
    """
    found: dict[str, tuple[str, str, str]] = {}
    seen: dict[str, int] = {}
    for name, method in lines.items():
        place = METHODS.get(method, sum(method.encode()) % len(CATEGORIES))
        nth = seen[method] = seen.get(method, -1) + 1
        mark = MARKS[(place + nth) % len(MARKS)]
        dash = (DASHES[place] if method in METHODS else "dot", "dash", "dashdot", "longdash")[nth % 4]
        found[name] = (CATEGORIES[place], mark, dash)
    return found


def of_matrix(name: str) -> str:
    """The colour of a matrix type; grey for an architecture's own word."""
    return MATRICES.get(name, REFERENCE)


VERDICTS = {"supported": "#009E73", "refuted": "#D55E00", "undecided": "#8a8f98", "not tested": "#8a8f98"}
"""Of a verdict: bluish green, vermilion, grey. The word always stands with it; what was not tested has no tint."""

BADGES = {"supported": "green", "refuted": "red", "undecided": "gray", "not tested": "gray"}
"""The nearest of Streamlit's own badge colours."""

_TESTS = {
    "within the margin": "supported", "undecided": "undecided", "as good": "supported", "better": "supported",
    "worse": "refuted",
}  # fmt: skip
"""How a test of an edit is coloured, by the first of these words that stand in its verdict."""

_TINT = "40"
"""A quarter of the colour, so that the theme's own text stays readable on it, light or dark."""


def of_verdict(word: object) -> str:
    """The style of a table's cell that holds a verdict; none of what was not tested, or of anything else."""
    colour = VERDICTS.get(str(word))
    return f"background-color: {colour}{_TINT}" if colour and word != "not tested" else ""


def test_tone(words: object) -> str:
    """The colour of what a test of an edit says, in figures."""
    return next((VERDICTS[like] for said, like in _TESTS.items() if said in str(words)), REFERENCE)


def of_test(words: object) -> str:
    """The style of a table's cell that holds what a test of an edit says."""
    return next((of_verdict(like) for said, like in _TESTS.items() if said in str(words)), "")
