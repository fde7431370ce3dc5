"""The page's camera tab in a real Chromium with a fake camera. Screenshots: build/screenshots/."""

import contextlib
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import Select, WebDriverWait

from engine.pipeline.frame import Image
from tests import chromium as browsers
from tests.processes import ROOT, ServerProcess
from tests.serving import make_demo
from tests.test_page import PATIENCE, find, make_server, no_errors, shot

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

MODELS = ROOT.parent / "shared" / "models"
FAKE_CAMERA = "--use-fake-device-for-media-stream"
ALLOW = "--use-fake-ui-for-media-stream"
DENY = "--deny-permission-prompts"
DARK = "--force-dark-mode"
SPANISH: dict[str, Any] = {"languages": ("es-ES", "es")}
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
            part = np.ascontiguousarray(image[:, left : image.shape[1] - left], np.uint8)
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
    """Return how much detail there is around the face: the middle, somewhat above it."""
    part = cv2.cvtColor(image[25:85, 50:110], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(part, cv2.CV_64F).var())


def blur(driver: Chrome) -> float:
    """Return how much of the face's detail has come back, 1 for all of it."""
    own = sharpness(picture(driver, "camera-own"))
    return sharpness(picture(driver, "camera-processed")) / own


def shape(driver: Chrome, name: str) -> float:
    """Return a video's width divided by its height; 0 while there is none."""
    video = find(driver, name)
    width, height = (float(str(video.get_property(f"video{side}"))) for side in ("Width", "Height"))
    return width / height if height else 0.0


def ask(driver: Chrome, path: str) -> Any:
    """Read one of the server's JSON routes."""
    return driver.execute_async_script(
        "fetch(arguments[0]).then((r) => r.json()).then(arguments[1])", path
    )


def camera_is_on(driver: Chrome) -> bool:
    stream = "document.querySelector(\"[data-testid='camera-own']\").srcObject"
    return bool(driver.execute_script(f"return {stream}?.active ?? false"))


def publisher_is_gone(driver: Chrome, source: str) -> bool:
    """Whether the server no longer has the camera of this name."""
    body = {"source": source, "processors": []}
    answer = driver.execute_async_script(
        """
        const [body, done] = arguments;
        const headers = {"Content-Type": "application/json"};
        fetch("/streams", {method: "POST", headers, body: JSON.stringify(body)})
          .then((response) => response.json()).then(done);
        """,
        body,
    )
    return bool(answer.get("kind") == "PublisherNotFound")


def everything_has_ended(driver: Chrome, source: str) -> None:
    assert not camera_is_on(driver)
    until(driver, lambda: ask(driver, "/streams") == [])
    until(driver, lambda: publisher_is_gone(driver, source))


def kind(driver: Chrome, wanted: str) -> str:
    """Wait until the page says what went wrong, and return its words."""
    selector = f"[data-testid='camera-error'][data-kind='{wanted}']:not([hidden])"
    found = WebDriverWait(driver, PATIENCE).until(
        lambda d: d.find_element("css selector", selector)
    )
    return str(found.text)


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
        no_errors(driver)
        everything_has_ended(driver, after["video_id"])


def test_faces_become_unrecognisable(server: ServerProcess, clip: Path) -> None:
    if not MODELS.is_dir():
        pytest.skip(f"no face detector: {MODELS} does not exist")
    with page(server, clip, ALLOW, DARK) as driver:
        find(driver, "camera-start").click()
        state(driver, "live")
        until(driver, lambda: blur(driver) > 0.5)
        toggle(driver, "anonymise", True)
        until(driver, lambda: blur(driver) < 0.25)
        shot(driver, "camera-4-anonymised-dark")
        find(driver, "processor-background_blur").click()
        kind(driver, "MissingDependency")
        assert find(driver, "processor-background_blur").get_attribute("aria-pressed") == "false"
        assert find(driver, "camera-status").get_attribute("data-state") == "live"
        shot(driver, "camera-5-effect-missing-dark")
        find(driver, "tab-avatar").click()
        find(driver, "tab-camera").click()
        state(driver, "idle")
        assert not camera_is_on(driver)
        until(driver, lambda: ask(driver, "/streams") == [])


def test_a_missing_model_is_said_in_words(root: Path, clip: Path) -> None:
    server = make_server(root, AVATAR_MODELS=str(root)).start()
    try:
        with page(server, clip, ALLOW, **SPANISH) as driver:
            toggle(driver, "anonymise", True)
            find(driver, "camera-start").click()
            assert "modelo" in kind(driver, "ModelNotFound")
            state(driver, "failed")
            assert not camera_is_on(driver)
            toggle(driver, "anonymise", False)
            find(driver, "camera-start").click()
            state(driver, "live")
            find(driver, "processor-anonymise").click()
            kind(driver, "ModelNotFound")
            state(driver, "live")
    finally:
        server.stop_if_running()


@pytest.mark.parametrize(
    ("flags", "wanted", "words"),
    [
        ((FAKE_CAMERA, DENY), "CameraDenied", "Allow"),
        ((f"{FAKE_CAMERA}=device-count=0", ALLOW), "CameraMissing", "Plug"),
    ],
)
def test_no_camera_is_said_in_words(
    flags: tuple[str, ...], wanted: str, words: str, server: ServerProcess
) -> None:
    with browsers.chromium(*flags) as driver:
        driver.get(server.address + "#camera")
        find(driver, "camera-start").click()
        assert words in kind(driver, wanted)
        state(driver, "failed")
        shot(driver, f"camera-6-{wanted}")
        assert ask(driver, "/streams") == []
        assert find(driver, "camera-start").is_displayed()


def test_an_insecure_page_is_said_in_words(server: ServerProcess) -> None:
    with browsers.chromium("--host-resolver-rules=MAP camera.test 127.0.0.1") as driver:
        driver.get(server.address.replace("127.0.0.1", "camera.test") + "#camera")
        find(driver, "camera-start").click()
        assert "https" in kind(driver, "CameraInsecure")


def test_a_killed_server_is_survived_on_a_phone(server: ServerProcess, clip: Path) -> None:
    with page(server, clip, ALLOW, **SPANISH) as driver:
        phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        find(driver, "camera-start").click()
        state(driver, "live")
        until(driver, lambda: metric(driver, "camera-latency"))
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        shot(driver, "camera-7-phone-spanish")
        driver.execute_script("scrollTo(0, 9999)")
        shot(driver, "camera-8-phone-figures")
        server.stop(signal.SIGKILL)
        state(driver, "reconnecting")
        assert camera_is_on(driver)
        driver.execute_script("scrollTo(0, 0)")
        shot(driver, "camera-9-phone-reconnecting")
        server.start()
        state(driver, "live")
        (stream,) = ask(driver, "/streams")
        driver.get("about:blank")
        driver.get(server.address + "/health")
        until(driver, lambda: ask(driver, "/streams") == [])
        assert publisher_is_gone(driver, stream["video_id"])


def test_another_size_keeps_the_connection(server: ServerProcess) -> None:
    # Chromium's own test picture, which it has in any size.
    with browsers.chromium(FAKE_CAMERA, ALLOW) as driver:
        driver.get(server.address + "#camera")
        find(driver, "camera-start").click()
        state(driver, "live")
        (before,) = ask(driver, "/streams")
        assert shape(driver, "camera-processed") < 1.5
        Select(find(driver, "camera-size")).select_by_value("1280x720")
        until(driver, lambda: shape(driver, "camera-own") > 1.5)
        state(driver, "live")
        # Browsers begin with small pictures, and send larger ones when the way proves wide enough.
        until(driver, lambda: shape(driver, "camera-processed") > 1.5)
        assert [stream["id"] for stream in ask(driver, "/streams")] == [before["id"]]
