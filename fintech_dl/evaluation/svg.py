"""A drawing surface for charts: matplotlib in, inline SVG out, the same bytes each time.

What matplotlib draws is rewritten as part of a page: colours become the page's CSS variables (so
that light, dark and print all read well), text takes the page's font, nothing outside is named.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from fintech_dl.errors import require
from fintech_dl.evaluation.wording import clean

WIDTH, HEIGHT = 372, 250  # points; small, so that text stays legible on a phone
N_STYLES = 6
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)), (0, (9, 3)))

# Stand-ins for colours that only the page knows: matplotlib draws them, `_page_svg` names them.
_NAMES = {"#010100": "ink", "#010101": "soft", "#010102": "grid", "#010103": "mark"}
_NAMES |= {"#010104": "gap", "#010105": "page"}
_NAMES |= {f"#0102{i:02x}": f"s{i}" for i in range(N_STYLES)}
COLOURS = {name: code for code, name in _NAMES.items()}

DOTTED = (
    '<svg class="swatch" width="30" height="8" viewBox="0 0 30 8" aria-hidden="true">'
    '<path d="M1 4H29" fill="none" stroke="var(--soft)" stroke-width="2" '
    'stroke-dasharray="3 4"/></svg>'
)  # the legend's sample of a line to compare with


def swatch(style: int) -> str:
    """Return the legend's sample of a line style: a small ``<svg>`` without text."""
    pattern = dash(style)
    broken = "" if pattern == "-" else " ".join(str(2 * d) for d in pattern[1])
    return (
        '<svg class="swatch" width="30" height="8" viewBox="0 0 30 8" aria-hidden="true">'
        f'<path d="M1 4H29" fill="none" stroke="var(--s{style % N_STYLES})" '
        f'stroke-width="{3 if style else 4}" stroke-dasharray="{broken or "none"}"/></svg>'
    )


def box(colour: str, opacity: float = 1) -> str:
    """Return the legend's sample of a bar of a named colour, or of a band that lets light in."""
    seen = "" if opacity == 1 else f' fill-opacity="{opacity:g}"'
    return (
        '<svg class="swatch" width="14" height="10" viewBox="0 0 14 10" aria-hidden="true">'
        f'<path d="M0 0H14V10H0z" fill="var(--{colour})"{seen}/></svg>'
    )


def dash(style: int) -> Any:
    """Return the dash pattern of a style, as matplotlib takes it: solid for the model."""
    return _DASHES[style % len(_DASHES)] if style else "-"


def surface(draw: Callable[[Any], None], alt: str, height: float = HEIGHT) -> str:
    """Draw on a fresh figure, free of the user's matplotlib settings, and return its SVG.

    Parameters
    ----------
    draw : callable
        Draws on the matplotlib Axes that it is given, with colours of `COLOURS`.
    alt : str
        What the chart shows, in words.
    height : float
        Height in points; the width is always `WIDTH`.

    Raises
    ------
    NotInstalledError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fintech_dl.evaluation.svg import COLOURS, surface
    >>> svg = surface(lambda ax: ax.axhline(1, color=COLOURS["ink"]), "a line")
    >>> "var(--ink)" in svg, "http" in svg
    (True, False)
    """
    require("matplotlib", "report")
    import matplotlib.style
    from matplotlib.figure import Figure

    style: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": clean(alt),
        "text.parse_math": False,  # a column may be named $x$
        "text.usetex": False,
        "axes.formatter.use_mathtext": False,
        "font.family": "DejaVu Sans",  # shipped with matplotlib: the same layout everywhere
        "font.size": 11,
        "axes.labelsize": 11,
        "xtick.labelsize": 10.5,
        "ytick.labelsize": 10.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "axes.edgecolor": COLOURS["soft"],
        "axes.labelcolor": COLOURS["ink"],
        "text.color": COLOURS["ink"],
        "xtick.color": COLOURS["soft"],
        "ytick.color": COLOURS["soft"],
        "xtick.labelcolor": COLOURS["soft"],
        "ytick.labelcolor": COLOURS["soft"],
        "grid.color": COLOURS["grid"],
        "grid.linewidth": 0.7,
        "axes.axisbelow": True,
        "axes.xmargin": 0.02,
    }
    with warnings.catch_warnings(), matplotlib.style.context([style], after_reset=True):
        warnings.simplefilter("ignore")  # a glyph that DejaVu lacks: the reader's font has it
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        draw(figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _page_svg(text.getvalue(), alt)


def _page_svg(text: str, alt: str) -> str:
    """Rewrite matplotlib's SVG as part of a page: CSS colours, page font, unique ids, a title."""
    root = ElementTree.fromstring(text)
    used = set(re.findall(r'(?:url\(|href=")#(\w+)', text))
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key, value in list(element.attrib.items()):
            plain = key.rpartition("}")[2]
            del element.attrib[key]
            if plain == "style":
                value = re.sub(r"font-family:[^;]*;?\s*", "", value)
                value = re.sub(
                    r"#[0-9a-f]{6}", lambda m: f"var(--{_NAMES.get(m[0], 'ink')})", value
                )
            elif plain == "d":
                value = " ".join(value.split())
            if plain != "id" or value in used:
                element.set(plain, value)
        element.tail = None
        if element.tag != "text":
            element.text = None
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)  # the page sets the width
    root.attrib |= {"class": "chart", "role": "img", "aria-label": clean(alt, 600)}
    title = ElementTree.Element("title")
    title.text = clean(alt, 600)
    root.insert(0, title)
    return ElementTree.tostring(root, encoding="unicode")
