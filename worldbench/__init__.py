"""worldbench: one instrument for world models of both schools.

The path of a score, in reading order: ``data`` → ``adapter`` → ``suites`` → ``metrics`` →
``record`` → ``leaderboard``; ``evaluate`` is the loop that joins them.
"""

__version__ = "0.1.0"
