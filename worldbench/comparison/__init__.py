"""Two adapters on the same questions: paired differences, and the gate that guards a checkpoint.

In reading order: ``pairs`` (which records answer the same questions), ``outcome`` (what a
comparison is), ``measure`` with ``paired`` (records → outcome), ``words`` (outcome → text),
``render`` (terminal, Markdown, JSON, HTML); ``allowance``, ``gate`` and ``gate_report`` (outcome →
pass or fail). Imports no torch.
"""

from worldbench.comparison.measure import compare
from worldbench.comparison.outcome import Comparison
from worldbench.comparison.pairs import find

__all__ = ["Comparison", "compare", "find"]
