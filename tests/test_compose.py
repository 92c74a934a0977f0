"""What a command line composes to."""

import pytest

from worldbench.compose import compose


@pytest.mark.parametrize(
    ("words", "data"),
    [
        (["suite=video_distance"], "worlds"),
        (["suite=permanence"], "permanence_quick"),
        (["suite=intphys", "data.root=DIR"], "intphys"),
        (["suite=permanence", "data=permanence_full"], "permanence_full"),
        (["data=permanence_full", "suite=permanence"], "permanence_full"),
        (["suite=video_distance", "data=permanence_quick"], "permanence_quick"),
    ],
)
@pytest.mark.usefixtures("clean_process")
def test_a_suite_brings_its_usual_data_unless_other_data_is_named(
    words: list[str], data: str
) -> None:
    assert compose(["adapter=copy_last", *words]).data.name == data
