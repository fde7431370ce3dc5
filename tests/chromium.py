"""A real, headless Chromium for tests and benchmarks, driven through Debian's chromedriver."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    # Pages in headless windows count as hidden else, and their timers are slowed down.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)


def missing() -> str | None:
    """Say what keeps a browser from being started, or return None."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install chromium chromium-driver)"
    return None


def require() -> None:
    """Skip the test without a browser; in CI that is a failure."""
    reason = missing()
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.contextmanager
def chromium(
    *flags: str, size: tuple[int, int] = (1280, 900), languages: Sequence[str] = ("en",)
) -> Iterator[webdriver.Chrome]:
    """Start a browser with an empty profile; it and its profile are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*_FLAGS, *flags):
            options.add_argument(flag)
        options.add_argument(f"--user-data-dir={profile}")
        options.add_argument(f"--window-size={size[0]},{size[1]}")
        options.add_argument(f"--lang={languages[0]}")
        options.add_experimental_option("prefs", {"intl.accept_languages": ",".join(languages)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = Service(
            shutil.which("chromedriver"), log_output=str(Path(profile) / "driver.log")
        )
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield driver
        finally:
            driver.quit()


def call(driver: webdriver.Chrome, expression: str) -> Any:
    """Await an expression in the page; its failure is raised here."""
    found = driver.execute_async_script(
        f"const done = arguments[0]; Promise.resolve({expression})"
        ".then((value) => done({value}), (error) => done({error: String(error)}))"
    )
    if "error" in found:
        raise RuntimeError(found["error"])
    return found.get("value")
