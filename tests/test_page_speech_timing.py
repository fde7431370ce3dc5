"""The page's modules that follow utterances and captions, without a screen."""

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from tests import chromium as browsers
from tests.speaking_server import SpeakingServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


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


CUES = """
import("/web/cues.js").then(({ Cues }) => {
  const cues = new Cues();
  const words = [{text: "a", start_ms: 100, end_ms: 300}, {text: "b", start_ms: 600, end_ms: 900}];
  const cue = (utterance, text, start_ms, end_ms, words = []) =>
    ({utterance, text, start_ms, end_ms, words});
  const read = (now) => {
    const { cue, word } = cues.at(now) ?? {cue: {text: null}, word: null};
    return [cue.text, word];
  };
  const seen = {};
  cues.add(cue("u", "one", 100, 900, words), 0);
  seen.ahead = [read(500), cues.pending(500)];
  cues.start("u", 1000);
  seen.timed = [1050, 1100, 1599, 1600, 1950, 3000].map(read);
  seen.left = cues.pending(3000);
  cues.add(cue("u", "behind", 2500, 4000, [{text: "c", start_ms: 3500, end_ms: 4000}]), 4100);
  seen.behind = [4100, 4500].map(read);
  cues.start("u", 1000);
  cues.add(cue("u", "late", 1000, 2000, words), 4000);
  cues.add(cue("u", "later", 2000, 2500), 4000);
  seen.late = [4000, 4999, 5000, 6399, 6400].map(read);
  cues.start("v", 7000);
  cues.add(cue("v", "gone", 0, 5000), 7000);
  cues.drop("v");
  seen.dropped = [read(7100), cues.pending(7100)];
  return seen;
})
"""

UTTERANCES = """
import("/web/utterances.js").then(async ({ Utterances }) => {
  const utterances = new Utterances();
  const seen = [];
  const look = () => seen.push([utterances.state, utterances.waiting]);
  let answer;
  const asked = utterances.asked(new Promise((resolve) => { answer = resolve; }));
  look();
  utterances.started("a");
  utterances.ended("a");
  answer({utterance: "a"});
  await asked;
  look();
  await utterances.asked(Promise.reject(new Error("refused"))).catch(() => look());
  await utterances.asked(Promise.resolve({utterance: "b"}));
  utterances.queued("c");
  look();
  utterances.failed("c");
  utterances.started("b");
  utterances.failed("b");
  utterances.failed(null);
  look();
  utterances.ended("b");
  look();
  return seen;
})
"""


def test_the_state_follows_events_and_answers_in_any_order(
    server: SpeakingServer, browser: Chrome
) -> None:
    expected = [["queued", 0], ["idle", 0], ["idle", 0], ["queued", 2], ["speaking", 0]]
    assert browsers.call(browser, UTTERANCES) == [*expected, ["idle", 0]]


def test_captions_are_timed_by_the_start_of_their_utterance(
    server: SpeakingServer, browser: Chrome
) -> None:
    seen = browsers.call(browser, CUES)
    assert seen["ahead"] == [[None, None], False]
    # The last word stays marked, and the caption itself a little longer than it is said.
    expected = [[None, None], ["one", 0], ["one", 0], ["one", 1], ["one", 1], [None, None]]
    assert seen["timed"] == expected
    assert seen["left"] is False
    assert seen["behind"] == [["behind", -1], ["behind", 0]]
    # What was found out by listening comes after its words, one after the other.
    late = [["late", 2], ["late", 2], ["later", 0], ["later", 0], [None, None]]
    assert seen["late"] == late
    assert seen["dropped"] == [[None, None], False]
