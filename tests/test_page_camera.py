"""The page's camera tab in a real Chromium with a fake camera. Screenshots: build/screenshots/."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import WebDriverWait

from engine.pipeline.frame import Image
from tests import chromium as browsers
from tests.processes import ROOT, ServerProcess
from tests.serving import make_demo
from tests.test_page import PATIENCE, find, make_server, no_errors, shot

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

MODELS = ROOT.parent / "shared" / "models"
FAKE_CAMERA = "--use-fake-device-for-media-stream"
ALLOW = "--use-fake-ui-for-media-stream"
SIZE = (640, 480)


def film(source: Path, target: Path, seconds: float) -> Path:
    """Write the start of a clip as the Motion JPEG that Chromium's fake camera plays."""
    width, height = SIZE
    with av.open(str(source)) as clip, av.open(str(target), "w", format="mjpeg") as out:
        stream = out.add_stream("mjpeg", rate=30, options={"qmin": "3", "qmax": "5"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        stream.time_base = Fraction(1, 30)
        for number, frame in enumerate(clip.decode(video=0)):
            if number >= seconds * 30:
                break
            image = frame.to_ndarray(format="rgb24")
            left = (image.shape[1] - image.shape[0] * width // height) // 2
            part = np.ascontiguousarray(image[:, left : image.shape[1] - left])
            picture = av.VideoFrame.from_ndarray(part, format="rgb24")
            picture = picture.reformat(width, height, format="yuvj420p")
            picture.pts, picture.time_base = number, Fraction(1, 30)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return target


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    browsers.require()
    folder = tmp_path_factory.mktemp("camera")
    make_demo(folder)
    return folder


@pytest.fixture(scope="module")
def clip(root: Path, media: Path) -> Path:
    return film(media / "camera" / "person_1280x720.mp4", root / "person.mjpeg", 4.0)


@pytest.fixture
def server(root: Path) -> Iterator[ServerProcess]:
    server = make_server(root, AVATAR_MODELS=str(MODELS)).start()
    yield server
    server.stop_if_running()


@contextlib.contextmanager
def page(server: ServerProcess, clip: Path, *flags: str, **options: Any) -> Iterator[Chrome]:
    """Open the camera tab in a browser whose camera plays the clip."""
    camera = (FAKE_CAMERA, f"--use-file-for-fake-video-capture={clip}")
    with browsers.chromium(*camera, *flags, **options) as driver:
        driver.get(server.address + "#camera")
        yield driver


def state(driver: Chrome, wanted: str) -> None:
    selector = f"[data-testid='camera-status'][data-state='{wanted}']"
    WebDriverWait(driver, PATIENCE).until(lambda d: d.find_elements("css selector", selector))


def until(driver: Chrome, condition: Any) -> Any:
    return WebDriverWait(driver, PATIENCE).until(lambda _: condition())


def metric(driver: Chrome, name: str) -> float | None:
    value = find(driver, f"metric-{name}").get_attribute("data-value")
    return float(value) if value else None


def picture(driver: Chrome, name: str) -> Image:
    """Return what a video shows, RGB at 160x120."""
    data = driver.execute_script(
        """
        const video = document.querySelector(`[data-testid='${arguments[0]}']`);
        const context = new OffscreenCanvas(160, 120).getContext("2d");
        context.drawImage(video, 0, 0, 160, 120);
        return Array.from(context.getImageData(0, 0, 160, 120).data);
        """,
        name,
    )
    return np.array(data, np.uint8).reshape(120, 160, 4)[:, :, :3]


def likeness(one: Image, other: Image) -> float:
    """Return the correlation of two pictures."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def mirrored(driver: Chrome) -> bool:
    own, processed = picture(driver, "camera-own"), picture(driver, "camera-processed")
    return likeness(own[:, ::-1], processed) > likeness(own, processed)


def sharpness(image: Image) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def ask(driver: Chrome, path: str) -> Any:
    """Read one of the server's JSON routes."""
    return driver.execute_async_script(
        "fetch(arguments[0]).then((r) => r.json()).then(arguments[1])", path
    )


def camera_is_on(driver: Chrome) -> bool:
    stream = "document.querySelector(\"[data-testid='camera-own']\").srcObject"
    return bool(driver.execute_script(f"return {stream}?.active ?? false"))


def toggle(driver: Chrome, name: str, pressed: bool) -> None:
    find(driver, f"processor-{name}").click()
    selector = f"[data-testid='processor-{name}'][aria-pressed='{str(pressed).lower()}']"
    WebDriverWait(driver, PATIENCE).until(lambda d: d.find_elements("css selector", selector))


def test_the_camera_comes_back_processed(server: ServerProcess, clip: Path) -> None:
    with page(server, clip, ALLOW) as driver:
        assert find(driver, "tab-camera").get_attribute("aria-selected") == "true"
        shot(driver, "camera-1-off")
        assert not camera_is_on(driver)
        find(driver, "camera-start").click()
        state(driver, "live")
        first = picture(driver, "camera-processed")
        until(driver, lambda: likeness(first, picture(driver, "camera-processed")) < 0.999)
        until(driver, lambda: (metric(driver, "camera-fps") or 0) > 10)
        until(
            driver,
            lambda: (
                "code"
                in find(driver, "metric-camera-latency").find_element("xpath", "ancestor::div").text
            ),
        )
        latency = metric(driver, "camera-latency")
        assert latency is not None
        assert 5 < latency < 2000
        shot(driver, "camera-2-live")

        assert not mirrored(driver)
        (before,) = ask(driver, "/streams")
        toggle(driver, "mirror", True)
        until(driver, lambda: mirrored(driver))
        toggle(driver, "overlay", True)
        until(driver, lambda: picture(driver, "camera-processed")[:20, :60].mean() < 110)
        shot(driver, "camera-3-mirror-overlay")
        toggle(driver, "mirror", False)
        until(driver, lambda: not mirrored(driver))
        (after,) = ask(driver, "/streams")
        assert after["id"] == before["id"]

        find(driver, "camera-stop").click()
        state(driver, "idle")
        assert not camera_is_on(driver)
        until(driver, lambda: ask(driver, "/streams") == [])
        no_errors(driver)
