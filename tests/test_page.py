"""The page in a real Chromium, against a real server process. Screenshots: build/screenshots/."""

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests import chromium as browsers
from tests.processes import ROOT, ServerProcess
from tests.serving import make_demo, server_flags

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SHOTS = ROOT / "build" / "screenshots"
PATIENCE = 40


def make_server(root: Path, **environ: str) -> ServerProcess:
    """Make a server on one port, so that it comes back at the same address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return ServerProcess("--port", str(port), *server_flags(root), environ=environ)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    browsers.require()
    folder = tmp_path_factory.mktemp("avatars")
    make_demo(folder)
    return folder


@pytest.fixture
def server(root: Path) -> Iterator[ServerProcess]:
    server = make_server(root).start()
    yield server
    server.stop_if_running()


@pytest.fixture
def browser() -> Iterator[Chrome]:
    with browsers.chromium() as driver:
        yield driver


def find(driver: Chrome, name: str) -> WebElement:
    return WebDriverWait(driver, PATIENCE).until(
        lambda d: d.find_element("css selector", f"[data-testid='{name}']")
    )


def wait_for(driver: Chrome, state: str) -> None:
    """Wait until the page says that it is in a state of its connection."""
    selector = f"[data-testid='status'][data-state='{state}']"
    WebDriverWait(driver, PATIENCE).until(lambda d: d.find_elements("css selector", selector))


def pressed(driver: Chrome, name: str) -> None:
    selector = f"[data-testid='{name}'][aria-pressed='true']"
    WebDriverWait(driver, PATIENCE).until(lambda d: d.find_elements("css selector", selector))


def middle(driver: Chrome) -> int:
    """Return the brightness in the middle of the picture that is shown."""
    value: int = driver.execute_script(
        """
        const canvas = new OffscreenCanvas(1, 1), video = document.querySelector("video");
        const context = canvas.getContext("2d");
        context.drawImage(video, video.videoWidth / 2, video.videoHeight / 2, 1, 1, 0, 0, 1, 1);
        return context.getImageData(0, 0, 1, 1).data[1];
        """
    )
    return value


def becomes(driver: Chrome, level: int) -> None:
    WebDriverWait(driver, PATIENCE).until(lambda d: abs(middle(d) - level) < 16)


def shot(driver: Chrome, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    driver.save_screenshot(str(SHOTS / f"{name}.png"))


def no_errors(driver: Chrome) -> None:
    severe = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    # While the server is down, failed requests are what the page is there to survive.
    assert [message for message in severe if "net::ERR" not in message] == []


def test_connect_switch_and_survive_a_killed_server(server: ServerProcess, browser: Chrome) -> None:
    browser.get(server.address + "/")
    find(browser, "avatar-demo")
    shot(browser, "1-choose")
    find(browser, "connect").click()
    wait_for(browser, "connected")
    becomes(browser, 40)

    find(browser, "state-gesture").click()
    pressed(browser, "state-gesture")
    becomes(browser, 200)
    WebDriverWait(browser, PATIENCE).until(
        lambda d: re.search(r"\d", find(d, "metric-switch").text)
    )
    WebDriverWait(browser, PATIENCE).until(
        lambda d: re.search(r"2[3-7]", find(d, "metric-fps").text)
    )
    shot(browser, "2-gesture")

    find(browser, "action-wave").click()
    pressed(browser, "state-gesture")

    server.stop(signal.SIGKILL)
    wait_for(browser, "reconnecting")
    shot(browser, "3-reconnecting")
    server.start()
    wait_for(browser, "connected")
    becomes(browser, 200 if middle(browser) > 120 else 40)
    shot(browser, "4-back")
    no_errors(browser)


def test_the_keyboard_is_enough(server: ServerProcess, browser: Chrome) -> None:
    browser.get(server.address + "/")
    find(browser, "connect")
    body = browser.find_element("tag name", "body")
    body.send_keys("c")
    wait_for(browser, "connected")
    body.send_keys("2")
    pressed(browser, "state-gesture")
    becomes(browser, 200)
    body.send_keys("1")
    pressed(browser, "state-idle")
    becomes(browser, 40)
    browser.switch_to.active_element.send_keys(Keys.TAB)
    outline = browser.execute_script("return document.activeElement.tagName")
    assert outline in ("A", "BUTTON", "SELECT", "INPUT")
    no_errors(browser)


def test_closing_the_page_ends_the_stream(server: ServerProcess, browser: Chrome) -> None:
    browser.get(server.address + "/?autoconnect=1")
    wait_for(browser, "connected")
    browser.get("about:blank")
    browser.get(server.address + "/streams")
    WebDriverWait(browser, PATIENCE).until(
        lambda d: d.refresh() or d.find_element("tag name", "body").text.strip() == "[]"
    )


def test_a_graceful_stop_is_told_and_survived(server: ServerProcess, browser: Chrome) -> None:
    browser.get(server.address + "/?autoconnect=1")
    wait_for(browser, "connected")
    assert server.stop()[0] == 0
    wait_for(browser, "reconnecting")
    server.start()
    wait_for(browser, "connected")
    no_errors(browser)


def test_spanish_on_a_phone(server: ServerProcess) -> None:
    with browsers.chromium("--force-device-scale-factor=2", languages=("es-ES", "es")) as driver:
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
        )
        driver.get(server.address + "/")
        assert driver.find_element("tag name", "html").get_attribute("lang") == "es"
        assert "Conectar" in find(driver, "connect").text
        find(driver, "connect").click()
        wait_for(driver, "connected")
        becomes(driver, 40)
        width = driver.execute_script("return document.documentElement.scrollWidth")
        assert width <= 390
        shot(driver, "5-phone-spanish")
        no_errors(driver)


def test_an_error_is_said_in_words(root: Path, browser: Chrome) -> None:
    server = make_server(root, AVATAR_STREAMS__MAX_STREAMS="1").start()
    try:
        browser.get(server.address + "/?autoconnect=1")
        wait_for(browser, "connected")
        browser.switch_to.new_window("tab")
        browser.get(server.address + "/")
        find(browser, "connect").click()
        WebDriverWait(browser, PATIENCE).until(lambda d: find(d, "error").text.strip())
        assert "503" not in find(browser, "error").text
        shot(browser, "6-full")
    finally:
        server.stop_if_running()
