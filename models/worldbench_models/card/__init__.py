"""A model's card, written from the files of its training run and from nothing else.

``run`` reads a run folder, ``words`` holds what is said of each model, ``page`` the Markdown with
``measurements`` for what gates were measured from, ``plot`` lines as SVG, ``curves`` a run's,
``sheet`` the rollouts. ``python -m worldbench_models.card RUN`` writes it.

``compare`` puts runs side by side, as ``columns``, with names for what was ``heldout``;
``python -m worldbench_models.card.overview`` does so with the reference models.
"""
