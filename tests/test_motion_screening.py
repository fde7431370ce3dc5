"""What of a bad clip is played."""

import numpy as np
import pytest

from engine.motion.features import describe
from engine.motion.graph import Part
from engine.motion.screening import Screening, screen
from tests.motion_clips import FPS, Picture, changed, drawn, swaying


def _screened(pictures: list[Picture]) -> Screening:
    return screen("clip.mp4", describe(pictures), FPS)


def _black(picture: Picture) -> Picture:
    dark = np.full_like(picture, 128)
    dark[:128] = 16
    return dark


def _bright(picture: Picture) -> Picture:
    lit = picture.copy()
    lit[:128] = np.minimum(lit[:128].astype(int) + 60, 255)
    return lit


def test_a_good_clip_is_played_whole_without_warnings() -> None:
    found = _screened(swaying(75))
    assert found.parts == (Part(0, 75),)
    assert found.warnings == ()


def test_a_black_start_is_left_out() -> None:
    found = _screened(changed(swaying(75), range(12), _black))
    assert found.parts == (Part(12, 75),)
    assert "0.00 to 0.48 s is blank or black" in found.warnings[0]


def test_a_flash_is_left_out_and_divides_the_clip() -> None:
    found = _screened(changed(swaying(75), range(40, 43), _bright))
    assert found.parts == (Part(0, 40), Part(43, 75))
    assert "flash" in found.warnings[0]


def test_a_cut_divides_the_clip() -> None:
    pictures = swaying(75)
    moved = [np.roll(picture, 9, axis=1) for picture in pictures[40:]]
    found = _screened([*pictures[:40], *moved])
    assert found.parts == (Part(0, 40), Part(40, 75))
    assert "jumps at 1.60 s" in found.warnings[0]


def test_another_scene_is_left_out() -> None:
    found = _screened(changed(swaying(90), range(60, 90), lambda picture: 255 - picture))
    assert found.parts == (Part(0, 60),)
    assert any("another scene" in warning for warning in found.warnings)


def test_a_frozen_end_is_left_out() -> None:
    pictures = swaying(60)
    found = _screened([*pictures, *[pictures[-1]] * 20])
    assert found.parts == (Part(0, 60),)
    assert "frozen" in found.warnings[0]


@pytest.mark.parametrize(
    ("pictures", "word"),
    [([drawn(0.0)] * 60, "photograph"), (swaying(5), "only 0.2 s"), ([drawn(0.0)] * 2, "only")],
)
def test_what_there_is_is_played_with_a_warning(pictures: list[Picture], word: str) -> None:
    found = _screened(pictures)
    assert found.parts == (Part(0, len(pictures)),)
    assert any(word in warning for warning in found.warnings)


def test_a_clip_that_is_black_throughout_is_still_played() -> None:
    found = _screened([_black(p) for p in swaying(30)])
    assert found.parts == (Part(0, 30),)
