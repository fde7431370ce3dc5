"""Boxes on the studio's picture, in a real Chromium. Screenshots: build/screenshots/."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from selenium.webdriver import Chrome, Keys

from tests import chromium as browsers
from tests.studio_server import StudioServer
from tests.test_page import find, shot
from tests.test_page_camera import until
from tests.test_page_studio import PASTE, at, choose, coded, jobs, mask_becomes

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

LASTING_THREADS = ("jobs-desk", "jobs-files")

WIDTH, HEIGHT = 320, 240
Place = tuple[float, float, float]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    browsers.require()
    server = StudioServer(tmp_path_factory.mktemp("boxes")).start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def driver(server: StudioServer) -> Iterator[Chrome]:
    # A scrollbar that comes moves the picture, maybe just before a pointer is pressed.
    with browsers.chromium("--hide-scrollbars", size=(1440, 1000)) as driver:
        yield driver


@pytest.fixture
def page(server: StudioServer, driver: Chrome, tmp_path: Path) -> Chrome:
    """The page with a picture to mark."""
    driver.get("about:blank")
    driver.get_log("browser")  # What other tests provoked is theirs.
    driver.get(server.address + "/studio")
    choose(driver, "segment")
    give(driver, tmp_path / "picture.png")
    return driver


def give(driver: Chrome, path: Path, grey: int = 200) -> None:
    """Choose a new picture."""
    path.write_bytes(cv2.imencode(".png", np.full((HEIGHT, WIDTH, 3), grey, np.uint8))[1].tobytes())
    find(driver, "file-image").send_keys(str(path))
    until(driver, lambda: find(driver, "easel").rect["width"] > 100)


def drag(driver: Chrome, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Press, move and release in one go: chromedriver forgets the pointer's capture in between."""
    easel = find(driver, "easel")
    scale = easel.rect["width"] / WIDTH
    middle = ((end[0] - WIDTH / 2) * scale, (end[1] - HEIGHT / 2) * scale)
    at(driver, *start).click_and_hold().move_to_element_with_offset(
        easel, *middle
    ).release().perform()


def boxes(driver: Chrome) -> list[list[int]]:
    """Return the boxes that are seen, as left, top, right, bottom in pixels of the picture."""
    easel = find(driver, "easel").rect
    scale = WIDTH / easel["width"]
    found = []
    for node in driver.find_elements("css selector", ".frames .frame"):
        rect = node.rect
        left, top = rect["x"] - easel["x"], rect["y"] - easel["y"]
        edges = (left, top, left + rect["width"], top + rect["height"])
        found.append([round(edge * scale) for edge in edges])
    return found


def near(found: list[list[int]]) -> list[Any]:
    """Allow for a pointer that is moved by whole pixels of the screen."""
    return [pytest.approx(box, abs=1) for box in found]


def dots(driver: Chrome) -> int:
    return len(driver.find_elements("css selector", ".dots :is(.meant, .not)"))


def asked(driver: Chrome) -> dict[str, Any]:
    """Return the parameters of the newest job."""
    params: dict[str, Any] = jobs(driver, "done")[0]["params"]
    return params


def edges(box: dict[str, Any]) -> list[float]:
    return [box[name] for name in ("left", "top", "right", "bottom", "object")]


def no_script_errors(driver: Chrome) -> None:
    """Jobs that are not wanted any more are removed, maybe while the page looks for their files."""
    severe = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in severe if "status of 404" not in message] == []


def test_drags_make_boxes_and_clicks_points(page: Chrome) -> None:
    assert page.find_elements("css selector", "[data-testid='field-boxes']") == []
    drag(page, (40, 30), (140, 110))
    assert boxes(page) == near([[40, 30, 140, 110]])
    mask_becomes(page, 130, 100, True)
    mask_becomes(page, 150, 100, False)
    # From the right to the left, and beyond the picture.
    drag(page, (200, 150), (WIDTH + 60, HEIGHT + 30))
    mask_becomes(page, WIDTH - 1, HEIGHT - 1, True)
    mask_becomes(page, 130, 100, True)
    # A small movement is a click; this one is for the second box, from which it takes.
    still = at(page, 300, 160).key_down(Keys.SHIFT).click_and_hold().move_by_offset(3, 2)
    still.release().key_up(Keys.SHIFT).perform()
    mask_becomes(page, 300, 160, False)
    shot(page, "studio-boxes-1-desktop")
    params = asked(page)
    wanted = [[40, 30, 140, 110, 1], [200, 150, WIDTH, HEIGHT, 2]]
    assert [edges(box) for box in params["boxes"]] == near(wanted)
    assert [box["object"] for box in params["boxes"]] == [1, 2]
    assert [(point["label"], point["object"]) for point in params["points"]] == [(0, 2)]
    no_script_errors(page)


def test_boxes_are_resized_removed_and_brought_back(page: Chrome) -> None:
    drag(page, (40, 30), (140, 110))
    drag(page, (140, 110), (180, 200))
    # The corner belongs to the first box now.
    assert boxes(page) == near([[40, 30, 180, 200]])
    at(page, 250, 60).click().perform()
    drag(page, (220, 120), (300, 220))
    find(page, "box-remove-1").send_keys(Keys.DELETE)
    assert (boxes(page), dots(page)) == (near([[220, 120, 300, 220]]), 1)
    find(page, "easel-undo").click()
    assert boxes(page) == near([[40, 30, 180, 200], [220, 120, 300, 220]])
    find(page, "box-remove-2").click()
    find(page, "easel-undo").click()
    find(page, "easel-undo").click()
    assert (boxes(page), dots(page)) == (near([[40, 30, 180, 200]]), 1)
    find(page, "easel-undo").click()
    find(page, "easel-undo").click()
    assert boxes(page) == near([[40, 30, 140, 110]])
    # Too thin for a box, too long for a click.
    drag(page, (200, 100), (300, 101))
    assert (len(boxes(page)), dots(page)) == (1, 0)
    find(page, "easel-clear").click()
    assert boxes(page) == []
    no_script_errors(page)


def test_settings_bring_boxes_back_and_other_pictures_clear_them(
    page: Chrome, tmp_path: Path
) -> None:
    drag(page, (40, 30), (140, 110))
    at(page, 90, 70).click().perform()
    drag(page, (200, 150), (300, 220))
    mask_becomes(page, 290, 210, True)
    params = asked(page)
    give(page, tmp_path / "another.png", 100)
    until(page, lambda: (boxes(page), dots(page)) == ([], 0))
    body = page.find_element("tag name", "body")
    settings = {"kind": "segment", "params": params}
    page.execute_script(PASTE, body, "text/plain", coded(settings))
    assert (boxes(page), dots(page)) == (near([[40, 30, 140, 110], [200, 150, 300, 220]]), 1)
    mask_becomes(page, 290, 210, True)
    assert asked(page) == params
    give(page, tmp_path / "third.png", 20)
    until(page, lambda: (boxes(page), dots(page)) == ([], 0))
    # With a job's settings its picture comes, too.
    find(page, "result-open").click()
    page.find_element("css selector", "[data-testid='viewer'] [data-do='edit']").click()
    until(page, lambda: "another.png" in find(page, "slot-image").text)
    until(page, lambda: (len(boxes(page)), dots(page)) == (2, 1))
    mask_becomes(page, 290, 210, True)
    find(page, "easel-clear").click()
    mask_becomes(page, 290, 210, False)
    no_script_errors(page)


def test_boxes_by_the_keyboard(page: Chrome) -> None:
    easel = find(page, "easel")
    assert "B begins a box" in str(easel.get_attribute("aria-label"))
    to_left = (Keys.SHIFT, Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.SHIFT)
    easel.send_keys(*to_left, "b", *to_left, *to_left)
    assert find(page, "box-draft").is_displayed()
    easel.send_keys(Keys.ESCAPE)
    assert not find(page, "box-draft").is_displayed()
    easel.send_keys("b", Keys.SHIFT, *[Keys.ARROW_RIGHT] * 9, *[Keys.ARROW_DOWN] * 9, Keys.SHIFT)
    easel.send_keys(Keys.ENTER, Keys.ENTER)
    left, top = round(0.2 * WIDTH), round(0.2 * HEIGHT)
    assert (boxes(page), dots(page)) == (near([[left, top, WIDTH, HEIGHT]]), 1)
    mask_becomes(page, WIDTH - 1, HEIGHT - 1, True)
    name = find(page, "box-remove-1").get_attribute("aria-label")
    assert name == "Remove box 1: 256 × 192 px at 64, 48"
    easel.send_keys(Keys.DELETE, Keys.TAB)
    button = page.switch_to.active_element
    assert button.get_attribute("data-testid") == "box-remove-1"
    button.send_keys(Keys.ENTER)
    assert (boxes(page), dots(page)) == ([], 0)
    assert page.switch_to.active_element == easel
    no_script_errors(page)


def test_fingers_scroll_or_draw(page: Chrome) -> None:
    phone = {"width": 390, "height": 700, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        page.execute_script("arguments[0].scrollIntoView({block: 'center'})", find(page, "easel"))
        scrolled = page.execute_script(
            "window.ended = new Promise((done) => addEventListener('scrollend', done));"
            "return scrollY"
        )
        swipe(page, (100, 160), (110, 60))
        assert browsers.call(page, "ended.then(() => scrollY)") > scrolled
        assert (boxes(page), dots(page)) == ([], 0)
        swipe(page, (60, 60), (60, 60))
        assert dots(page) == 1
        place = picture_at(page)
        mask_becomes(page, 60, 60, True)
        # The result grows below the picture, which must not jump.
        image = "document.querySelector('#result-body img')"
        until(page, lambda: page.execute_script(f"return {image}?.naturalWidth") == WIDTH)
        assert picture_at(page) == place
        find(page, "easel-box").click()
        swipe(page, (100, 160), (250, 60))
        assert boxes(page) == near([[100, 60, 250, 160]])
        mask_becomes(page, 240, 70, True)
        shot(page, "studio-boxes-2-phone")
        # Two fingers zoom.
        place = picture_at(page)
        touch(page, place, "touchStart", (20, 160))
        touch(page, place, "touchMove", (60, 200))
        assert find(page, "box-draft").is_displayed()
        touch(page, place, "touchStart", (60, 200), (200, 200))
        touch(page, place, "touchMove", (40, 180), (220, 210))
        touch(page, place, "touchEnd")
        assert (len(boxes(page)), dots(page)) == (1, 1)
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    no_script_errors(page)


def picture_at(driver: Chrome) -> Place:
    """Return left, top and width of the picture on the screen."""
    script = "const {x, y, width} = arguments[0].getBoundingClientRect(); return [x, y, width]"
    left, top, width = driver.execute_script(script, find(driver, "easel"))
    return left, top, width


def swipe(driver: Chrome, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Move a finger over the picture."""
    place = picture_at(driver)
    touch(driver, place, "touchStart", start)
    for share in np.linspace(0.2, 1, 5) if start != end else ():
        x, y = (a + (b - a) * float(share) for a, b in zip(start, end, strict=True))
        touch(driver, place, "touchMove", (x, y))
    touch(driver, place, "touchEnd")


def touch(driver: Chrome, place: Place, kind: str, *fingers: tuple[float, float]) -> None:
    """Tell where fingers are now, in pixels of the picture at this place."""
    left, top, width = place
    scale = width / WIDTH
    points = [
        {"x": left + x * scale, "y": top + y * scale, "id": number}
        for number, (x, y) in enumerate(fingers)
    ]
    driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
