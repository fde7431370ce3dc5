"""What the pictures of a clip mean for an avatar, and what to do about it."""

from collections.abc import Iterator
from statistics import median

import numpy as np
from numpy.typing import NDArray

from engine.clips.findings import Finding
from engine.clips.info import ClipInfo
from engine.clips.measuring import BLACK, Measures

_FROZEN_STEP = 0.02
_FROZEN_SECONDS = 0.5
_CUT_STEP = 16.0
_FLASH_LEVEL = 18.0
_FLASH_SECONDS = 0.3


def judge_pictures(info: ClipInfo, measures: Measures) -> Iterator[Finding]:
    """Findings that need the pictures."""
    missing = info.frames - len(measures.times)
    if missing > 2:
        yield Finding(
            "warning",
            f"{missing} of {info.frames} pictures are damaged and cannot be decoded.",
            "The picture before each stays on screen; export the clip again if that shows.",
        )
    yield from _judge_edges(info, measures)
    yield from _judge_stills(measures)
    yield from _judge_jumps(measures)
    yield from _judge_light(measures)
    yield from _judge_camera(info, measures)
    yield from _judge_faces(info, measures)


def _judge_edges(info: ClipInfo, measures: Measures) -> Iterator[Finding]:
    if min(measures.dark, default=0.0) >= BLACK:
        yield Finding("error", "The whole clip is black.", "Choose another clip.")
        return
    first, last = measures.content()
    if first == 0 and last == len(measures.times):
        return
    start = measures.times[first]
    end = info.duration if last == len(measures.times) else measures.times[last]
    yield Finding(
        "warning",
        f"The picture is black for {start:.2f} s at the start and {info.duration - end:.2f} s at"
        " the end, so the avatar would blink black at each loop.",
        f"Cut the clip to {start:.2f} s until {end:.2f} s.",
        (("--start", f"{start:.2f}"), ("--duration", f"{end - start:.2f}")),
    )


def _judge_stills(measures: Measures) -> Iterator[Finding]:
    still = np.array(measures.steps) < _FROZEN_STEP
    for first, last in _runs(still[1:]):
        seconds = measures.times[last] - measures.times[first]
        if seconds >= _FROZEN_SECONDS:
            yield Finding(
                "warning",
                f"The picture stands still from {measures.times[first]:.2f} s to"
                f" {measures.times[last]:.2f} s.",
                "A person never does: cut that part off, or record again.",
            )


def _judge_jumps(measures: Measures) -> Iterator[Finding]:
    """Cuts and flashes: the picture changes at once, and stays so or comes back."""
    usual = median(measures.steps[1:]) if len(measures.steps) > 1 else 0.0
    after_flash = -1.0
    for index in range(1, len(measures.steps)):
        time = measures.times[index]
        if measures.steps[index] < max(_CUT_STEP, 5 * usual) or time < after_flash:
            continue
        before = measures.levels[index - 1]
        back = _comes_back(measures, index)
        if abs(measures.levels[index] - before) > _FLASH_LEVEL and back is not None:
            after_flash = back + 1e-6
            yield Finding(
                "warning",
                f"The light flashes at {time:.2f} s.",
                "Cut that part off, or record in steady light.",
            )
        else:
            yield Finding(
                "warning",
                f"There is a cut at {time:.2f} s: the picture changes at once.",
                "Use one uncut take: prepare the part before or after it by itself.",
                (("--start", f"{time:.2f}"),),
            )


def _comes_back(measures: Measures, index: int) -> float | None:
    """The time, soon after a jump, at which the light is again as before it."""
    for later in range(index + 1, len(measures.times)):
        if measures.times[later] - measures.times[index] > _FLASH_SECONDS:
            return None
        if abs(measures.levels[later] - measures.levels[index - 1]) < _FLASH_LEVEL / 3:
            return measures.times[later]
    return None


def _judge_light(measures: Measures) -> Iterator[Finding]:
    level = median(measures.levels)
    if level < 50 and min(measures.dark) < BLACK:
        yield Finding(
            "warning",
            f"The picture is very dark (mean luma {level:.0f} of 16 to 235).",
            "Record with more light; or brighten it.",
            (("--brightness", "0.08"), ("--contrast", "1.15")),
        )
    if median(measures.bright) > 0.15:
        yield Finding(
            "warning",
            f"{median(measures.bright):.0%} of the picture is pure white.",
            "Record with less light or a shorter exposure: what is white holds no detail.",
        )
    tenth = max(1, len(measures.levels) // 10)
    means = [
        float(np.mean(measures.levels[at : at + tenth]))
        for at in range(0, len(measures.levels) - tenth + 1, tenth)
    ]
    drift = means[-1] - means[0]
    if abs(drift) > 8:
        yield Finding(
            "warning",
            f"The picture gets {'brighter' if drift > 0 else 'darker'} by {abs(drift):.0f} of 219"
            " steps from start to end, so each loop jumps in brightness.",
            "Lock the exposure and the white balance of the camera.",
        )


def _judge_camera(info: ClipInfo, measures: Measures) -> Iterator[Finding]:
    if len(measures.poses) < 10:
        return
    path = np.array(measures.poses)[:, :2] * [info.width, info.width]
    window = max(3, round(float(info.fps)))
    shake = float(np.sqrt(((path - _moving_mean(path, window)) ** 2).sum(axis=1).mean()))
    if shake > 0.002 * info.width:
        yield Finding(
            "warning",
            f"The camera shakes by about {shake:.1f} pixels.",
            "Put it on a stand; or have the clip steadied.",
            (("--stabilize", ""),),
        )
        return
    reach = float((path.max(axis=0) - path.min(axis=0)).max())
    if reach > 0.03 * info.width:
        yield Finding(
            "warning",
            f"The camera moves by about {reach:.0f} pixels.",
            "Put it on a stand; or have the clip steadied.",
            (("--stabilize", ""),),
        )


def _judge_faces(info: ClipInfo, measures: Measures) -> Iterator[Finding]:
    if not measures.faces:
        return
    found = [faces for faces in measures.faces if faces]
    if len(found) < len(measures.faces) / 4:
        yield Finding(
            "warning",
            f"No face was found in {len(measures.faces) - len(found)} of {len(measures.faces)}"
            " samples.",
            "Choose a clip in which one person looks at the camera.",
        )
        return
    crowd = sum(len(faces) > 1 and faces[1].height > faces[0].height / 2 for faces in found)
    if crowd > len(found) / 4:
        yield Finding(
            "warning",
            "There is more than one face.",
            "Frame the largest one by itself.",
            (("--crop", "face"),),
        )
    height = median(faces[0].height for faces in found)
    if height * info.height < 100:
        yield Finding(
            "warning",
            f"The face is only {height * info.height:.0f} pixels high, which is blurred.",
            "Go nearer with the camera, or record at a higher resolution.",
            (("--crop", "face"),),
        )
    elif height < 0.25:
        yield Finding(
            "note",
            f"The face takes {height:.0%} of the height.",
            "Frame head and shoulders.",
            (("--crop", "face"),),
        )
    cut = sum(
        min(faces[0].left, faces[0].top) < 0 or faces[0].left + faces[0].width > 1
        for faces in found
    )
    if cut > len(found) / 10:
        yield Finding(
            "warning",
            f"The face leaves the picture in {cut} of {len(found)} samples.",
            "Leave room about the head: go back with the camera.",
        )


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First index and the one after the last of each stretch of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        yield int(first), int(last)


def _moving_mean(path: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Mean over a window about each point, shorter at the ends."""
    ones = np.ones(min(window, len(path)))
    counts = np.convolve(np.ones(len(path)), ones, "same")
    sums = [np.convolve(column, ones, "same") for column in path.T]
    return np.column_stack(sums) / counts[:, None]
