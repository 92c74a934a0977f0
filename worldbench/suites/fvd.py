"""``suite=fvd``: video distances in I3D features under a published protocol.

What most papers print as FVD, with what they leave out: the bias-corrected FD∞ and its interval
where there are clips enough, the unbiased kernel distance everywhere, ceiling and floor.
"""

from typing import Any

from worldbench.suites.video_distance import VideoDistance


class FVD(VideoDistance):
    """Fréchet video distance of Unterthiner et al. 2018 (arXiv 1812.01717).

    Args:
        context: Frames the model sees.
        horizon: Frames it must foresee.
        samples: Rollouts per context.
        weights: The I3D weight file; nothing takes its place.
        preset: A published way to measure with I3D.
        **options: As :class:`worldbench.suites.video_distance_options.Options`; ``whole`` is on,
            since published distances are of context and future together.

    Raises:
        UsageError: As :class:`worldbench.suites.video_distance.VideoDistance`; also without
            weights.
    """

    name = "fvd"

    def __init__(
        self,
        context: int = 4,
        horizon: int = 12,
        samples: int = 1,
        *,
        weights: str | None = None,
        preset: str = "styleganv",
        **options: Any,
    ) -> None:
        from worldbench.metrics.i3d_weights import find_weights

        given = {"whole": True, "ceiling": True, **options, "preset": preset}
        super().__init__(context, horizon, samples, extractor="i3d", weights=weights, **given)
        find_weights(weights)
