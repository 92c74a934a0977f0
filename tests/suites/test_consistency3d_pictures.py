"""Pictures of views: what is written, that it is well-formed, and what is refused."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from worldbench.suites.show import views


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pictures")
    said = ["--adapter", "copy_last", "--view", "truck/0001", "--device", "cpu"]
    assert views.main([str(out), *said]) == 0
    return out


def test_a_page_and_a_figure_of_every_view(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == [
        *("README.md", "reprojection-truck_0001.svg")
    ]
    page = (written / "README.md").read_text()
    assert "![reprojection-truck" in page.replace("\\", "")
    assert "python -m worldbench.suites.show.views" in page
    assert str(written.parent) not in page


def test_figures_show_every_future_with_its_correlation(written: Path) -> None:
    figure = ElementTree.parse(written / "reprojection-truck_0001.svg").getroot()
    said = ["".join(node.itertext()) for node in figure.iter() if node.tag.endswith("text")]
    assert {"real future", "copy_last", "last context frame"} <= set(said)
    correlations = [float(word.split()[1]) for word in said if word.startswith("NCC ")]
    assert len(correlations) == 8
    real, still = correlations[:4], correlations[4:]
    assert min(real) > 0.95
    assert max(still) < min(real)


def test_the_same_rollouts_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    said = ["--adapter", "copy_last", "--view", "truck/0001", "--device", "cpu"]
    assert views.main([str(tmp_path), *said]) == 0
    name = "reprojection-truck_0001.svg"
    assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_unknown_views_and_adapters_without_pixels_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert views.main([str(tmp_path), "--adapter", "copy_last", "--view", "truck/9999"]) == 2
    assert "truck/0000" in capsys.readouterr().err
    assert views.main([str(tmp_path), "--adapter", "jepa_random", "--view", "truck/0000"]) == 2
    assert "nobody generates pixels" in capsys.readouterr().err
    assert views.main([str(tmp_path)]) == 2
    assert "show.views OUT" in capsys.readouterr().err
