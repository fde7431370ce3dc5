"""Letters on pictures: where they stand, what they cover, and their colours in any format."""

import re
from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame

from processors.generate.blending import Ink
from processors.generate.fonts import FontFile, find_font
from processors.generate.lettering import Layer, Lettering, wrapped
from processors.generate.subtitles import SubtitleStyle

pytest.importorskip("PIL", reason="Pillow is not installed")

LATIN = FontFile(None)
SIZE = (640, 360)


def layer(
    style: SubtitleStyle,
    *lines: str,
    size: tuple[int, int] = SIZE,
    aspect: Fraction = Fraction(1),
) -> Layer:
    made = Lettering(style, LATIN, size, aspect).layer(lines)
    assert made is not None
    return made


def test_letters_stand_where_the_style_says() -> None:
    places = {}
    for position in ("bottom", "middle", "top"):
        made = layer(SubtitleStyle(position=position, margin=10), "A line of letters")
        height, width = made.pixels.shape[:2]
        assert made.left + width / 2 == pytest.approx(SIZE[0] / 2, abs=1)
        places[position] = (made.top, made.top + height)

    assert places["top"][0] == 36
    assert places["bottom"][1] == 360 - 36
    assert sum(places["middle"]) / 2 == pytest.approx(180, abs=1)


def test_size_outline_and_box() -> None:
    plain = layer(SubtitleStyle(outline=0), "Hxg")
    outlined = layer(SubtitleStyle(outline=10), "Hxg")
    boxed = layer(SubtitleStyle(box=0.5, box_colour="#204060"), "Hxg")
    large = layer(SubtitleStyle(size=11, outline=0), "Hxg")

    assert (outlined.pixels[..., 3] > 0).sum() > 1.3 * (plain.pixels[..., 3] > 0).sum()
    assert boxed.pixels[boxed.pixels.shape[0] // 2, 2].tolist() == [0x20, 0x40, 0x60, 128]
    assert large.pixels.shape[0] == pytest.approx(2 * plain.pixels.shape[0], rel=0.1)
    covered = plain.pixels[plain.pixels[..., 3] == 255]
    assert set(map(tuple, covered[:, :3].tolist())) == {(255, 255, 255)}


def test_long_lines_are_broken_to_the_width() -> None:
    made = layer(SubtitleStyle(), "many words " * 12, size=(202, 360))
    assert made.pixels.shape[1] <= 202
    assert made.pixels.shape[0] > 60


def test_breaking() -> None:
    def fits(text: str) -> bool:
        return len(text) <= 8

    assert wrapped("one two three", fits) == ["one two", "three"]
    assert wrapped("incomprehensible x", fits) == ["incompre", "hensible", "x"]
    assert wrapped("你好世界你好世界你好", fits) == ["你好世界你好世界", "你好"]
    assert wrapped("  ", fits) == []


def test_what_is_beyond_the_edges_is_left_out() -> None:
    made = layer(SubtitleStyle(size=30), *["Wide"] * 9, size=(128, 96))
    height, width = made.pixels.shape[:2]

    assert made.top == 0
    assert made.left >= 0
    assert made.top + height <= 96
    assert made.left + width <= 128
    assert Lettering(SubtitleStyle(), LATIN, SIZE).layer([" ", ""]) is None


def test_letters_are_not_stretched_with_the_pixels() -> None:
    square = layer(SubtitleStyle(), "Stretch", size=(1024, 576))
    stored = layer(SubtitleStyle(), "Stretch", size=(720, 576), aspect=Fraction(64, 45))

    assert stored.pixels.shape[0] == square.pixels.shape[0]
    assert stored.pixels.shape[1] == pytest.approx(square.pixels.shape[1] * 45 / 64, abs=2)


@pytest.mark.parametrize(
    "name",
    [
        *("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj444p"),
        *("yuv420p10le", "yuv422p10le", "yuv444p10le"),
    ],
)
@pytest.mark.parametrize("matrix", [1, 5, 9])
def test_colours_come_out_as_asked_for_in_every_format(name: str, matrix: int) -> None:
    frame = VideoFrame.from_ndarray(np.full((64, 96, 3), 90, np.uint8), format="rgb24")
    frame = frame.reformat(format=name, dst_colorspace=matrix)
    full = "j" in name
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    colours = [(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0), (20, 60, 250)]
    for number, colour in enumerate(colours):
        pixels = np.full((12, 12, 4), 255, np.uint8)
        pixels[..., :3] = colour
        Ink(Layer(4 + 16 * number, 20, pixels), frame).apply(frame)

    shown = to_rgb(frame, matrix, full)
    for number, colour in enumerate(colours):
        at = shown[26, 4 + 16 * number + 6]
        assert at == pytest.approx(colour, abs=3), (name, matrix, colour)
    assert shown[4, 4] == pytest.approx((90, 90, 90), abs=2)


def to_rgb(frame: VideoFrame, matrix: int, full: bool) -> np.ndarray:
    """Decode the planes by the formulas of ITU-R BT.601, BT.709 and BT.2020."""
    red, blue = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    deep = frame.format.name.endswith("10le")
    kind, scale = (np.uint16, 4.0) if deep else (np.uint8, 1.0)
    values = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), kind)
        rows = rows.reshape(plane.height, -1)[:, : plane.width].astype(float)
        y, x = frame.height // plane.height, frame.width // plane.width
        values.append(np.kron(rows, np.ones((y, x))))
    most = 255.0 * scale + (3 if deep else 0)
    if full:
        luma, u, v = values[0] / most, *((v - 128 * scale) / most for v in values[1:])
    else:
        luma = (values[0] / scale - 16) / 219
        u, v = ((v / scale - 128) / 224 for v in values[1:])
    r = luma + 2 * (1 - red) * v
    b = luma + 2 * (1 - blue) * u
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.stack([r, g, b], -1) * 255


@pytest.mark.parametrize("place", [(0, 0), (3, 5), (80, 50)])
def test_only_what_is_covered_changes(place: tuple[int, int]) -> None:
    random = np.random.default_rng(3).integers(0, 255, (64, 96, 3), np.uint8)
    frame = VideoFrame.from_ndarray(random, format="rgb24").reformat(format="yuv420p")
    before = frame.to_ndarray()[:64].copy()
    pixels = np.full((9, 11, 4), 255, np.uint8)
    pixels[:4, :, 3] = 0
    Ink(Layer(*place, pixels), frame).apply(frame)
    after = frame.to_ndarray()[:64]

    changed = np.argwhere(before != after)
    left, top = place
    assert changed.size
    assert changed[:, 0].min() >= top + 4
    assert changed[:, 0].max() < top + 9
    assert changed[:, 1].min() >= left
    assert changed[:, 1].max() < left + 11


def test_white_does_not_dazzle_in_high_dynamic_range() -> None:
    frame = VideoFrame(32, 32, "yuv420p10le")
    frame.colorspace, frame.color_range, frame.color_trc = 9, 1, 16
    Ink(Layer(0, 0, np.full((32, 32, 4), 255, np.uint8)), frame).apply(frame)

    luma = np.frombuffer(memoryview(frame.planes[0]), np.uint16)[0]
    assert (luma / 4 - 16) / 219 == pytest.approx(0.58, abs=0.002)


def test_a_font_has_the_letters_of_the_text() -> None:
    latin = find_font("", "Hello")
    if latin.path is None:
        pytest.skip("fontconfig is not installed")
    assert re.fullmatch(r".*\.(ttf|otf|ttc|pfb|t1)", str(latin.path))
    assert find_font("No Such Family", "Hello") == latin
    assert find_font("", "Hello", bold=True) != latin


def test_without_fontconfig_there_are_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert find_font("", "Hello") == FontFile(None)
