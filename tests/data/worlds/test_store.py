from dataclasses import replace

import numpy as np
import pytest
from handmade_worlds import HandPlan, hand_track

from worldbench.data.worlds.content import Content, WorldClip
from worldbench.data.worlds.storage.store import pack, read_label, unpack, unpack_samples
from worldbench.data.worlds.track import Track
from worldbench.errors import DataError


def made(**options: object) -> Content:
    return HandPlan(**options).make(1, lambda done, total: None)  # type: ignore[arg-type]


def of(*tracks: Track) -> Content:
    clips = [WorldClip(str(i), track, "test", str(i)) for i, track in enumerate(tracks)]
    return Content("x", tuple(clips))


def through(track: Track) -> Track:
    return unpack(pack(of(track))).clips[0].track


def test_content_comes_back_with_its_digest_names_quads_and_counts():
    content = made(quads=True)
    back = unpack(pack(content, plan="p"))
    assert back.digest == content.digest
    assert [c.id for c in back.clips] == [c.id for c in content.clips]
    assert back.quads == content.quads
    assert (back.name, back.drawn, back.rejected) == (content.name, {"speed": 3}, {})


def test_the_same_content_gives_the_same_bytes():
    assert pack(made()) == pack(made())


@pytest.mark.parametrize(
    "values",
    [
        [0.0, -0.0, 1.0, -1.0, -0.0, 0.0, 3.0, -0.0],
        [1e-30, 1.5, -3e38, np.inf, -np.inf, np.nan, 0.1, -0.0],
        [32767.99, -32768.0, 32767.0, -32768.0, 0.0, 5.0, -7.0, 1.0],
        [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
    ],
)
def test_any_float_survives_to_the_bit(values):
    pos = np.tile(np.array(values, np.float32)[:, None, None], (1, 2, 3))
    back = through(replace(hand_track(0), pos=pos)).pos
    assert back.dtype == np.float32
    assert back.tobytes() == pos.tobytes()


def test_random_bits_survive_in_every_array():
    rng = np.random.default_rng(0)
    track = hand_track(0)
    noise = {
        name: rng.integers(0, 255, array.nbytes, dtype=np.uint8).view(array.dtype)
        for name, array in track.arrays().items()
    }
    noise = {name: bits.reshape(getattr(track, name).shape) for name, bits in noise.items()}
    noise["contacts"] = rng.standard_normal((5, 4)).astype(np.float32)
    track = replace(track, **noise)
    back = through(track)
    assert all(back.arrays()[name].tobytes() == array.tobytes() for name, array in noise.items())


def test_clips_of_other_lengths_and_slot_counts_share_a_file():
    tracks = [hand_track(0, frames=2), hand_track(1, frames=16).without("prop"), hand_track(2)]
    tracks.append(hand_track(3).without("prop").without("target"))
    back = unpack(pack(of(*tracks)))
    assert [c.track.digest for c in back.clips] == [t.digest for t in tracks]


def test_an_empty_set_is_a_set():
    assert unpack(pack(of())).clips == ()


def test_smooth_motion_takes_few_bytes_and_a_partner_fewer():
    alone = [hand_track(seed, frames=16) for seed in range(40)]
    partners = [hand_track(seed, frames=16, speed=s) for seed in range(40) for s in (0.3, 0.4)]
    one, two = len(pack(of(*alone))), len(pack(of(*partners)))
    assert one / 40 < 1000
    assert two - one < 0.6 * one


def test_the_label_is_read_from_the_beginning_alone():
    content = made(quads=True)
    label = read_label(pack(content, plan="p")[:400])
    assert (label.name, label.plan, label.digest) == ("by_hand", "p", content.digest)
    assert (label.clips, label.quads, label.size) == (6, 1, (32, 32))


def test_samples_travel_beside_the_content():
    samples = {"a": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    packed = pack(made(), samples=samples)
    back = unpack_samples(packed)
    assert back is not None
    assert np.array_equal(back["a"], samples["a"])
    assert unpack(packed).digest == made().digest
    assert unpack_samples(pack(made())) is None


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9, 0.999])
def test_a_cut_file_is_refused(share):
    packed = pack(made(), samples={"a": np.zeros(9, np.uint8)})
    with pytest.raises(DataError, match="damaged or of another kind") as caught:
        unpack(packed[: int(len(packed) * share)])
    assert "delete it from the cache" in str(caught.value)


def test_a_changed_byte_anywhere_is_refused():
    packed = pack(made())
    first = packed.index(b'"digest"')
    for place in [3, first + 14, *range(len(packed) // 3, len(packed), len(packed) // 17)]:
        broken = bytearray(packed)
        broken[place] ^= 0x15
        with pytest.raises(DataError):
            unpack(bytes(broken))


@pytest.mark.parametrize(
    "foreign", [b"", b"\x89PNG\r\n\x1a\n", b"{}\n", b"worldbench worlds 9 {}\n"]
)
def test_foreign_bytes_are_refused(foreign):
    for read in (unpack, unpack_samples, read_label):
        with pytest.raises(DataError, match="of another kind"):
            read(foreign)
