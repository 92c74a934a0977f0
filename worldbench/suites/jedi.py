"""``suite=jedi``: the JEPA Embedding Distance, a kernel distance in V-JEPA features.

Ranked is the unbiased estimate; the published, biased one stands beside it. The published features
are those of V-JEPA's ViT-H with its SSv2 attentive probe; here they are V-JEPA 2's, with its own
attentive pooler where the folder has one, and the card says so: values compare among themselves.
"""

from typing import Any, ClassVar

from worldbench.suites.video_distance import VideoDistance
from worldbench.suites.video_distance_options import Kind


class JEDi(VideoDistance):
    """JEDi of Luo et al. 2024 (arXiv 2410.05203).

    Args:
        context: Frames the model sees.
        horizon: Frames it must foresee; with the context 16 as published.
        samples: Rollouts per context.
        weights: Folder of a V-JEPA 2 model as transformers saves it; nothing takes its place.
        **options: As :class:`worldbench.suites.video_distance_options.Options`; ``whole`` is on.

    Raises:
        UsageError: As :class:`worldbench.suites.video_distance.VideoDistance`; also without
            weights.
    """

    name = "jedi"
    kind: ClassVar[Kind] = "jedi"

    def __init__(
        self,
        context: int = 4,
        horizon: int = 12,
        samples: int = 1,
        *,
        weights: str | None = None,
        **options: Any,
    ) -> None:
        from worldbench.metrics.transformer_extractors import model_folder

        given = {"whole": True, "ceiling": True, **options, "preset": "jedi"}
        super().__init__(context, horizon, samples, extractor="vjepa2", weights=weights, **given)
        model_folder("vjepa2", weights)
