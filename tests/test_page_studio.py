"""The studio in a real Chromium, with small generators. Screenshots: build/screenshots/."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.support.ui import Select

from engine.pipeline.frame import Image
from tests import chromium as browsers
from tests.studio_generators import RADIUS
from tests.studio_server import StudioServer
from tests.test_page import find, no_errors, shot
from tests.test_page_camera import DARK, SPANISH, ask, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LASTING_THREADS = ("jobs-desk", "jobs-files")

HOSTILE = "<img src=x onerror=document.title='hacked'>.png"
WIDTH, HEIGHT = 320, 240
PASTE = """
const [place, type, coded] = arguments;
const bytes = Uint8Array.from(atob(coded), (char) => char.charCodeAt(0));
const clipboardData = new DataTransfer();
if (type === "text/plain") clipboardData.setData(type, new TextDecoder().decode(bytes));
else clipboardData.items.add(new File([bytes], "pasted.png", {type}));
place.dispatchEvent(new ClipboardEvent("paste", {bubbles: true, cancelable: true, clipboardData}));
"""
MASK_AT = """
const canvas = document.querySelector("[data-testid='easel-mask']");
if (canvas.width < 2) return null;
return canvas.getContext("2d").getImageData(arguments[0], arguments[1], 1, 1).data[3] > 127;
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    browsers.require()
    server = StudioServer(tmp_path_factory.mktemp("studio")).start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def driver(server: StudioServer) -> Iterator[Chrome]:
    with browsers.chromium(size=(1440, 1000)) as driver:
        yield driver


@pytest.fixture
def page(server: StudioServer, driver: Chrome) -> Chrome:
    """The page, opened anew."""
    driver.get("about:blank")
    driver.get_log("browser")  # What other tests provoked is theirs.
    driver.get(server.address + "/studio")
    return driver


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture with a name that a careless page would take for HTML."""
    path = tmp_path / HOSTILE
    path.write_bytes(cv2.imencode(".png", np.full((HEIGHT, WIDTH, 3), 200, np.uint8))[1].tobytes())
    return path


def generator(driver: Chrome) -> str:
    until(driver, lambda: Select(find(driver, "generator")).options)
    return str(find(driver, "generator").get_attribute("value"))


def choose(driver: Chrome, name: str) -> None:
    generator(driver)
    Select(find(driver, "generator")).select_by_value(name)


def enter(driver: Chrome, name: str, text: str) -> None:
    field = find(driver, f"field-{name}")
    driver.execute_script("arguments[0].closest('details')?.setAttribute('open', '')", field)
    field.clear()
    field.send_keys(text)


def jobs(driver: Chrome, *states: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(driver, f"/jobs?state={','.join(states)}")["jobs"]
    return found


def card(driver: Chrome, job: dict[str, Any], what: str) -> None:
    """Press a button of a job's card."""
    selector = f"[data-testid='job-{job['id']}'] [data-do='{what}']"
    until(driver, lambda: driver.find_elements("css selector", selector))[0].click()


def coded(content: Path | dict[str, Any]) -> str:
    """Return a file, or a text of JSON, as base64."""
    data = content.read_bytes() if isinstance(content, Path) else json.dumps(content).encode()
    return base64.b64encode(data).decode()


def fetched(driver: Chrome, url: str) -> Image:
    """Return a picture that the server has."""
    text = browsers.call(
        driver,
        f"fetch({json.dumps(url)}).then((answer) => answer.arrayBuffer())"
        ".then((bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))))",
    )
    found = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return found.astype(np.uint8, copy=False)


def queue(driver: Chrome) -> list[str]:
    """Return the names of the cards in the queue."""
    selector = "[data-testid='queue'] .name"
    return [node.text for node in driver.find_elements("css selector", selector)]


def shown(driver: Chrome, *names: str) -> None:
    until(driver, lambda: queue(driver) == list(names))


def at(driver: Chrome, x: float, y: float) -> ActionChains:
    """Move the pointer to a place of the picture, in its pixels."""
    easel = find(driver, "easel")
    scale = easel.rect["width"] / WIDTH
    actions = ActionChains(driver, duration=20)
    return actions.move_to_element_with_offset(
        easel, (x - WIDTH / 2) * scale, (y - HEIGHT / 2) * scale
    )


def mask_becomes(driver: Chrome, x: int, y: int, there: bool) -> None:
    until(driver, lambda: driver.execute_script(MASK_AT, x, y) is there)


def test_a_form_is_made_filled_in_and_corrected(page: Chrome) -> None:
    choose(page, "paint")
    kinds = {
        "prompt": "textarea",
        "steps": "number",
        "size": "select-one",
        "tiled": "checkbox",
        "formats": "checkbox",
        "scheduler": "select-one",
        "seed": "number",
        "style.colour": "text",
    }
    for name, kind in kinds.items():
        assert find(page, f"field-{name}").get_property("type") == kind, name
    enter(page, "steps", "99")
    find(page, "submit").click()
    wrong = until(page, lambda: page.find_elements("css selector", ".entry .wrong:not([hidden])"))
    assert [node.text for node in wrong] == [
        "String should have at least 1 character",
        "Input should be less than or equal to 50",
    ]
    assert page.switch_to.active_element.get_attribute("id") == "field-prompt"
    shot(page, "studio-1-corrected")
    enter(page, "prompt", "a red door")
    enter(page, "steps", "2")
    enter(page, "style.colour", "#cc2211")
    page.find_element("css selector", ".seed button").click()
    seed = int(find(page, "field-seed").get_property("value"))
    find(page, "submit").click()
    until(page, lambda: find(page, "result").get_attribute("data-state") == "done")
    (job,) = jobs(page, "done")
    wanted = {"prompt": "a red door", "steps": 2, "seed": seed, "scheduler": None}
    assert {name: job["params"][name] for name in wanted} == wanted
    assert job["params"]["style"]["colour"] == "#cc2211"
    image = "document.querySelector('#result-body img')"
    until(page, lambda: page.execute_script(f"return {image}?.naturalWidth") == 256)
    no_field_errors = page.find_elements("css selector", ".entry .wrong:not([hidden])")
    assert no_field_errors == []
    shot(page, "studio-2-done")


def test_the_queue_is_followed_and_changed(page: Chrome, tmp_path: Path) -> None:
    choose(page, "paint")
    enter(page, "gate", str(tmp_path))
    for name in ("first", "second", "third"):
        enter(page, "prompt", name)
        find(page, "submit").click()
        until(page, lambda name=name: name in queue(page))
    shown(page, "first", "second", "third")
    first = until(page, lambda: jobs(page, "running"))[0]
    (tmp_path / "0").touch()
    (tmp_path / "1").touch()
    text = f"[data-testid='job-{first['id']}']"
    until(page, lambda: "50 %" in page.find_element("css selector", text).text)
    until(page, lambda: page.find_elements("css selector", f"{text} .thumb img[src]"))
    page.find_element("css selector", f"{text} summary").click()
    assert "step 2 of 4: first" in page.find_element("css selector", f"{text} .log").text
    second, third = jobs(page, "queued")
    card(page, third, "up")
    shown(page, "first", "third", "second")
    card(page, second, "front")
    shown(page, "first", "second", "third")
    shot(page, "studio-3-queue")
    find(page, "queue-hold").click()
    until(page, lambda: find(page, "queue-held").is_displayed())
    card(page, first, "cancel")
    until(page, lambda: not jobs(page, "running"))
    shown(page, "second", "third")
    card(page, second, "pause")
    until(page, lambda: jobs(page, "paused"))
    card(page, second, "cancel")
    shown(page, "third")
    for step in ("2", "3"):
        (tmp_path / step).touch()
    find(page, "queue-hold").click()
    shown(page)
    assert find(page, "queue-empty").is_displayed()
    assert jobs(page, "done")[0]["params"]["prompt"] == "third"
    no_errors(page)


def test_clicks_show_a_mask_at_once(page: Chrome, picture: Path) -> None:
    choose(page, "segment")
    find(page, "file-image").send_keys(str(picture))
    assert HOSTILE in until(page, lambda: find(page, "slot-image").text)
    until(page, lambda: find(page, "easel").rect["width"] > 100)
    at(page, 100, 100).click().perform()
    mask_becomes(page, 100, 100, True)
    mask_becomes(page, 100 + RADIUS + 5, 100, False)
    at(page, 220, 100).click().perform()
    mask_becomes(page, 220, 100, True)
    at(page, 100, 100 + RADIUS - 4).key_down(Keys.SHIFT).click().key_up(Keys.SHIFT).perform()
    mask_becomes(page, 100, 110, False)
    mask_becomes(page, 220, 100, True)
    shot(page, "studio-4-clicks")
    # Only the newest of the jobs is kept.
    until(page, lambda: len([job for job in jobs(page, "done") if job["kind"] == "segment"]) == 1)
    (job,) = [job for job in jobs(page, "done") if job["kind"] == "segment"]
    assert [point["label"] for point in job["params"]["points"]] == [1, 1, 0]
    find(page, "easel").send_keys(Keys.ARROW_RIGHT, Keys.ENTER)
    until(page, lambda: len(page.find_elements("css selector", ".dots .meant")) == 3)
    find(page, "easel-clear").click()
    mask_becomes(page, 220, 100, False)
    assert page.title == "Studio · Avatar server"
    no_errors(page)


def test_a_painted_mask_and_the_gallery(server: StudioServer, page: Chrome, picture: Path) -> None:
    choose(page, "fill")
    find(page, "submit").click()
    until(page, lambda: "file is needed" in find(page, "slot-image").text)
    page.execute_script(PASTE, page.find_element("tag name", "body"), "image/png", coded(picture))
    until(page, lambda: find(page, "easel").rect["width"] > 100)
    at(page, 60, 60).click_and_hold().perform()
    at(page, 160, 60).release().perform()
    at(page, 250, 200).click().perform()
    find(page, "easel-undo").click()
    shot(page, "studio-5-painted")
    find(page, "submit").click()
    until(page, lambda: find(page, "result").get_attribute("data-state") == "done")
    job = jobs(page, "done")[0]
    filled = fetched(page, job["files"][0]["url"])
    assert filled.shape[:2] == (HEIGHT, WIDTH)
    assert filled[60, 110].tolist() == [0, 0, 255]
    assert filled[200, 250].tolist() == [200, 200, 200]

    server.add_cancelled(200)
    find(page, "tab-gallery").click()
    made = "[data-testid='gallery'] > li"
    until(page, lambda: len(page.find_elements("css selector", made)) == 48)
    find(page, "gallery-more").click()
    until(page, lambda: len(page.find_elements("css selector", made)) == 96)
    Select(find(page, "gallery-state")).select_by_value("done")
    Select(find(page, "gallery-kind")).select_by_value("fill")
    until(page, lambda: len(page.find_elements("css selector", made)) == 1)
    shot(page, "studio-6-gallery")
    page.find_element("css selector", f"{made} .open").click()
    viewer = find(page, "viewer")
    until(page, lambda: viewer.find_elements("css selector", "img[src]"))
    shot(page, "studio-7-viewer")
    viewer.find_element("css selector", "[data-do='again']").click()
    until(page, lambda: "there already" in viewer.text)
    use = Select(find(page, "use"))
    use.select_by_visible_text("Segment · image")
    until(page, lambda: not viewer.is_displayed())
    assert (generator(page), find(page, "slot-image").get_attribute("data-count")) == (
        "segment",
        "1",
    )
    settings = {"kind": "paint", "params": {"prompt": "as pasted", "style": {"border": 7}}}
    page.execute_script(PASTE, page.find_element("tag name", "body"), "text/plain", coded(settings))
    assert find(page, "field-prompt").get_property("value") == "as pasted"
    assert find(page, "field-style.border").get_property("value") == "7"
    no_errors(page)


def test_models_and_memory(page: Chrome) -> None:
    find(page, "tab-models").click()
    row = find(page, "model-whisper_small").text
    assert "Missing" in row
    assert "models pull whisper_small" in row
    find(page, "models-search").send_keys("whisper_small")
    until(page, lambda: len(page.find_elements("css selector", "#models tr")) == 1)
    plot = find(page, "memory-cpu")
    path = "return document.querySelector('.plot .line').getAttribute('d')"
    until(page, lambda: page.execute_script(path))
    assert "budget" in plot.text
    shot(page, "studio-8-models")
    no_errors(page)


def test_a_restarted_server_is_followed_again(driver: Chrome, tmp_path: Path) -> None:
    server = StudioServer(tmp_path).start()
    try:
        driver.get(server.address + "/studio")
        choose(driver, "paint")
        server.stop()
        until(driver, lambda: find(driver, "lost").is_displayed())
        server.start()
        until(driver, lambda: not find(driver, "lost").is_displayed())
        enter(driver, "prompt", "after the restart")
        find(driver, "submit").click()
        until(driver, lambda: find(driver, "result").get_attribute("data-state") == "done")
    finally:
        driver.get("about:blank")
        server.close()


def test_a_token_on_a_dark_phone_in_spanish(tmp_path: Path) -> None:
    server = StudioServer(tmp_path, ("secret",)).start()
    try:
        with browsers.chromium(DARK, **SPANISH) as driver:
            phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
            driver.get(server.address + "/studio")
            until(driver, lambda: find(driver, "token").is_displayed())
            find(driver, "token").send_keys("secret")
            find(driver, "token-ok").click()
            choose(driver, "paint")
            enter(driver, "prompt", "una puerta")
            find(driver, "submit").click()
            until(driver, lambda: find(driver, "result").get_attribute("data-state") == "done")
            image = "document.querySelector('#result-body img')"
            until(driver, lambda: driver.execute_script(f"return {image}?.naturalWidth") == 256)
            assert "Hecho" in find(driver, "result-state").text
            shot(driver, "studio-9-phone-dark-spanish")
            width = "return document.documentElement.scrollWidth"
            for tab in ("gallery", "models", "create"):
                find(driver, f"tab-{tab}").click()
                assert driver.execute_script(width) <= 390, tab
                shot(driver, f"studio-phone-{tab}")
    finally:
        server.close()
