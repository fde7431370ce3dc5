"""The face swap on the page's camera tab, in a real Chromium with a fake camera."""

import base64
import itertools
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import Select

from engine.pipeline.frame import Image
from tests import chromium as browsers
from tests.processes import ServerProcess
from tests.serving import make_demo
from tests.test_page import find, make_server, shot
from tests.test_page_camera import (
    ALLOW,
    DARK,
    MODELS,
    SPANISH,
    ask,
    mirrored,
    page,
    picture,
    state,
    toggle,
    until,
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

SIZE = (640, 360)
FRAMES, TIMES = 8, 8

DRAG = """
const [place, name, type, coded, ...kinds] = arguments;
const bytes = Uint8Array.from(atob(coded), (char) => char.charCodeAt(0));
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([bytes], name, {type}));
for (const kind of kinds) {
  place.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer}));
}
"""
"""Drags a file over a part of the page, or drops it there."""

CLEARLY = 20
"""Difference of brightness that codecs do not make."""


def film(source: Path, target: Path) -> Path:
    """Write the start of a clip as the Motion JPEG that Chromium's fake camera plays.

    It is slow and runs to and fro, so that a picture hardly differs from one a little later.
    """
    with av.open(str(source)) as clip, av.open(str(target), "w", format="mjpeg") as out:
        stream = out.add_stream("mjpeg", rate=30, options={"qmin": "3", "qmax": "5"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        stream.time_base = Fraction(1, 30)
        frames = [
            frame.reformat(*SIZE, format="yuvj420p")
            for frame in itertools.islice(clip.decode(video=0), FRAMES)
        ]
        slow = [frame for frame in [*frames, *reversed(frames)] for _ in range(TIMES)]
        for number, frame in enumerate(slow):
            frame.pts, frame.time_base = number, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    browsers.require()
    folder = tmp_path_factory.mktemp("swap")
    make_demo(folder)
    return folder


@pytest.fixture(scope="module")
def clip(root: Path, media: Path) -> Path:
    return film(media / "camera" / "person_1280x720.mp4", root / "person.mjpeg")


@pytest.fixture
def server(root: Path) -> Iterator[ServerProcess]:
    if not MODELS.is_dir():
        pytest.skip(f"no face detector: {MODELS} does not exist")
    server = make_server(root, AVATAR_MODELS=str(MODELS)).start()
    yield server
    server.stop_if_running()


def set_slider(driver: Chrome, name: str, value: int) -> None:
    driver.execute_script(
        "arguments[0].value = arguments[1];"
        "arguments[0].dispatchEvent(new Event('input', {bubbles: true}));",
        find(driver, name),
        value,
    )


def pressed(driver: Chrome, name: str) -> bool:
    return find(driver, f"processor-{name}").get_attribute("aria-pressed") == "true"


def swap_of(driver: Chrome) -> dict[str, Any]:
    """Return how the face swap of the only stream stands in the server."""
    (stream,) = ask(driver, "/streams")
    found: dict[str, Any] = stream["face_swap"] or {}
    return found


def setting(driver: Chrome, name: str) -> Any:
    return swap_of(driver).get("settings", {}).get(name)


def dropped(driver: Chrome, path: Path, *kinds: str) -> None:
    coded = base64.b64encode(path.read_bytes()).decode()
    place = find(driver, "camera-own")
    driver.execute_script(DRAG, place, path.name, "image/jpeg", coded, *kinds)


def faces(driver: Chrome, count: int) -> None:
    """Wait until there are so many faces that the server has."""
    selector = "[data-testid='swap-faces'] > [aria-busy='false']"
    until(driver, lambda: len(driver.find_elements("css selector", selector)) == count)


def refused(driver: Chrome, kind: str) -> str:
    """Wait until the section says that something went wrong, and return its words."""
    selector = f"[data-testid='swap-error'][data-kind='{kind}']:not([hidden])"
    return str(until(driver, lambda: driver.find_elements("css selector", selector))[0].text)


def face_box(driver: Chrome) -> Image:
    """Wait until a person is swapped; return the box: left, top, right, bottom in pixels."""

    def swapped() -> list[float] | None:
        people = [one for one in swap_of(driver).get("people", ()) if one["source"] is not None]
        return people[0]["box"] if people else None

    return np.array(until(driver, swapped))


def difference(driver: Chrome, box: Image) -> tuple[float, float]:
    """Return how much of the picture comes back clearly changed: of the face, and beside it."""
    own, processed = (picture(driver, f"camera-{name}") for name in ("own", "processed"))
    changed = np.abs(own.astype(np.int16) - processed).max(axis=2) > CLEARLY
    height, width = changed.shape
    scale = np.array([width / SIZE[0], height / SIZE[1]] * 2)
    left, top, right, bottom = (box * scale).astype(int)
    margin = (right - left) // 8
    face = changed[top + margin : bottom - margin, left + margin : right - margin]
    # Not the time code and the mark, which are at the bottom and at the top.
    beside = changed[top:bottom, : left // 2], changed[top:bottom, (right + width) // 2 :]
    return float(face.mean()), float(np.concatenate(beside, axis=1).mean())


def is_swapped(driver: Chrome, box: Image) -> bool:
    face, beside = difference(driver, box)
    return face > 0.04 and face > 5 * beside


def is_as_it_was(driver: Chrome, box: Image) -> bool:
    return max(difference(driver, box)) < 0.01


def test_a_dropped_face_is_put_in(server: ServerProcess, clip: Path, media: Path) -> None:
    with page(server, clip, ALLOW) as driver:
        pictures = media / "faces"
        assert not find(driver, "swap-opacity").is_displayed()
        shot(driver, "swap-1-empty")
        dropped(driver, pictures / "mona_lisa.jpg", "dragenter", "dragover")
        assert find(driver, "camera-panel").get_attribute("data-drop") == "over"
        shot(driver, "swap-2-dragged")
        dropped(driver, pictures / "mona_lisa.jpg", "dragover", "drop")
        faces(driver, 1)
        assert "mona_lisa" in find(driver, "swap-face-1").text
        assert pressed(driver, "face_swap")
        find(driver, "swap-file").send_keys(str(pictures / "no_face_coffee.png"))
        assert "No face was found" in refused(driver, "NoFace")
        faces(driver, 1)
        shot(driver, "swap-3-no-face")
        find(driver, "swap-dismiss").click()
        assert ask(driver, "/streams") == []

        find(driver, "camera-start").click()
        state(driver, "live")
        box = face_box(driver)
        until(driver, lambda: is_swapped(driver, box))
        shot(driver, "swap-4-live")
        set_slider(driver, "swap-opacity", 0)
        until(driver, lambda: is_as_it_was(driver, box))
        set_slider(driver, "swap-opacity", 100)
        set_slider(driver, "swap-grow", 120)
        until(driver, lambda: is_swapped(driver, box) and setting(driver, "grow") == 1.2)
        assert setting(driver, "keep_mouth") is None
        find(driver, "swap-mouth").click()
        until(driver, lambda: setting(driver, "keep_mouth") is False)

        (before,) = ask(driver, "/streams")
        find(driver, "swap-file").send_keys(str(pictures / "six_people.jpg"))
        faces(driver, 2)
        until(driver, lambda: len(swap_of(driver).get("faces", ())) == 2)
        assert setting(driver, "selection") == "left_to_right"
        second = find(driver, "swap-face-2").find_element("css selector", "select")
        assert len(Select(second).options) == 6
        Select(second).select_by_index(4)
        until(driver, lambda: swap_of(driver)["faces"][1]["index"] == 4)
        Select(find(driver, "swap-who")).select_by_value("all")
        until(driver, lambda: setting(driver, "selection") == "all")
        toggle(driver, "mirror", True)
        until(driver, lambda: mirrored_and_swapped(driver))
        shot(driver, "swap-5-two-faces")
        toggle(driver, "mirror", False)

        for _ in range(2):
            find(driver, "swap-face-1").find_element("css selector", "button").click()
        until(driver, lambda: not pressed(driver, "face_swap"))
        until(driver, lambda: is_as_it_was(driver, box))
        (after,) = ask(driver, "/streams")
        assert (after["id"], after["face_swap"]) == (before["id"], None)


def mirrored_and_swapped(driver: Chrome) -> bool:
    (stream,) = ask(driver, "/streams")
    return stream["face_swap"] is not None and mirrored(driver)


def test_faces_outlive_a_killed_server(server: ServerProcess, clip: Path, media: Path) -> None:
    with page(server, clip, ALLOW, DARK, **SPANISH) as driver:
        phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        find(driver, "swap-file").send_keys(str(media / "faces" / "pearl_earring.jpg"))
        faces(driver, 1)
        find(driver, "swap-file").send_keys(str(Path(__file__)))
        assert "no se puede leer" in refused(driver, "PictureError")
        set_slider(driver, "swap-opacity", 90)
        find(driver, "camera-start").click()
        state(driver, "live")
        box = face_box(driver)
        until(driver, lambda: is_swapped(driver, box))
        (first,) = swap_of(driver)["faces"]
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        shot(driver, "swap-6-phone-dark-spanish")
        driver.execute_script("document.querySelector('#swap').scrollIntoView()")
        shot(driver, "swap-7-phone-controls")
        server.stop(signal.SIGKILL)
        state(driver, "reconnecting")
        server.start()
        state(driver, "live")
        until(driver, lambda: is_swapped(driver, box))
        (again,) = swap_of(driver)["faces"]
        assert again["face"] != first["face"]
        assert setting(driver, "opacity") == 0.9
