"""What is committed is what the code makes."""

import re
from collections import Counter
from pathlib import Path

import mujoco
import pytest

from worldbench.data import worlds
from worldbench.data.worlds.families import FAMILIES
from worldbench.data.worlds.quad_plans import SEEDS_APART, QuadPlan
from worldbench.data.worlds.sets import SETS
from worldbench.data.worlds.show import gallery
from worldbench.data.worlds.simulation import in_parallel, simulate
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.storage import store
from worldbench.data.worlds.storage.build import shipped_bytes
from worldbench.data.worlds.track import Track

ROOT = Path(__file__).parents[3]
PINNED = re.search(r"^mujoco==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
SHIPPED = [name for name in SETS if shipped_bytes(name) is not None]
PAGE = ROOT / "reports" / "worlds"


def test_the_everyday_sets_are_shipped() -> None:
    quick = {name for name in SETS if name.endswith("_quick")}
    assert {"worlds", "permanence_full", "consistency3d_full", *quick} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sets_are_those_of_their_plans(name: str) -> None:
    packed = shipped_bytes(name)
    assert packed is not None
    assert store.read_label(packed).plan == SETS[name].digest, "ship the set again"
    # About two kilobytes a clip were planned for; the wheel must stay small.
    assert len(packed) < 1000 * store.read_label(packed).clips


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SHIPPED)
def test_simulating_a_shipped_set_again_gives_nearly_all_of_its_tracks(name: str) -> None:
    """Clip by clip from their own specs: drawing and choosing quads anew would take an hour."""
    assert PINNED is not None
    if mujoco.__version__ != PINNED[1]:
        pytest.skip(f"simulated with MuJoCo {PINNED[1]}; {mujoco.__version__} gives other contacts")
    packed = shipped_bytes(name)
    assert packed is not None
    clips = store.unpack(packed).clips
    chosen = clips[:: max(1, len(clips) // 400)]
    made = in_parallel(_again, [(clip.track.spec, "/visible/" in clip.id) for clip in chosen], 2)
    # Where bodies touch, the last bits of another processor's arithmetic grow: that is why tracks
    # are shipped. Of 768 clips one came out otherwise on a second kind of processor.
    same = [one.digest == other.track.digest for one, other in zip(made, chosen, strict=True)]
    assert sum(same) >= 0.99 * len(same), f"{len(same) - sum(same)} of {len(same)} tracks differ"


def _again(job: tuple[SceneSpec, bool]) -> Track:
    spec, control = job
    track = simulate(spec)
    # What the edge of the frame hides has a control that is staged anew.
    bare = control and dict(spec.factors).get("hide") != "in_view"
    return track.without("occluder") if bare else track


@pytest.mark.parametrize("name", [name for name in SHIPPED if isinstance(SETS[name], QuadPlan)])
def test_shipped_quads_are_scenes_of_their_plans(name: str) -> None:
    packed, plan = shipped_bytes(name), SETS[name]
    assert packed is not None
    assert isinstance(plan, QuadPlan)
    content = store.unpack(packed)
    tracks = {clip.id: clip.track for clip in content.clips}
    drawn = {scene.name: scene for scene in plan.scenes()}
    kinds: Counter[tuple[str, str]] = Counter()
    for quad in content.quads:
        scene, spec = drawn[quad.cluster], tracks[quad.clips[0]].spec
        assert (spec.seed - scene.spec.seed) % SEEDS_APART == 0
        if quad.condition != "visible":
            kinds[(scene.kind, "train" if spec.split == "train" else "test")] += 1
    wanted = {(kind, "test"): count for kind, count in plan.counts.items()}
    wanted |= {(kind, "train"): count for kind, count in plan.training.items()}
    assert kinds == wanted


def test_the_page_of_the_worlds_is_up_to_date() -> None:
    page = (PAGE / "README.md").read_text()
    assert page == gallery.text(), "python -m worldbench.data.worlds.show.gallery reports/worlds"
    shown = set(re.findall(r"\((\w+)\.jpg\)", page))
    assert shown == set(FAMILIES) == {path.stem for path in PAGE.glob("*.jpg")}


def test_public_names_resolve_and_others_do_not() -> None:
    assert all(callable(getattr(worlds, name)) for name in worlds.__all__)
    with pytest.raises(AttributeError, match="no attribute 'rnder'"):
        _ = worlds.rnder
