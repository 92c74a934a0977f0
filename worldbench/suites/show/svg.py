"""The little of SVG that figures need; the same calls give the same text.

Coordinates are pixels from the upper left corner. All text that comes from outside is escaped here
and loses what XML does not allow, so no name can break a figure.
"""

import base64
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

import cv2
import numpy as np
from jaxtyping import UInt8

Pixels = float | int

WIDTH = 1000
"""Of every figure, in pixels: what a page shows without making the text smaller."""

QUALITY = 92

_WIDE = 0.54  # width of an average character in heights, of the widest usual system font
_STYLE = """
  svg { --paper: #fcfcfc; --ink: #23232a; --quiet: #62626c; --rule: #dcdce2; --band: #f0f0f4;
    --possible: #1f6fb5; --impossible: #c2570c; --run: #1c7f54; --wrong: #b3261e }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #17181c; --ink: #ececf1; --quiet: #a2a2ad; --rule: #3a3b43; --band: #22232a;
      --possible: #6cb2f0; --impossible: #f2955a; --run: #5fc79a; --wrong: #f2867e }
  }
  text { font: 12px system-ui, sans-serif; fill: var(--quiet) }
  text.title { font-size: 16px; font-weight: 600; fill: var(--ink) }
  text.head { font-size: 13px; font-weight: 600; fill: var(--ink) }
  text.said { fill: var(--ink) } text.badge { font-weight: 700; fill: var(--paper) }
  text.run, tspan.run { fill: var(--run) } text.possible, tspan.possible { fill: var(--possible) }
  text.impossible, tspan.impossible { fill: var(--impossible) }
  tspan { font-weight: 600 }
  rect.right { fill: var(--run) } rect.wrong { fill: var(--wrong) }
  .paper { fill: var(--paper) } .band { fill: var(--band) } rect.run { fill: var(--run) }
  rect.tie { fill: var(--quiet) }
  path { fill: none; stroke: var(--rule) } path.cut { stroke: var(--ink); stroke-dasharray: 5 3 }
  circle.ring { fill: none; stroke: #fff; stroke-width: 1.4 }
  circle.halo { fill: none; stroke: #000; stroke-width: 3; opacity: .4 }
  path.bracket { stroke: var(--quiet) }
  path.middle { stroke: #fff; stroke-dasharray: 3 3 } path.target { stroke: #fff }
  path.shade { stroke: #000; stroke-width: 2.4; opacity: .45 }
  .possible { --line: var(--possible) } .impossible { --line: var(--impossible) }
  path.line { stroke: var(--line); stroke-width: 2; stroke-linejoin: round }
  path.impossible { stroke-dasharray: 6 4 }
  circle { stroke: var(--line); stroke-width: 2; fill: var(--line) }
  circle.hollow { fill: var(--paper) }
"""


def document(
    height: Pixels, title: str, subtitle: str, parts: Sequence[str], definitions: str = ""
) -> str:
    """Returns a whole figure, :data:`WIDTH` pixels wide.

    Args:
        height: How far down the parts reach, in pixels.
        title: Its first line, above y = 32.
        subtitle: Below it, above y = 52; the parts move down if it takes more than a line.
        parts: Everything else.
        definitions: Pictures, as :func:`image` defines them.
    """
    below = paragraph(16, 48, subtitle, WIDTH - 32)
    down = 17 * (len(below) - 1)
    box = f'viewBox="0 0 {WIDTH} {number(height + down)}"'
    size = f'width="{WIDTH}" height="{number(height + down)}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {box} {size} role="img">',
            f"<title>{escape(plain(title))}</title>",
            f"<style>{_STYLE}</style>",
            f"<defs>{definitions}</defs>",
            f'<rect class="paper" {size}/>',
            text(16, 28, title, "title"),
            *below,
            f'<g transform="translate(0 {down})">',
            *parts,
            "</g>",
            "</svg>",
            "",
        ]
    )


def number(value: Pixels) -> str:
    """Returns a coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def plain(said: object) -> str:
    """Returns foreign text without the characters that XML forbids or that turn its direction."""
    return "".join(c if c.isprintable() else " " for c in str(said))


def text(x: Pixels, y: Pixels, said: object, kind: str = "", anchor: str = "start") -> str:
    """Returns a line of text whose base line is at y; ``anchor`` is the part of it that is at x."""
    return (
        f'<text class="{kind}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">'
        f"{escape(plain(said))}</text>"
    )


def spans(x: Pixels, y: Pixels, said: Sequence[tuple[str, str]], anchor: str = "start") -> str:
    """Returns a line of text of several colours: pairs of a class and what it says."""
    inner = " ".join(f'<tspan class="{kind}">{escape(plain(word))}</tspan>' for kind, word in said)
    return f'<text x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">{inner}</text>'


def paragraph(x: Pixels, y: Pixels, said: str, width: Pixels) -> list[str]:
    """Returns text broken into lines of at most so many pixels, 17 pixels apart."""
    return [text(x, y + 17 * at, line) for at, line in enumerate(wrapped(said, width))]


def wrapped(said: str, width: Pixels, size: Pixels = 12) -> list[str]:
    """Breaks text at blanks into lines that fit a width, in any usual font; long words stay."""
    lines = [""]
    for word in said.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and len(longer) * size * _WIDE > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def rect(x: Pixels, y: Pixels, width: Pixels, height: Pixels, kind: str, more: str = "") -> str:
    """Returns a filled rectangle."""
    return (
        f'<rect class="{kind}" x="{number(x)}" y="{number(y)}" width="{number(width)}" '
        f'height="{number(height)}"{more}/>'
    )


def path(points: Sequence[tuple[Pixels, Pixels]], kind: str, *, closed: bool = False) -> str:
    """Returns straight lines from point to point."""
    joined = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return f'<path class="{kind}" d="M{joined}{"Z" if closed else ""}"/>'


def dot(x: Pixels, y: Pixels, kind: str, radius: Pixels = 3.6, said: str = "") -> str:
    """Returns a circle: the mark of a value, or a ring; what it says is shown on pointing at it."""
    inner = f"<title>{escape(plain(said))}</title>" if said else ""
    return (
        f'<circle class="{kind}" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}">'
        f"{inner}</circle>"
    )


def clipped(x: Pixels, y: Pixels, cell: tuple[Pixels, Pixels], parts: Sequence[str]) -> str:
    """Returns parts of a frame, drawn from its corner at (x, y); what lies beyond it is cut off."""
    size = f'width="{number(cell[0])}" height="{number(cell[1])}"'
    return f'<svg x="{number(x)}" y="{number(y)}" {size}>{"".join(parts)}</svg>'


def image(name: str, picture: UInt8[np.ndarray, "h w 3"], cell: tuple[Pixels, Pixels]) -> str:
    """Returns the definition of a picture that :func:`use` shows, any number of times.

    A JPEG without loss of colour resolution: as PNG, textured frames take three times as much.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    data = base64.b64encode(jpeg.tobytes()).decode()
    return (
        f'<image id={quoteattr(name)} width="{number(cell[0])}" height="{number(cell[1])}" '
        f'preserveAspectRatio="none" href="data:image/jpeg;base64,{data}"/>'
    )


def use(name: str, x: Pixels, y: Pixels) -> str:
    """Returns a picture defined by :func:`image`, its upper left corner at (x, y)."""
    return f'<use href={quoteattr("#" + name)} x="{number(x)}" y="{number(y)}"/>'
