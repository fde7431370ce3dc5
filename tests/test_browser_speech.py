"""An avatar that speaks, on the page in a real Chromium, with a real server and espeak-ng."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests import chromium as browsers
from tests.processes import ServerProcess
from tests.serving import BRIGHT, DARK, make_demo, server_flags
from tests.test_page import becomes, find, middle, no_errors, shot, wait_for
from tests.test_page_speech import connect, level, status, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SENTENCE = "The morning train leaves from platform nine, and nobody knows where it will stop."
AUDIBLE = 0.01


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    browsers.require()
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed (apt-get install espeak-ng)")
    root: Path = tmp_path_factory.mktemp("avatars")
    make_demo(root)
    process = ServerProcess("--port", "0", *server_flags(root)).start()
    yield process
    process.stop()


@pytest.fixture
def browser(server: ServerProcess) -> Iterator[Chrome]:
    with browsers.chromium() as driver:
        driver.get(server.address + "/")
        yield driver


def captions(driver: Chrome) -> str:
    box = find(driver, "captions")
    return box.text if box.is_displayed() else ""


def is_said(driver: Chrome, text: str) -> bool:
    """Whether the caption that is shown is a part of a text."""
    shown = " ".join(captions(driver).split())
    return bool(shown) and shown in text


def test_a_typed_sentence_moves_the_avatar_is_heard_and_is_captioned(browser: Chrome) -> None:
    connect(browser)
    becomes(browser, DARK)
    until(browser, lambda: level(browser) < AUDIBLE)
    assert captions(browser) == ""

    find(browser, "say-text").send_keys(SENTENCE)
    find(browser, "say-send").click()
    status(browser, "speaking")
    becomes(browser, BRIGHT)
    until(browser, lambda: level(browser) > AUDIBLE)
    until(browser, lambda: is_said(browser, SENTENCE))
    shot(browser, "9-typed-sentence")

    status(browser, "idle")
    becomes(browser, DARK)
    until(browser, lambda: level(browser) < AUDIBLE)
    until(browser, lambda: captions(browser) == "")
    no_errors(browser)


def test_stop_ends_motion_sound_and_captions_at_once(browser: Chrome) -> None:
    connect(browser)
    find(browser, "say-text").send_keys(" ".join([SENTENCE] * 5))
    find(browser, "say-send").click()
    becomes(browser, BRIGHT)
    until(browser, lambda: level(browser) > AUDIBLE)
    find(browser, "say-stop").click()
    becomes(browser, DARK)
    until(browser, lambda: level(browser) < AUDIBLE)
    status(browser, "idle")
    assert captions(browser) == ""
    assert middle(browser) < (DARK + BRIGHT) / 2
    wait_for(browser, "connected")
    no_errors(browser)
