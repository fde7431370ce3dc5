"""Chromium: a camera's picture to the server, through a pipeline, and back on the screen."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import WebDriverWait

from tests.benchmarks.material import server
from tests.benchmarks.table import Row, percentile
from tests.chromium import call, chromium, missing

_SCRIPT = (Path(__file__).parent / "camera_client.js").read_text()
_WARM_UP_SECONDS = 3.0
_TARGET_MS = 150


def run(quick: bool = False) -> list[Row]:
    """Measure from drawing a picture in the page to seeing it come back, null processor."""
    reason = missing()
    if reason is not None:
        return [Row("everything in Chromium", reason, "a browser", False)]
    with (
        tempfile.TemporaryDirectory() as name,
        server(Path(name)) as (address, _),
        chromium() as browser,
    ):
        browser.set_script_timeout(60)
        browser.get(address + "/health")
        browser.execute_script(_SCRIPT)
        call(browser, "camera.connect(['none'])")
        rows = _latency(browser, 60 if quick else 600)
        call(browser, "camera.close()")
    return rows


def _latency(browser: Chrome, count: int) -> list[Row]:
    time.sleep(_WARM_UP_SECONDS)
    browser.execute_script("camera.readings.length = 0")
    WebDriverWait(browser, count).until(
        lambda b: b.execute_script("return camera.readings.length") >= count
    )
    found: dict[str, Any] = browser.execute_script(
        "return {readings: camera.readings, figures: camera.figures, stats: camera.stats}"
    )
    times = [shown for shown, _, _ in found["readings"]]
    received = [at for _, at, _ in found["readings"] if at is not None]
    p95 = percentile(times, 95)
    up, pipeline = found["figures"]["up"], found["figures"]["pipeline"]
    stages = ", ".join(
        f"{name} {value['p50_ms']:.1f}/{value['p95_ms']:.1f}"
        for name, value in pipeline["latency"].items()
    )
    return [
        Row(
            "browser camera to browser, null processor, 640x480: latency read from a time code "
            f"in the picture, {len(times)} readings",
            f"median {statistics.median(times):.0f} ms, p95 {p95:.0f} ms",
            f"p95 <= {_TARGET_MS} ms",
            p95 <= _TARGET_MS,
        ),
        Row(
            "of that, until its last packet is back in the browser",
            f"median {statistics.median(received):.0f} ms, p95 {percentile(received, 95):.0f} ms"
            if received
            else "not told by this browser",
        ),
        Row("the server's pipeline, p50/p95 of its stages in ms", stages),
        Row("the browser's encoder, mean", f"{up['encodeMs']:.1f} ms"),
        Row("the browser's jitter buffer, mean", f"{found['stats']['bufferMs']:.1f} ms"),
        Row(
            "frame rates: camera, processing, returned",
            f"{up['fps']:.1f}, {pipeline['process_fps']:.1f}, {found['stats']['fps']:.1f} fps",
        ),
    ]
