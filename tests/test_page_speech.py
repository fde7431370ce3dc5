"""Speech on the page in a real Chromium, against a server whose speech the tests act out."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests import chromium as browsers
from tests.speaking_server import VTT, SpeakingServer
from tests.test_page import PATIENCE, find, no_errors, shot, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

TEXT = "Good morning to you"
LONG_MS = 60_000
"""Longer than any test looks at a caption."""


@pytest.fixture
def server() -> Iterator[SpeakingServer]:
    browsers.require()
    server = SpeakingServer().start()
    yield server
    server.stop()


@pytest.fixture
def browser(server: SpeakingServer) -> Iterator[Chrome]:
    with browsers.chromium() as driver:
        driver.get(server.address + "/")
        yield driver


def until(driver: Chrome, condition: Callable[[], Any]) -> Any:
    return WebDriverWait(driver, PATIENCE).until(lambda _: condition())


def connect(driver: Chrome) -> None:
    until(driver, lambda: find(driver, "connect").is_enabled())
    find(driver, "connect").click()
    wait_for(driver, "connected")


def status(driver: Chrome, wanted: str) -> None:
    until(driver, lambda: find(driver, "speech-status").get_attribute("data-state") == wanted)


def level(driver: Chrome) -> float:
    return float(find(driver, "sound-level").get_attribute("data-level") or "nan")


def video(driver: Chrome, name: str) -> Any:
    return driver.execute_script("return document.querySelector('video')[arguments[0]]", name)


def cue(utterance: str, text: str, step_ms: int, start_ms: int = 0) -> dict[str, Any]:
    """Make a caption whose words follow each other at an even pace."""
    words = [
        {"text": word, "start_ms": start_ms + n * step_ms, "end_ms": start_ms + (n + 1) * step_ms}
        for n, word in enumerate(text.split())
    ]
    end_ms = start_ms + len(words) * step_ms
    times = {"start_ms": start_ms, "end_ms": end_ms}
    return {"utterance": utterance, "text": text, "words": words, **times}


def said_now(driver: Chrome) -> str:
    """Return the word that is marked as being heard."""
    words = driver.find_elements("css selector", "[data-testid='captions'] .now")
    return words[0].text if words else ""


def test_a_text_is_sent_by_enter_and_given_back_when_refused(
    server: SpeakingServer, browser: Chrome
) -> None:
    assert not find(browser, "say-text").is_displayed()
    connect(browser)
    box = find(browser, "say-text")
    find(browser, "say-send").click()
    assert browser.switch_to.active_element == box
    box.send_keys("One", Keys.SHIFT + Keys.ENTER)
    box.send_keys("two", Keys.ENTER)
    until(browser, lambda: server.texts == ["One\ntwo"])
    assert box.get_property("value") == ""

    server.refusal = (501, "MissingDependency", "espeak-ng was not found.")
    box.send_keys("Three")
    find(browser, "say-send").click()
    until(browser, lambda: "espeak-ng was not found" in find(browser, "speech-error").text)
    assert "501" not in find(browser, "speech-error").text
    assert box.get_property("value") == "Three"
    wait_for(browser, "connected")
    shot(browser, "7-speech-refused")

    server.refusal = None
    box.send_keys(Keys.ENTER)
    until(browser, lambda: not find(browser, "speech-error").is_displayed())
    assert server.texts == ["One\ntwo", "Three", "Three"]
    severe = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert all("501" in message for message in severe)


def test_an_utterance_is_followed_by_status_captions_and_level(
    server: SpeakingServer, browser: Chrome
) -> None:
    connect(browser)
    assert not find(browser, "say-stop").is_enabled()
    until(browser, lambda: level(browser) < 0.01)
    server.event("stream/queued", utterance="a", waiting=0)
    status(browser, "queued")
    server.event("caption", **cue("a", TEXT, 400))
    assert not find(browser, "captions").is_displayed()

    server.sound(0.4)
    server.event("stream/started", utterance="a", rtp_timestamp=0, duration_ms=1600)
    status(browser, "speaking")
    assert find(browser, "say-stop").is_enabled()
    heard = [until(browser, lambda: said_now(browser))]
    while heard[-1] != "you":
        heard.append(until(browser, lambda: (now := said_now(browser)) != heard[-1] and now))
    # A busy machine may not see every word, but those that it sees come in order.
    order = [TEXT.split().index(word) for word in heard]
    assert order == sorted(set(order))
    assert len(heard) >= 2
    assert find(browser, "captions").text == TEXT
    # Chromium takes the peak.
    until(browser, lambda: abs(level(browser) - 0.4) < 0.05)
    shot(browser, "8-speaking")

    server.event("stream/queued", utterance="b", waiting=1)
    until(browser, lambda: "1" in find(browser, "speech-status").text)
    server.event("stream/done", utterance="a", position_ms=1600)
    status(browser, "queued")
    server.event("stream/started", utterance="b", rtp_timestamp=0, duration_ms=None)
    server.event("stream/done", utterance="b", position_ms=10)
    status(browser, "idle")
    until(browser, lambda: not find(browser, "captions").is_displayed())
    server.sound(0)
    until(browser, lambda: level(browser) < 0.01)
    no_errors(browser)


def test_stop_ends_the_caption_and_the_queue(server: SpeakingServer, browser: Chrome) -> None:
    connect(browser)
    for name in ("a", "b", "c"):
        server.event("stream/queued", utterance=name, waiting=0)
    server.event("caption", **cue("a", TEXT, LONG_MS))
    server.event("stream/started", utterance="a", rtp_timestamp=0, duration_ms=None)
    until(browser, lambda: said_now(browser) == "Good")
    until(browser, lambda: "2" in find(browser, "speech-status").text)
    find(browser, "say-stop").click()
    until(browser, lambda: server.interrupts == 1)
    browser.find_element("tag name", "body").send_keys("x")
    until(browser, lambda: server.interrupts == 2)
    for name in ("b", "c"):
        server.event("stream/interrupted", utterance=name, position_ms=0, dropped=True)
    status(browser, "speaking")
    server.event("stream/interrupted", utterance="a", position_ms=900, dropped=False)
    status(browser, "idle")
    assert not find(browser, "captions").is_displayed()
    assert not find(browser, "say-stop").is_enabled()


def test_a_text_that_is_being_prepared_can_be_stopped(
    server: SpeakingServer, browser: Chrome
) -> None:
    connect(browser)
    find(browser, "say-text").send_keys("Wait for it", Keys.ENTER)
    until(browser, lambda: server.utterances)
    status(browser, "queued")
    find(browser, "say-stop").click()
    until(browser, lambda: server.interrupts == 1)
    (name,) = server.utterances
    server.event("stream/interrupted", utterance=name, position_ms=0, dropped=True)
    status(browser, "idle")


def test_a_failed_utterance_is_said_in_words_and_the_session_lives(
    server: SpeakingServer, browser: Chrome
) -> None:
    connect(browser)
    server.event("stream/queued", utterance="a", waiting=0)
    status(browser, "queued")
    server.event("stream/error", utterance="a", kind="NeverHeardOf", description="It broke.")
    status(browser, "idle")
    error = find(browser, "speech-error")
    until(browser, lambda: "It broke." in error.text)
    assert error.get_attribute("data-kind") == "NeverHeardOf"
    assert "could not be said" in error.text
    assert not find(browser, "error").is_displayed()
    wait_for(browser, "connected")


def test_sound_is_on_after_a_click_and_its_volume_is_remembered(
    server: SpeakingServer, browser: Chrome
) -> None:
    connect(browser)
    until(browser, lambda: video(browser, "muted") is False)
    assert not find(browser, "unmute").is_displayed()
    find(browser, "volume").send_keys(Keys.ARROW_LEFT * 4)
    assert video(browser, "volume") == pytest.approx(0.8)
    find(browser, "mute").click()
    assert video(browser, "muted") is True
    assert find(browser, "mute").get_attribute("aria-pressed") == "true"

    browser.refresh()
    connect(browser)
    assert video(browser, "muted") is True
    assert find(browser, "mute").get_attribute("aria-pressed") == "true"
    browser.find_element("tag name", "body").send_keys("m")
    until(browser, lambda: video(browser, "muted") is False)
    assert video(browser, "volume") == pytest.approx(0.8)
    no_errors(browser)


def test_where_the_browser_wants_a_click_a_button_asks_for_it(server: SpeakingServer) -> None:
    with browsers.chromium("--autoplay-policy=document-user-activation-required") as driver:
        driver.get(server.address + "/?autoconnect=1")
        wait_for(driver, "connected")
        until(driver, lambda: find(driver, "unmute").is_displayed())
        assert video(driver, "muted") is True
        assert video(driver, "paused") is False
        shot(driver, "9-turn-on-sound")
        find(driver, "unmute").click()
        until(driver, lambda: video(driver, "muted") is False)
        assert video(driver, "paused") is False
        assert not find(driver, "unmute").is_displayed()


def test_captions_can_be_switched_off_and_saved(
    server: SpeakingServer, browser: Chrome, tmp_path: Path
) -> None:
    folder = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
    connect(browser)
    assert not find(browser, "captions-file").is_displayed()
    server.event("caption", **cue("a", TEXT, LONG_MS))
    server.event("stream/started", utterance="a", rtp_timestamp=0, duration_ms=None)
    until(browser, lambda: find(browser, "captions").is_displayed())
    find(browser, "captions-file").click()
    saved = tmp_path / "captions.vtt"
    until(browser, saved.exists)
    assert saved.read_text() == VTT

    find(browser, "captions-toggle").click()
    assert not find(browser, "captions").is_displayed()
    browser.refresh()
    connect(browser)
    assert find(browser, "captions-toggle").get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("place", ["choose", "stage"])
def test_a_sound_file_is_chosen_or_dropped(
    server: SpeakingServer, browser: Chrome, tmp_path: Path, place: str
) -> None:
    connect(browser)
    content = bytes(range(256)) * 50
    if place == "choose":
        path = tmp_path / "hello.wav"
        path.write_bytes(content)
        find(browser, "say-file").send_keys(str(path))
    else:
        browser.execute_script(
            """
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(arguments[0])], "hello.wav"));
            const options = {bubbles: true, cancelable: true, dataTransfer: files};
            const stage = document.getElementById("stage");
            for (const name of ["dragenter", "dragover", "drop"]) {
              stage.dispatchEvent(new DragEvent(name, options));
            }
            """,
            list(content),
        )
    until(browser, lambda: server.files.get("hello.wav") == content)
    no_errors(browser)


def test_a_lost_connection_keeps_the_text_and_forgets_the_queue(
    server: SpeakingServer, browser: Chrome
) -> None:
    connect(browser)
    find(browser, "say-text").send_keys("Half a sent")
    server.event("stream/started", utterance="a", rtp_timestamp=0, duration_ms=None)
    status(browser, "speaking")
    server.drop()
    wait_for(browser, "reconnecting")
    status(browser, "idle")
    assert find(browser, "say-text").is_displayed()
    assert not find(browser, "say-send").is_enabled()
    server.admit()
    wait_for(browser, "connected")
    assert find(browser, "say-text").get_property("value") == "Half a sent"
    find(browser, "say-send").click()
    until(browser, lambda: server.texts == ["Half a sent"])


def test_without_a_provider_the_box_says_what_to_install(
    server: SpeakingServer, browser: Chrome
) -> None:
    server.speech = {"enabled": True, "provider": None, "captions": False}
    connect(browser)
    assert not find(browser, "say-text").is_enabled()
    assert "espeak-ng" in find(browser, "say-hint").text
    assert find(browser, "say-file").is_enabled()
    assert find(browser, "talk").is_enabled()
    assert not find(browser, "captions-toggle").is_displayed()
    browser.refresh()
    server.speech = {"enabled": False, "provider": None, "captions": False}
    connect(browser)
    for name in ("talk", "say-send", "mute", "captions-toggle", "unmute"):
        assert not find(browser, name).is_displayed()


def test_spanish_on_a_phone(server: SpeakingServer) -> None:
    with browsers.chromium(languages=("es-ES", "es")) as driver:
        size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(server.address + "/")
        connect(driver)
        server.event("caption", **cue("a", f"{TEXT} {TEXT} {TEXT}", LONG_MS))
        server.event("stream/started", utterance="a", rtp_timestamp=0, duration_ms=None)
        until(driver, lambda: said_now(driver) == "Good")
        assert find(driver, "say-send").text == "Decir"
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 360
        shot(driver, "10-speech-phone-spanish")
        no_errors(driver)
