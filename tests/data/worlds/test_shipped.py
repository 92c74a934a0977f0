"""What is committed is what the code makes."""

import re
from pathlib import Path

import mujoco
import pytest

from worldbench.data import worlds
from worldbench.data.worlds.families import FAMILIES
from worldbench.data.worlds.sets import SETS
from worldbench.data.worlds.show import gallery
from worldbench.data.worlds.storage import store
from worldbench.data.worlds.storage.build import shipped_bytes

ROOT = Path(__file__).parents[3]
PINNED = re.search(r"^mujoco==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
SHIPPED = [name for name in SETS if shipped_bytes(name) is not None]
PAGE = ROOT / "reports" / "worlds"


def test_the_everyday_sets_are_shipped() -> None:
    quick = {name for name in SETS if name.endswith("_quick")}
    assert {"worlds", *quick} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sets_are_those_of_their_plans(name: str) -> None:
    packed = shipped_bytes(name)
    assert packed is not None
    assert store.read_label(packed).plan == SETS[name].digest, "ship the set again"
    # About two kilobytes a clip were planned for; the wheel must stay small.
    assert len(packed) < 1000 * store.read_label(packed).clips


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a falling target makes one balanced quad in seventeen scenes
@pytest.mark.parametrize("name", SHIPPED)
def test_simulating_a_shipped_set_again_gives_nearly_all_of_its_tracks(name: str) -> None:
    assert PINNED is not None
    if mujoco.__version__ != PINNED[1]:
        pytest.skip(f"simulated with MuJoCo {PINNED[1]}; {mujoco.__version__} gives other contacts")
    packed = shipped_bytes(name)
    assert packed is not None
    shipped = store.unpack(packed)
    made = SETS[name].make(2, lambda done, total: None)
    assert [clip.id for clip in made.clips] == [clip.id for clip in shipped.clips]
    assert [quad.id for quad in made.quads] == [quad.id for quad in shipped.quads]
    # Where bodies touch, the last bits of another processor's arithmetic grow: that is why tracks
    # are shipped. Of 768 clips one came out otherwise on a second kind of processor.
    pairs = zip(made.clips, shipped.clips, strict=True)
    same = [one.track.digest == other.track.digest for one, other in pairs]
    assert sum(same) >= 0.99 * len(same), f"{len(same) - sum(same)} of {len(same)} tracks differ"


def test_the_page_of_the_worlds_is_up_to_date() -> None:
    page = (PAGE / "README.md").read_text()
    assert page == gallery.text(), "python -m worldbench.data.worlds.show.gallery reports/worlds"
    shown = set(re.findall(r"\((\w+)\.jpg\)", page))
    assert shown == set(FAMILIES) == {path.stem for path in PAGE.glob("*.jpg")}


def test_public_names_resolve_and_others_do_not() -> None:
    assert all(callable(getattr(worlds, name)) for name in worlds.__all__)
    with pytest.raises(AttributeError, match="no attribute 'rnder'"):
        _ = worlds.rnder
