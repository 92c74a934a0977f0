"""What must hold before weights are committed; a gate that fails ships marked ``failed``.

``gate`` is one promise with its value; ``clips`` and ``quads`` make what is measured on, of the
``calibration`` split; ``forecast`` and ``presence`` measure and give their gates; ``rollouts``
keeps what an eye must see; ``report`` puts a model's list together. Adapters are used through
their contract alone. ``python -m worldbench_models.gates --help`` runs it.
"""

from worldbench_models.gates.gate import Gate, judged, seen, unmeasured

__all__ = ["Gate", "judged", "seen", "unmeasured"]
