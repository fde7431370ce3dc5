"""Push-to-talk on the page in a real Chromium with a fake microphone."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.keys import Keys

from tests import chromium as browsers
from tests.speaking_server import SpeakingServer
from tests.test_page import find, no_errors
from tests.test_page_speech import connect, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

MICROPHONE = "--use-fake-device-for-media-stream"
ALLOW = "--use-fake-ui-for-media-stream"
DENY = "--deny-permission-prompts"


@pytest.fixture
def server() -> Iterator[SpeakingServer]:
    browsers.require()
    server = SpeakingServer().start()
    yield server
    server.stop()


@pytest.fixture
def browser(server: SpeakingServer) -> Iterator[Chrome]:
    with browsers.chromium(MICROPHONE, ALLOW) as driver:
        driver.get(server.address + "/")
        yield driver


def held(driver: Chrome) -> None:
    until(driver, lambda: find(driver, "talk").get_attribute("data-state") == "on")


def released(server: SpeakingServer, driver: Chrome) -> list[str]:
    """Wait until the microphone is off; return what the server was told, without the rates."""
    until(driver, lambda: find(driver, "talk").get_attribute("data-state") == "off")
    until(driver, lambda: server.told and server.told[-1]["type"] == "end")
    return [message["type"] for message in server.told]


def test_the_microphone_is_sent_while_the_button_is_held(
    server: SpeakingServer, browser: Chrome
) -> None:
    connect(browser)
    talk = find(browser, "talk")
    ActionChains(browser).click_and_hold(talk).perform()
    held(browser)
    began = time.monotonic()
    # Chromium's fake microphone beeps once a second.
    until(browser, lambda: len(server.pcm) > 2 * 48_000 * 1.5)
    elapsed = time.monotonic() - began
    ActionChains(browser).release(talk).perform()
    assert released(server, browser) == ["begin", "end"]
    assert server.told[0]["rate"] == 48_000
    # In real time, give or take what the machine is busy with.
    assert 1.0 < elapsed < 4.0
    samples = np.frombuffer(bytes(server.pcm), "<i2").astype(np.float64)
    assert np.abs(samples).max() > 1000

    talk.send_keys("")
    ActionChains(browser).key_down(Keys.SPACE).perform()
    held(browser)
    ActionChains(browser).key_up(Keys.SPACE).perform()
    assert released(server, browser) == ["begin", "end", "begin", "end"]
    server.tell_socket(type="error", kind="SoundError", description="Too much of it.")
    until(browser, lambda: "Too much of it." in find(browser, "speech-error").text)
    no_errors(browser)


WORKLET = """
new Promise(async (resolve) => {
  const context = new OfflineAudioContext(1, CONTEXT_RATE, CONTEXT_RATE);
  await context.audioWorklet.addModule("/web/pcm-worklet.js");
  const processorOptions = {rate: 48000};
  const node = new AudioWorkletNode(context, "pcm", {numberOfOutputs: 0, processorOptions});
  const samples = [];
  node.port.onmessage = ({ data }) => {
    samples.push(...new Int16Array(data));
    if (samples.length >= 47 * 960) resolve(samples);
  };
  const tone = new OscillatorNode(context, {frequency: 1000});
  tone.connect(node);
  tone.start();
  await context.startRendering();
})
"""


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_microphone_of_any_rate_is_sent_at_one_the_server_takes(
    server: SpeakingServer, browser: Chrome, rate: int
) -> None:
    samples = browsers.call(browser, WORKLET.replace("CONTEXT_RATE", str(rate)))
    # Whole periods of the tone.
    spectrum = np.abs(np.fft.rfft(np.array(samples[4800:43_200], np.float64)))
    hertz = np.fft.rfftfreq(38_400, 1 / 48_000)
    assert hertz[spectrum.argmax()] == 1000
    power = spectrum**2
    rest = power.sum() - power.max()
    assert 10 * np.log10(power.max() / rest) > 50


def test_a_denied_microphone_is_said_in_words(server: SpeakingServer) -> None:
    with browsers.chromium(MICROPHONE, DENY) as driver:
        driver.get(server.address + "/")
        connect(driver)
        ActionChains(driver).click_and_hold(find(driver, "talk")).perform()
        until(driver, lambda: "microphone" in find(driver, "speech-error").text)
        assert find(driver, "speech-error").get_attribute("data-kind") == "MicrophoneDenied"
        assert find(driver, "talk").get_attribute("data-state") == "off"
        assert server.told == []
