"""What sets the DiT's networks apart from other models'."""

from worldbench_models.blocks import SIZES, Size
from worldbench_models.dit.network import DiT, parameters
from worldbench_models.origin import SIZE_WORDS, Model, read_size

MODEL: Model[Size, DiT] = Model("dit", DiT, SIZES, parameters, read_size, SIZE_WORDS)
"""A weight file's ``shape`` holds a size's numbers."""
