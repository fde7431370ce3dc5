"""Speech in Chromium: when pictures are presented and when sound is heard."""

import base64
import bisect
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome

from engine.speech.opus import DECODER_DELAY
from engine.speech.sound import SAMPLE_RATE
from tests.benchmarks.bench_speech import delay_row, offset_row
from tests.benchmarks.material import server
from tests.benchmarks.speech_material import (
    AGENT_RATE,
    BRIGHT_ENOUGH,
    altered,
    beep,
    demo_server,
    flashing_avatar,
    talk_from_its_voice,
    text_of,
    unbroken_talk,
)
from tests.benchmarks.table import Row
from tests.chromium import call, chromium, missing
from tests.hearing import pcm

_SCRIPT = (Path(__file__).parent / "speech_client.js").read_text()
_SIZE = "avatars.size=128x128"
_PATIENCE = 8.0
_HALF = 1 << 31


def run(quick: bool = False) -> list[Row]:
    """Measure a real server from a page without styles."""
    reason = missing()
    if reason is not None:
        return [Row("everything in Chromium", reason, "a browser", False)]
    few, some, many = (4, 4, 6) if quick else (30, 40, 100)
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        flashing_avatar(folder)
        with server(folder, _SIZE) as (address, _):
            page = _Page(browser, address, "flash")
            rows = _in_step(page, many)
            rows += _delays(page, some, ", hard cuts")
            rows += [_socket(page, few), _texts(page, few), *_interrupts(page, few)]
            page.close()
        with demo_server() as address:
            page = _Page(browser, address, "demo")
            rows += _delays(page, some, ", morphed")
            page.close()
    return rows


@dataclass(frozen=True, slots=True)
class _Logs:
    """What the page noted; times in ms.

    Attributes:
        pictures: When each is presented, its RTP timestamp, its brightness.
        sounds: When each block of audible sound came to the listening worklet, from its first
            audible sample on.
        events: Subject and payload.
        played: When a packet was handed to the track, its RTP timestamp.
    """

    pictures: list[tuple[float, int, float]]
    sounds: list[float]
    events: list[tuple[str, dict[str, Any]]]
    played: list[tuple[float, int]]

    def event(self, subject: str, **wanted: Any) -> dict[str, Any] | None:
        """Return the first such event."""
        for found, payload in self.events:
            if found == subject and wanted.items() <= payload.items():
                return payload
        return None

    def presented(self, timestamp: int) -> float | None:
        """Return when the picture with an RTP timestamp, or the first after it, is presented."""
        later = [p for p in self.pictures if (p[1] - timestamp + _HALF) % (2 * _HALF) >= _HALF]
        return later[0][0] if later else None

    def first_decoded(self) -> float | None:
        """Return when the first sample of the utterance was handed, decoded, to the track."""
        started = self.event("stream/started")
        if started is None:
            return None
        return self.handed_over(started["rtp_timestamp"] + DECODER_DELAY)

    def handed_over(self, timestamp: float) -> float | None:
        """Return when a sample was handed to the track."""
        at = [(rtp - timestamp + _HALF) % (2 * _HALF) - _HALF for _, rtp in self.played]
        index = bisect.bisect_right(at, 0) - 1
        if index < 0:
            return None
        return self.played[index][0] - at[index] / SAMPLE_RATE * 1000


class _Page:
    """A page that watches and listens to one stream."""

    def __init__(self, browser: Chrome, address: str, avatar: str) -> None:
        self._browser = browser
        browser.set_script_timeout(60)
        # The listening worklet is made in the page; the server's policy allows only its own files.
        browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
        browser.get(address + "/health")
        browser.execute_script(_SCRIPT)
        call(browser, f"viewer.connect('{avatar}')")

    def close(self) -> None:
        call(self._browser, "viewer.close()")

    def forget(self) -> None:
        call(self._browser, "viewer.forget()")

    def ask(self, name: str, *arguments: str | int) -> dict[str, Any]:
        """Call one of the client's functions."""
        given = ", ".join(json.dumps(argument) for argument in arguments)
        found: dict[str, Any] = call(self._browser, f"viewer.{name}({given})")
        return found

    def play(self, sound: bytes) -> dict[str, Any]:
        """Have sound played."""
        return self.ask("play", base64.b64encode(sound).decode())

    def logs(self, enough: Callable[[_Logs], bool]) -> _Logs:
        """Wait until the page has noted enough."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            # Rarely: reading the page keeps it from noting.
            time.sleep(0.4)
            found = self.ask("logs")
            events = [text.partition(":") for _, text in found["events"]]
            logs = _Logs(
                [(p[0], p[1], p[2]) for p in found["pictures"]],
                [block[0] + block[1] for block in found["blocks"]],
                [(subject, json.loads(payload)) for subject, _, payload in events],
                [(p[0], p[1]) for p in found["played"]],
            )
            if enough(logs) or time.monotonic() > deadline:
                return logs

    def rest(self, chance: random.Random) -> None:
        """Let the stream come to rest, and let every run begin at another phase."""
        time.sleep(chance.uniform(0.3, 0.7))
        self.forget()


def _in_step(page: _Page, runs: int) -> list[Row]:
    chance = random.Random(1)
    heard, handed, added = [], [], []
    still = 0
    for _ in range(runs):
        page.rest(chance)
        lead = chance.uniform(0, 400)
        page.play(beep(lead))
        logs = page.logs(lambda logs: logs.event("stream/done") is not None)
        done = logs.event("stream/done")
        flashes = [at for at, _, level in logs.pictures if level > BRIGHT_ENOUGH]
        if not flashes or not logs.sounds or done is None:
            still += 1
            continue
        heard.append(flashes[0] - logs.sounds[0])
        # Counted from the end: silence before voice may last longer than it was given.
        after = lead - done["position_ms"]
        onset = done["rtp_timestamp"] + round(after * SAMPLE_RATE / 1000) + DECODER_DELAY
        at = logs.handed_over(onset)
        if at is not None:
            handed.append(flashes[0] - at)
            added.append(logs.sounds[0] - at)
    output = page.ask("report").get("output_ms", 0.0)
    return [
        offset_row(
            f"flash presented against beep handed to its track, {runs} runs, beep after 0 to "
            "400 ms",
            handed,
            limit=20,
        ),
        offset_row("the same against the beep in an AudioWorklet", heard, limit=20),
        offset_row(
            f"the same against the beep {output:.0f} ms after its track, which the browser says "
            "its output takes",
            [one - output for one in handed],
            limit=20,
        ),
        Row(
            "what the AudioWorklet adds to the sound",
            f"median {statistics.median(added):.1f} ms, from {min(added):.1f} to {max(added):.1f}",
        ),
        Row("what a display of 60 Hz adds to the picture", "0 to 16.7 ms"),
        Row("beeps that the avatar did not move to", str(still), "0", still == 0),
    ]


def _delays(page: _Page, runs: int, kind: str) -> list[Row]:
    chance = random.Random(2)
    speech = talk_from_its_voice()
    sounds, heard, pictures = [], [], []
    for number in range(-1, runs):
        page.rest(chance)
        said = page.play(altered(speech, chance.randrange(1 << 20)))
        logs = page.logs(lambda logs: bool(logs.sounds) and _moved(logs) is not None)
        page.ask("interrupt")
        moved, decoded = _moved(logs), logs.first_decoded()
        assert moved is not None
        assert decoded is not None
        # The first run loads the voice detection's model.
        if number >= 0:
            sounds.append(decoded - said["asked"])
            heard.append(logs.sounds[0] - said["asked"])
            pictures.append(moved - said["asked"])
    return [
        delay_row(f"POST of 4.9 s of new sound to first sound{kind}, {runs} runs", sounds, 150),
        delay_row(f"the same in an AudioWorklet{kind}", heard),
        delay_row(f"the same to the first picture of the gesture{kind}", pictures, 150),
    ]


def _moved(logs: _Logs) -> float | None:
    entered = logs.event("stream/state", state="gesture")
    return None if entered is None else logs.presented(entered["rtp_timestamp"])


def _first_sounds(
    page: _Page, runs: int, seed: int, speak: Callable[[random.Random], dict[str, Any]]
) -> Sequence[float]:
    chance = random.Random(seed)
    times = []
    for number in range(-1, runs):
        page.rest(chance)
        asked = speak(chance)["asked"]
        logs = page.logs(lambda logs: bool(logs.sounds))
        decoded = logs.first_decoded()
        page.ask("unstream")
        page.ask("interrupt")
        assert decoded is not None
        if number >= 0:
            times.append(decoded - asked)
    return times


def _socket(page: _Page, runs: int) -> Row:
    sound = pcm(talk_from_its_voice()[:: SAMPLE_RATE // AGENT_RATE])
    text = base64.b64encode(sound).decode()
    times = _first_sounds(page, runs, 3, lambda _: page.ask("feed", text, AGENT_RATE))
    what = f"first PCM on the WebSocket (20 ms each 20 ms) to first sound, {runs} runs"
    return delay_row(what, times, 200)


def _texts(page: _Page, runs: int) -> Row:
    times = _first_sounds(page, runs, 4, lambda chance: page.ask("speak", text_of(200, chance)))
    return delay_row(f"text of 200 words by espeak-ng to first sound, {runs} runs", times, 400)


def _interrupts(page: _Page, runs: int) -> list[Row]:
    chance = random.Random(5)
    times, heard = [], []
    for number in range(runs):
        page.rest(chance)
        page.play(unbroken_talk(number))
        time.sleep(chance.uniform(0.6, 2.0))
        asked = page.ask("interrupt")["asked"]
        logs = page.logs(lambda logs: logs.event("stream/interrupted") is not None)
        cut = logs.event("stream/interrupted")
        assert cut is not None
        end = logs.handed_over(cut["rtp_timestamp"] + DECODER_DELAY)
        assert end is not None
        times.append(end - asked)
        heard.append(max(logs.sounds) - asked)
    return [
        delay_row(f"interrupt to the end of the last sound, {runs} runs", times, 100),
        delay_row("the same in an AudioWorklet", heard),
    ]
