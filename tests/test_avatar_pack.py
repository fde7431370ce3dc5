"""Packs and the encoders that fill them."""

import errno
import io
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.avatar import encode, pack
from engine.avatar.pack import Pack
from engine.errors import MissingDependency, PackError
from tests.fakes import encoding, grey_pack


@pytest.fixture(scope="module")
def two_greys() -> Pack:
    return grey_pack({"idle": 40, "gesture": 200}, seconds=1.2)


def decode(units: list[bytes], codec: str) -> list[av.VideoFrame]:
    context = av.CodecContext.create({"H264": "h264", "VP8": "vp8"}[codec], "r")
    frames = [frame for unit in units for frame in context.decode(av.Packet(unit))]
    return frames + list(context.decode(None))


def test_a_pack_survives_the_disk(two_greys: Pack, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.pack"
    pack.write(two_greys, path)
    assert pack.read(path) == two_greys
    assert [p.name for p in path.parent.iterdir()] == ["a.pack"]


@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_any_changed_bit_is_noticed(
    place: int, bit: int, two_greys: Pack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pack") / "a.pack"
    pack.write(two_greys, path)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(PackError):
        pack.read(path)


@pytest.mark.parametrize("length", [0, 5, 25, 200])
def test_a_cut_pack_is_noticed(length: int, two_greys: Pack, tmp_path: Path) -> None:
    path = tmp_path / "a.pack"
    pack.write(two_greys, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(PackError):
        pack.read(path)


def test_a_missing_pack_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="cannot be read"):
        pack.read(tmp_path / "none.pack")


def test_a_full_disk_leaves_nothing_behind(
    two_greys: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pack"
    path.write_bytes(b"the pack before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pack.os, "fsync", full)
    with pytest.raises(PackError, match=r"No space left.*Free some space"):
        pack.write(two_greys, path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.pack"]
    assert path.read_bytes() == b"the pack before"


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_decoding_can_start_at_every_keyframe(codec: str, two_greys: Pack) -> None:
    units = two_greys.codecs[codec].access_units
    for clip, level in zip(two_greys.clips, (40, 200), strict=True):
        for keyframe in clip.keyframes:
            frames = decode(list(units[keyframe : keyframe + 3]), codec)
            assert len(frames) == min(3, clip.first + clip.count - keyframe)
            for frame in frames:
                assert abs(int(frame.to_ndarray(format="gray")[40, 40]) - level) < 12


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_no_picture_needs_one_of_before_its_keyframe(codec: str, two_greys: Pack) -> None:
    """Jump from the middle of one clip to each keyframe of the other: no trace of the first."""
    units = two_greys.codecs[codec].access_units
    first, second = two_greys.clips
    for keyframe in second.keyframes:
        jump = [*units[first.first : first.first + 5], *units[keyframe : keyframe + 5]]
        last = decode(jump, codec)[-1].to_ndarray(format="gray")
        assert abs(int(last[40, 40]) - 200) < 12


def test_h264_is_constrained_baseline_with_parameter_sets_at_each_keyframe(
    two_greys: Pack,
) -> None:
    pictures = two_greys.codecs["H264"]
    keyframes = {k for clip in two_greys.clips for k in clip.keyframes}
    for number, unit in enumerate(pictures.access_units):
        kinds = [nal[0] & 31 for nal in encode.split_nal_units(unit)]
        assert kinds == ([7, 8, 5] if number in keyframes else [1])
        assert unit.startswith(b"\0\0\0\1")
    profile, constraints = bytes.fromhex(pictures.profile_level_id)[:2]
    assert profile == 66
    assert constraints & 0x40, "constraint_set1: decodable by every profile"


@pytest.mark.parametrize(
    ("size", "fps", "level"),
    [
        ((256, 256), 30, 0x1F),
        ((1280, 720), 30, 0x1F),
        ((1024, 1024), 30, 0x20),
        ((720, 1280), 30, 0x1F),
        ((1280, 720), 60, 0x20),
        ((1920, 1080), 30, 0x28),
        ((1920, 1080), 60, 0x2A),
        ((1920, 1920), 60, 0x33),
    ],
)
def test_the_level_in_the_stream_is_what_the_size_needs(
    size: tuple[int, int], fps: int, level: int
) -> None:
    settings = encoding(size=size, fps=Fraction(fps), codecs=("H264",))
    encoder = encode.H264(settings)
    frame = av.VideoFrame(*size, "yuv420p")
    encoder.add(frame, keyframe=True)
    assert bytes.fromhex(encoder.finish().profile_level_id)[2] == level


def test_the_poster_is_a_jpeg_of_the_picture() -> None:
    frame = av.VideoFrame(96, 64, "yuv420p")
    for plane, value in zip(frame.planes, (180, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    with av.open(io.BytesIO(encode.poster(frame)), format="jpeg_pipe") as container:
        image = next(container.decode(video=0)).to_ndarray(format="gray")
    assert image.shape == (64, 96)
    # 180 in the television range is (180 - 16) * 255 / 219 in the full one.
    assert abs(int(image[32, 48]) - 191) < 4


def test_a_missing_encoder_says_how_to_get_one() -> None:
    class Nothing(encode.VP8):
        def __init__(self) -> None:
            encode.Encoder.__init__(self, encoding(), "libnothing", {})

    with pytest.raises(MissingDependency, match=r"libnothing.*pip install av"):
        Nothing()
