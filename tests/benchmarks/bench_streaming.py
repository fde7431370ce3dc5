"""Streaming: a real server, viewers in another process."""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any
from unittest import mock

import aiortc
import av

from engine.settings import AvatarSettings
from tests.benchmarks.material import ROOT, marked_avatar, server
from tests.benchmarks.table import Row
from tests.serving import serving

# Every way to a decoder or an encoder: contexts, containers, and the WebRTC library's own.
_CODECS = (
    (av, "open"),
    (av, "CodecContext"),
    (aiortc.codecs.vpx, "CodecContext"),
    (aiortc.rtcrtpsender, "get_encoder"),
    (aiortc.rtcrtpreceiver, "get_decoder"),
)

_CHART = [f"pipeline.capture.{k}={v}" for k, v in {"width": 1280, "height": 720}.items()]
_PROCESSED = {"source": "pattern:", "processors": ["none"]}

_BUCKET = re.compile(r'avatar_send_lateness_seconds_bucket\{le="([^"]+)"\} (\S+)')


def run(quick: bool = False) -> list[Row]:
    """Measure codec calls, lateness and CPU."""
    seconds = 8 if quick else 30
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        marked_avatar(folder)
        rows = [_lateness(folder, 10, 2 * seconds)]
        rows.append(_lateness(folder, 10, seconds, beside=True))
        rows += _processor_time(folder, 30, seconds)
        rows.append(asyncio.run(_codec_calls(folder, 10, seconds)))
    return rows


def _crowd(address: str, count: int, seconds: float, **body: Any) -> "subprocess.Popen[str]":
    """Start viewers; return when all are connected."""
    asked = json.dumps(body or {"video_id": "marked"})
    command = [sys.executable, "-m", "tests.benchmarks.crowd", address, asked]
    process = subprocess.Popen(
        [*command, str(count), str(seconds)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "connected"
    return process


def _get(address: str, path: str) -> str:
    with urllib.request.urlopen(address + path) as response:
        text: str = response.read().decode()
    return text


def _status(address: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_get(address, "/status"))
    return found


def _buckets(address: str) -> dict[float, float]:
    return {float(le): float(n) for le, n in _BUCKET.findall(_get(address, "/metrics"))}


def _lateness(folder: Path, viewers: int, seconds: float, beside: bool = False) -> Row:
    """Measure played streams, alone or beside a processed one."""
    with server(folder, *_CHART) as (address, _):
        other = _crowd(address, 1, seconds + 10, **_PROCESSED) if beside else None
        crowd = _crowd(address, viewers, seconds)
        before = _buckets(address)
        crowd.communicate()
        after = _buckets(address)
        if other is not None:
            other.communicate()
    limit = 0.01 if beside else 0.005
    counts = {bound: after[bound] - before[bound] for bound in after}
    total = counts[float("inf")]
    shares = {bound: count / total for bound, count in counts.items()}
    within = next(bound for bound, share in sorted(shares.items()) if share >= 0.99)
    text = (
        f"p99 <= {within * 1000:g} ms ({shares[limit]:.2%} within {limit * 1000:g} ms, "
        f"{total:.0f} pictures)"
    )
    company = ", beside one processed 1280x720 stream" if beside else ""
    return Row(
        f"{viewers} sessions for {seconds:.0f} s{company}: lateness of sends",
        text,
        f"p99 < {limit * 1000:g} ms",
        shares[limit] >= 0.99,
    )


def _processor_time(folder: Path, viewers: int, seconds: float) -> list[Row]:
    with server(folder) as (address, _):
        crowd = _crowd(address, viewers, seconds + 5)
        before = _status(address)
        time.sleep(seconds)
        after = _status(address)
        crowd.communicate()
    ended = after["process"]
    elapsed = ended["uptime_seconds"] - before["process"]["uptime_seconds"]
    spent = ended["cpu_seconds"] - before["process"]["cpu_seconds"]
    sent = {stream["id"]: stream["bytes_sent"] for stream in before["streams"]}
    grown = [s["bytes_sent"] - sent[s["id"]] for s in after["streams"] if s["id"] in sent]
    rate = sum(grown) / len(grown) * 8 / elapsed / 1e6 if grown else 0.0
    each = spent / elapsed / viewers * 1000
    return [
        Row(
            f"CPU per viewer, {viewers} viewers, 512x512, 25 fps",
            f"{each:.2f} ms per second",
            "<= 9 ms",
            each <= 9,
        ),
        Row("bit rate of each of them", f"{rate:.2f} Mbit/s", "about 2 Mbit/s"),
        Row(
            "memory of the server",
            f"{ended['memory_bytes'] / 1e6:.0f} MB, grown "
            f"{(ended['memory_bytes'] - before['process']['memory_bytes']) / 1e6:.1f} MB",
        ),
    ]


async def _codec_calls(folder: Path, viewers: int, seconds: float) -> Row:
    """Count every codec that this process opens while it serves; the viewers are elsewhere."""
    settings = AvatarSettings(folder=folder, cache=folder / "cache", transitions="cut")
    async with serving(folder, avatars=settings) as (client, _):
        address = str(client.make_url("")).rstrip("/")
        asked = json.dumps({"video_id": "marked"})
        command = [sys.executable, "-m", "tests.benchmarks.crowd", address, asked]
        with contextlib.ExitStack() as patches:
            ways = [
                patches.enter_context(mock.patch.object(module, name)) for module, name in _CODECS
            ]
            process = await asyncio.create_subprocess_exec(
                *command, str(viewers), str(seconds), stdout=asyncio.subprocess.PIPE, cwd=ROOT
            )
            output, _ = await process.communicate()
            calls = sum(len(way.mock_calls) for way in ways)
        packets = json.loads(output.splitlines()[-1])["packets"]
    return Row(
        f"codecs opened while {viewers} sessions play for {seconds:.0f} s ({packets:,} packets)",
        str(calls),
        "0",
        calls == 0 and packets > viewers * seconds * 25,
    )
