"""Probes: what classifiers read off frozen features (design §12).

Each family fits all heads of its grid at once and scores them all at once:

- :mod:`~worldbench.probes.ridge`: closed form, one eigendecomposition for every penalty
- :mod:`~worldbench.probes.logistic`: batched L-BFGS
- :mod:`~worldbench.probes.neighbours`: k nearest, every k from one search
- :mod:`~worldbench.probes.attentive`: V-JEPA's pooler, and V-JEPA 2's deeper one

The first three see the mean token of a clip, the last sees every token.
"""
