"""What sets the JEPA's networks apart from other models'."""

from collections.abc import Mapping

from worldbench_models.jepa.network import JEPA, SHAPES, Shape, parameters
from worldbench_models.origin import SIZE_WORDS, Model, read_size


def read_shape(fields: Mapping[str, object]) -> Shape | None:
    """Makes a shape of a header's, ``encoder`` and ``predictor``, None if it is none."""
    if fields.keys() != {"encoder", "predictor"}:
        return None
    encoder, predictor = read_size(fields["encoder"]), read_size(fields["predictor"])
    # One rotation of heads serves both.
    if encoder is None or predictor is None or encoder.head != predictor.head:
        return None
    return Shape(encoder, predictor)


MODEL: Model[Shape, JEPA] = Model(
    "jepa",
    JEPA,
    SHAPES,
    parameters,
    read_shape,
    f"encoder and predictor, with one head; each {SIZE_WORDS}",
)
"""A weight file's ``shape`` holds two sizes' numbers."""
