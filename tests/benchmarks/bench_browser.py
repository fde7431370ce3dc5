"""Chromium: from POST /streams to the first picture, from a command to its picture, cadence."""

import itertools
import random
import statistics
import tempfile
import time
from pathlib import Path

from selenium.webdriver import Chrome

from tests.benchmarks.material import marked_avatar, server
from tests.benchmarks.table import Row, percentile
from tests.chromium import call, chromium, missing

_SCRIPT = (Path(__file__).parent / "client.js").read_text()


def run(quick: bool = False) -> list[Row]:
    """Measure what a viewer in Chromium sees; its ``.local`` candidates are left on."""
    reason = missing()
    if reason is not None:
        return [Row("everything in Chromium", reason, "a browser", False)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        marked_avatar(folder)
        with server(folder) as (address, _), chromium() as browser:
            _open(browser, address)
            rows = _starts(browser, 5 if quick else 20)
            call(browser, "viewer.connect('marked')")
            rows += _switches(browser, 6 if quick else 30)
            rows += _cadence(browser, 5 if quick else 60)
        with server(folder, morph=True) as (address, _), chromium() as browser:
            _open(browser, address)
            call(browser, "viewer.connect('marked')")
            rows += _morphed_switches(browser, 6 if quick else 30)
    return rows


def _open(browser: Chrome, address: str) -> None:
    browser.set_script_timeout(150)
    browser.get(address + "/health")
    browser.execute_script(_SCRIPT)


def _starts(browser: Chrome, runs: int) -> list[Row]:
    times = []
    hidden = 0
    for _ in range(runs + 1):
        found = call(browser, "viewer.connect('marked')")
        times.append(found["ms"])
        hidden += any(".local" in line for line in found["candidates"] or [])
        call(browser, "viewer.close()")
    # The first one also loads Chromium's media stack, and makes the server wait for the compiler.
    times = times[1:]
    p95 = percentile(times, 95)
    return [
        Row(
            f"POST /streams to first presented picture, {runs} runs",
            f"median {statistics.median(times):.0f} ms, p95 {p95:.0f} ms",
            "p95 <= 200 ms",
            p95 <= 200,
        ),
        Row("runs with .local candidates", f"{hidden} of {runs + 1}", "all", hidden == runs + 1),
    ]


def _switch(browser: Chrome, runs: int) -> list[dict[str, float]]:
    """Switch to and fro at random moments."""
    chance = random.Random(1)
    found = []
    bright = True
    for _ in range(runs):
        time.sleep(chance.uniform(0.3, 1.3))
        state = "gesture" if bright else "idle"
        found.append(call(browser, f"viewer.switchTo('{state}', {str(bright).lower()})"))
        bright = not bright
    return found


def _switches(browser: Chrome, runs: int) -> list[Row]:
    found = _switch(browser, runs)
    times = [run["ms"] for run in found]
    answers = [run["answered"] for run in found]
    p95, median = percentile(times, 95), statistics.median(times)
    return [
        Row(
            f"POST .../state to first presented picture of it, {runs} runs",
            f"median {median:.0f} ms, p95 {p95:.0f} ms",
            "median <= 100, p95 <= 150 ms",
            p95 <= 150 and median <= 100,
        ),
        Row("of that, until the call is answered", f"median {statistics.median(answers):.1f} ms"),
    ]


def _morphed_switches(browser: Chrome, runs: int) -> list[Row]:
    found = _switch(browser, runs)
    changed = [run["changed"] for run in found]
    whole = [run["ms"] for run in found]
    p95, median = percentile(changed, 95), statistics.median(changed)
    return [
        Row(
            f"the same with morphed transitions: to the first changed picture, {runs} runs",
            f"median {median:.0f} ms, p95 {p95:.0f} ms",
        ),
        Row(
            "the same, until the new clip itself is on the screen",
            f"median {statistics.median(whole):.0f} ms, p95 {percentile(whole, 95):.0f} ms",
        ),
    ]


def _cadence(browser: Chrome, seconds: float) -> list[Row]:
    before = call(browser, "viewer.report()")
    browser.execute_script("viewer.frames.length = 0")
    time.sleep(seconds)
    frames = browser.execute_script("return viewer.frames")
    after = call(browser, "viewer.report()")
    # The moment a picture is on the screen, not the moment the page hears of it.
    gaps = [b[3] - a[3] for a, b in itertools.pairwise(frames)]
    heard = [b[0] - a[0] for a, b in itertools.pairwise(frames)]
    rtp = [(b[1] - a[1]) % 2**32 for a, b in itertools.pairwise(frames)]
    freezes = after.get("freezeCount", 0) - before.get("freezeCount", 0)
    dropped = after.get("framesDropped", 0) - before.get("framesDropped", 0)
    low, high = percentile(gaps, 5), percentile(gaps, 95)
    return [
        Row(f"freezes in {seconds:.0f} s at 25 fps", str(freezes), "0", freezes == 0),
        Row(
            "intervals of presented pictures (expected display times)",
            f"p5 {low:.1f}, median {statistics.median(gaps):.1f}, p95 {high:.1f} ms",
            "p95 within 40 +- 10 ms",
            # A display of 60 Hz shows 40 ms as 33.3 or 50.0: whole milliseconds are what it tells.
            30 <= round(high) <= 50,
        ),
        Row("the same, by when the page is told of them", f"p95 {percentile(heard, 95):.1f} ms"),
        Row(
            "pictures presented, dropped",
            f"{len(frames)}, {dropped}; one picture apart: {rtp.count(3600) / len(rtp):.1%}",
        ),
    ]
