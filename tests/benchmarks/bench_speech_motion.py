"""Gesture against voice: when the avatar moves and rests in real speech, at a viewer on aiortc."""

import asyncio
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.speech.sound import PACKET_SAMPLES, SAMPLE_RATE, Samples
from tests.benchmarks.material import server
from tests.benchmarks.speech_material import altered, demo_server, flashing_avatar, talk
from tests.benchmarks.speech_receiver import Receiver, receivers
from tests.benchmarks.table import Row
from tests.hearing import Heard
from tests.speech_recordings import (
    AUDIBLE_DB,
    Stretch,
    cut_in,
    cut_places,
    normalised,
    voice_by_energy,
)

TOLERATED_MS = 120
_SETTLED = 1.5
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class _Motion:
    """When the avatar moved in an utterance and when there was voice, in ms since its start."""

    moves: Sequence[Stretch]
    labels: Sequence[Stretch]

    @property
    def agrees(self) -> bool:
        return len(self.moves) == len(self.labels)

    def errors(self, edge: int) -> list[float]:
        """Return move minus label for the beginnings (0) or the ends (1)."""
        if not self.agrees:
            return []
        return [m[edge] - v[edge] for m, v in zip(self.moves, self.labels, strict=True)]


def run(quick: bool = False) -> list[Row]:
    """Play the recording, and the recording with a second of silence cut in at several places."""
    sounds = _sounds(2 if quick else 8)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flashing_avatar(folder)
        with server(folder, "avatars.size=128x128") as (address, _):
            rows += asyncio.run(_motions(address, "flash", "hard cuts", sounds))
    with demo_server() as address:
        rows += asyncio.run(_motions(address, "demo", "morphed", sounds))
    return rows


def _sounds(gaps: int) -> Mapping[str, Samples]:
    clean = talk()
    places = cut_places(clean, AUDIBLE_DB["talk"])
    chosen = [places[len(places) * number // gaps] for number in range(gaps)]
    return {"whole": clean} | {f"gap at {at}": cut_in(clean, at) for at in chosen}


async def _motions(
    address: str, avatar: str, kind: str, sounds: Mapping[str, Samples]
) -> list[Row]:
    async with receivers(address, avatar, len(sounds)) as viewers:
        # The first sound of a server loads the model of the voice detection.
        await _motion(viewers[0], next(iter(sounds.values())))
        found = await asyncio.gather(
            *(
                _motion(viewer, sound)
                for viewer, sound in zip(viewers, sounds.values(), strict=True)
            )
        )
    rows = []
    for edge, name in enumerate(("begins to move", "rests")):
        errors = [error for motion in found for error in motion.errors(edge)]
        rows.append(
            Row(
                f"when the avatar {name} against the voice heard of talk.wav, {len(found)} forms, "
                f"{len(errors)} times, {kind}",
                f"median {statistics.median(errors):+.0f} ms, from {min(errors):+.0f} to "
                f"{max(errors):+.0f}",
                f"within +-{TOLERATED_MS} ms",
                all(abs(error) <= TOLERATED_MS for error in errors),
            )
        )
    extra = sum(abs(len(motion.moves) - len(motion.labels)) for motion in found)
    rows.append(Row(f"movements more or less than voice, {kind}", str(extra), "0", extra == 0))
    return rows


async def _motion(viewer: Receiver, sound: Samples) -> _Motion:
    viewer.forget()
    said = await viewer.play(altered(sound, id(viewer) % 1000))
    started = await viewer.event("stream/started", utterance=said.utterance)
    begin = viewer.sound_times.seconds(started["rtp_timestamp"])
    seen = await viewer.events_until("stream/done", utterance=said.utterance)
    await asyncio.sleep(_SETTLED)
    changes = [p for subject, p in [*seen, *viewer.events()] if subject == "stream/state"]
    states = [change["state"] for change in changes]
    assert states == ["gesture", "idle"] * (len(states) // 2), states
    at = [viewer.picture_times.seconds(change["rtp_timestamp"]) - begin for change in changes]
    times = [round(seconds * 1000) for seconds in at]
    moves = list(zip(times[::2], times[1::2], strict=True))
    heard = _as_heard(viewer.ear.heard, started["rtp_timestamp"])
    return _Motion(moves, voice_by_energy(normalised(heard), AUDIBLE_DB["talk"]))


def _as_heard(heard: Sequence[Heard], begin: int) -> Samples:
    """Put packets where their timestamps say; silence is where there are none."""
    places = [(one.timestamp - begin) % (1 << 32) for one in heard]
    found = [
        (place, one.samples)
        for place, one in zip(places, heard, strict=True)
        if place < _LONGEST * SAMPLE_RATE
    ]
    whole = np.zeros(max(place for place, _ in found) + PACKET_SAMPLES, np.float32)
    for place, samples in found:
        whole[place : place + len(samples)] = samples
    return whole
