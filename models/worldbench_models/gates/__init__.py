"""What must hold before weights are committed; a gate that fails ships marked ``failed``.

``gate`` is one promise with its value; ``clips`` and ``quads`` make what is measured on, of the
``calibration`` split; ``forecast`` (of generators), ``foresight`` and ``features`` (of predictors,
through ``latents``) and ``presence`` measure and give their gates, with ``operators`` of surprise;
``rollouts`` keeps what an eye must see; ``measure`` goes through all that an adapter can do;
``trained`` is the run whose weights are measured; ``report`` puts its list together.
Adapters are used through their contract alone. ``python -m worldbench_models.gates RUN`` runs it.
"""

from worldbench_models.gates.gate import Gate, judged, seen, unmeasured

__all__ = ["Gate", "judged", "seen", "unmeasured"]
