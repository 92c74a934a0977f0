"""The leaderboard: records → table → Markdown, JSON and a site of static pages. Imports no torch.

In reading order: ``board`` (what a board is), ``table`` (records → board) with ``columns``,
``scales`` (floor, ceiling, skill), ``rows`` and ``compare`` (ranks); then ``text``, ``breakdowns``
(their tables and curves), ``markdown``, ``chart``, ``curves`` (on ``axes``, in ``strokes``) and
``site`` (board → texts), ``files`` (texts → files), ``terminal`` (board → screen), ``showing``
(which records no board can show).
"""

from worldbench.leaderboard.board import Board, Cell, Column, Entry, Row, Section
from worldbench.leaderboard.files import render, stale, write
from worldbench.leaderboard.table import build
from worldbench.leaderboard.terminal import show

__all__ = [
    "Board",
    "Cell",
    "Column",
    "Entry",
    "Row",
    "Section",
    "build",
    "render",
    "show",
    "stale",
    "write",
]
