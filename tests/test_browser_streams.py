"""Sizes and codecs in a real Chromium, without the page."""

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome

from tests import chromium as browsers
from tests.clipmaking import numbered, write_clip
from tests.processes import ROOT, ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

CLIENT = (ROOT / "tests" / "benchmarks" / "client.js").read_text()

SIZES = {
    "small": ("256x256", 30),
    "square": ("1024x1024", 30),
    "wide": ("1280x720", 30),
    "upright": ("480x854", 25),
}


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser on a server that has an avatar of each size."""
    browsers.require()
    root = tmp_path_factory.mktemp("sizes")
    for name, (size, fps) in SIZES.items():
        folder = root / name
        folder.mkdir()
        for state in ("idle", "gesture"):
            write_clip(folder / f"{state}.mp4", [numbered(n) for n in range(20)], fps=fps)
        (folder / "avatar.yaml").write_text(
            f"states: {{idle: [idle.mp4], gesture: [gesture.mp4]}}\nsize: {size}\nfps: {fps}\n"
        )
    process = ServerProcess(
        *("--port", "0", "--videos", str(root)),
        *("--set", f"avatars.cache={root / 'cache'}", "--set", "avatars.compile_wait=120"),
    ).start()
    try:
        with browsers.chromium() as driver:
            driver.set_script_timeout(150)
            driver.get(process.address + "/health")
            driver.execute_script(CLIENT)
            yield driver
    finally:
        process.stop()


def connect(driver: Chrome, avatar: str, codec: str = "") -> dict[str, Any]:
    found: dict[str, Any] = driver.execute_async_script(
        """
        const [avatar, codec, done] = arguments;
        viewer.connect(avatar, codec).then(async () => {
          while (viewer.frames.length < 10) await new Promise((r) => setTimeout(r, 20));
          const report = await viewer.report();
          const size = [viewer.video.videoWidth, viewer.video.videoHeight];
          await viewer.close();
          done({size, codec: report.mimeType, decoded: report.framesDecoded});
        }, (error) => done({error: String(error)}));
        """,
        avatar,
        codec,
    )
    assert "error" not in found, found
    return found


@pytest.mark.parametrize("name", SIZES)
def test_every_size_is_decoded(name: str, viewer: Chrome) -> None:
    width, height = map(int, SIZES[name][0].split("x"))
    found = connect(viewer, name)
    assert found["size"] == [width, height]
    assert found["codec"] == "video/H264"
    assert found["decoded"] >= 10


def test_a_browser_without_h264_gets_vp8(viewer: Chrome) -> None:
    found = connect(viewer, "wide", "video/VP8")
    assert found["codec"] == "video/VP8"
    assert found["size"] == [1280, 720]
