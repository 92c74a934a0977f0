"""The board as a site of static pages: no request leaves them, and they work without scripts.

In reading order: ``addresses`` (where pages lie), ``material`` (what they are made of beyond the
board), ``prose`` (suites in plain words), ``strips`` (scores in a cell), ``controls``, ``answers``,
``exposure``, ``costs``, ``seeds`` and ``duel`` (what single pages show), ``views`` (what templates
are given) and ``pages`` (templates → text).
"""

from worldbench.leaderboard.site.pages import render

__all__ = ["render"]
