"""What comes after A's and after P's context, in truth and in each adapter's own future."""

from collections.abc import Sequence

import cv2
import numpy as np

from worldbench.suites.futures import OWN, spaces_of
from worldbench.suites.quad_trials import Cut
from worldbench.suites.show import svg
from worldbench.suites.show.asked import Answer, AskedQuad, Foresight
from worldbench.suites.show.columns import GAP, Columns
from worldbench.suites.show.heat import colours, heat
from worldbench.suites.show.words import context_words, read_words, scene, true_words, yes, zone

_LEFT, _TOP, _BEFORE, _HEAD, _BETWEEN = 176, 62, 3, 52, 16

_FAINT = 0.05
"""Share of a token that shows the target below which no map is at its brightest."""

_HOW = (
    "Left of the cut is what was seen, right of it what comes. Dashed in white: the middle of the "
    "occluder; the green bar stands over the side where the target comes out. Warm tokens: how "
    "much more of the target the read-out sees there than in the last context frame, over which "
    "they are drawn; one map per latent step, under the frames that the "
    "bracket spans. White outline: where the target truly is then. A future is right about the "
    "zone if more of the target is on the green side after A's context than after P's, less what "
    "is on the other side; a phantom is a target that comes out after P's."
)


def rollout_figure(quad: AskedQuad) -> str:
    """Returns the figure of one quad as an SVG document; the quad's futures must be read."""
    return _Figure(quad).document()


class _Figure:
    """A figure while it is drawn: parts, pictures and how far down they reach."""

    def __init__(self, quad: AskedQuad) -> None:
        self.quad = quad
        cuts, (height, width) = quad.cuts, quad.pair.shape[2:4]
        end = max(cut.end for cut in cuts)
        first = cuts[0].context
        seen = range(max(0, first - _BEFORE), first)
        self.columns = Columns.of(seen, first, end, left=_LEFT, aspect=width / height)
        self.parts: list[str] = []
        self.images: dict[str, str] = {}
        self.top: svg.Pixels = _TOP

    def document(self) -> str:
        """Draws everything."""
        quad, title = self.quad, f"Rollouts: {self.quad.trial.id}"
        for clip, heading in enumerate(context_words(quad.trial)):
            self._context(clip, heading)
        if any(answer.foresight is not None for answer in quad.answers):
            self._scale()
        for answer in quad.answers:
            self._told(answer)
        how = svg.paragraph(16, self.top + 14, _HOW, svg.WIDTH - 32)
        height = self.top + 14 + 17 * len(how) + 4
        pictures = "".join(self.images.values())
        return svg.document(height, title, scene(quad.trial), [*self.parts, *how], pictures)

    def _context(self, clip: int, heading: str) -> None:
        """The truth of A or of P, and below it what adapters expect."""
        columns, top = self.columns, self.top
        self.parts += [
            svg.path([(16, top), (svg.WIDTH - 16, top)], ""),
            svg.text(16, top + 21, heading, "head"),
            *(
                svg.text(columns.middle(f, f + 1), top + 40, f, anchor="middle")
                for f in columns.frames
            ),
        ]
        self.top = top + _HEAD
        self.parts.append(svg.text(16, top + 40, "frame"))
        self._caption("true future", true_words(self.quad.trial)[clip])
        cut = self.quad.cuts[0]
        for frame in columns.frames:
            self._frame(clip, frame, self.quad.pair[clip, frame], f"t{clip}-{frame}")
        self._cut(cut)
        self._next()
        for number, answer in enumerate(self.quad.answers):
            if answer.foresight is not None and answer.cut is not None:
                self._expected(answer, answer.foresight, answer.cut, clip, f"r{number}-{clip}")
        self.top += _BETWEEN

    def _expected(
        self, answer: Answer, foresight: Foresight, cut: Cut, clip: int, name: str
    ) -> None:
        own = spaces_of(answer.card)[0] == OWN
        what = "read-out of its own latents" if own else "read-out, shared space"
        if foresight.rollouts is not None:
            self._caption(answer.label, "rollout")
            for at, picture in enumerate(foresight.rollouts[clip]):
                self._frame(clip, cut.context + at, picture, f"{name}-{at}")
            self._cut(cut)
            self._next()
            self._caption("", what)
        else:
            self._caption(answer.label, "read-out of foreseen latents")
        self._maps(answer, foresight, cut, clip, name)
        self._cut(cut)
        self._next()

    def _maps(self, answer: Answer, foresight: Foresight, cut: Cut, clip: int, name: str) -> None:
        stride, last = answer.card.temporal_stride, self.quad.pair[clip, cut.context - 1]
        columns, full = self.columns, _brightest(foresight)
        for step, coverage in enumerate(foresight.maps[clip].numpy()):
            start = cut.context + step * stride
            stop = min(start + stride, cut.end)
            x = columns.middle(start, stop) - columns.cell[0] / 2
            self._picture(f"{name}-m{step}", heat(last, coverage, full), x)
            self._middle(clip, stop - 1, x)
            self.parts += self._outline(clip, stop - 1, x)
            below, ends = self.top + columns.cell[1] + 5, (columns.x(start), columns.x(stop) - GAP)
            bracket = [
                (ends[0], below - 3),
                (ends[0], below),
                (ends[1], below),
                (ends[1], below - 3),
            ]
            self.parts.append(svg.path(bracket, "bracket"))
        reading, right = foresight.readings[0], columns.x(cut.context) - 14
        middle = self.top + columns.cell[1] / 2
        lines = [f"phantom: {yes(reading['model.phantom'])}"]
        if clip == 0:
            lines = [
                f"comes out: {yes(reading['model.emerged'])}",
                f"on the green side: {zone(reading['model.zone'])}",
            ]
        for at, line in enumerate(lines):
            y = middle + 4 + 18 * (at - (len(lines) - 1) / 2)
            self.parts.append(svg.text(right, y, line, "said", "end"))

    def _frame(self, clip: int, frame: int, picture: np.ndarray, name: str) -> None:
        """One frame in its column; of the future with the middle and the side of the exit."""
        x = self.columns.x(frame)
        self._picture(name, picture, x)
        if frame >= self.quad.cuts[0].context:
            self._middle(clip, frame, x)

    def _picture(self, name: str, picture: np.ndarray, x: svg.Pixels) -> None:
        self.images[name] = svg.image(name, picture, self.columns.cell)
        self.parts.append(svg.use(name, x, self.top))

    def _middle(self, clip: int, frame: int, x: svg.Pixels) -> None:
        wide, high = self.columns.cell
        truth, at = self.quad.truth[clip], frame
        middle = min(max(float(truth.middle[at]), 0.0), 1.0) * wide
        line = [(x + middle, self.top), (x + middle, self.top + high)]
        self.parts += [svg.path(line, "shade"), svg.path(line, "middle")]
        begin, width = (middle, wide - middle) if self.quad.side > 0 else (0.0, middle)
        self.parts.append(svg.rect(x + begin, self.top - 4, width, 3, "run"))

    def _outline(self, clip: int, frame: int, x: svg.Pixels) -> list[str]:
        """Where the target truly is at a frame."""
        mask = self.quad.truth[clip].target[frame].numpy().astype(np.uint8)
        scale = self.columns.cell[0] / mask.shape[1]
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        parts = []
        for contour in found:
            points = [
                (x + (float(px) + 0.5) * scale, self.top + (float(py) + 0.5) * scale)
                for px, py in contour[:, 0]
            ]
            parts += [svg.path(points, kind, closed=True) for kind in ("shade", "target")]
        return parts

    def _caption(self, first: str, second: str) -> None:
        """What a row is, left of it."""
        middle = self.top + self.columns.cell[1] / 2
        if first:
            self.parts.append(svg.text(16, middle - 6, first, "head"))
        self.parts += svg.paragraph(16, middle + (12 if first else -2), second, _LEFT - 24)

    def _cut(self, cut: Cut) -> None:
        x = self.columns.x(cut.context) - GAP / 2
        self.parts.append(
            svg.path([(x, self.top - 5), (x, self.top + self.columns.cell[1])], "cut")
        )

    def _next(self) -> None:
        self.top += self.columns.cell[1] + 14

    def _scale(self) -> None:
        """The colours of the maps and what they mean."""
        bar = np.tile(np.linspace(0, 1, 128, dtype=np.float32), (8, 1))
        picture = (bar[..., None] * colours(bar)).round().astype(np.uint8)
        self.images["scale"] = svg.image("scale", picture, (160, 10))
        y = self.top + 8
        self.parts += [
            svg.path([(16, self.top - 6), (svg.WIDTH - 16, self.top - 6)], ""),
            svg.text(16, y + 9, "read-out maps"),
            svg.text(_LEFT, y + 9, "0"),
            svg.use("scale", _LEFT + 14, y),
            svg.text(
                _LEFT + 182,
                y + 9,
                "share of a token that shows the target; what has full colour is told below",
            ),
        ]
        self.top = y + 34

    def _told(self, answer: Answer) -> None:
        """What every read-out says, space by space, or why nothing is read."""
        self.parts.append(svg.text(16, self.top, answer.label, "head"))
        lines: Sequence[str] = [answer.unread]
        if answer.foresight is not None:
            lines = [
                f"{_space(str(reading['space']))}: {read_words(reading)}"
                for reading in answer.foresight.readings
            ]
            bright = f"full colour at {_brightest(answer.foresight):.2g}"
            lines = [f"{lines[0]} · {bright}", *lines[1:]]
        for line in lines:
            told = svg.paragraph(_LEFT, self.top, line, svg.WIDTH - _LEFT - 16)
            self.parts += told
            self.top += 17 * len(told)
        self.top += 6


def _brightest(foresight: Foresight) -> float:
    """Returns the largest value of an adapter's maps, or what keeps noise from looking bright."""
    return max(float(foresight.maps.max()), _FAINT)


def _space(name: str) -> str:
    return "own latents" if name == OWN else name
