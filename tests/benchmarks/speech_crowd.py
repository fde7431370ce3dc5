"""Many viewers in a process of their own whose avatars may speak; they decode nothing.

Usage: python -m tests.benchmarks.speech_crowd ADDRESS AVATAR COUNT [SOUND], where SOUND is a file
that every avatar plays. Prints ``ready`` once pictures, and speech if there is any, flow; ends
when its standard input does.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

from aiohttp import ClientSession

from tests.benchmarks.speech_receiver import decoding_nothing, upload
from tests.viewer import Viewer


async def _main(address: str, avatar: str, count: int, sound: bytes | None) -> None:
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(ClientSession())
        viewers = [Viewer(http, address) for _ in range(count)]
        for viewer in viewers:
            stack.push_async_callback(viewer.close)
            await viewer.connect(codec="video/H264", video_id=avatar)
            await viewer.connected()
        if sound is not None:
            for viewer in viewers:
                await _play(http, address, viewer, sound)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def _play(http: ClientSession, address: str, viewer: Viewer, sound: bytes) -> None:
    form = upload(viewer.stream["session_id"], sound)
    async with http.post(f"{address}/streams/{viewer.stream['id']}", data=form) as response:
        assert response.status == 200, await response.text()
    while not (await viewer.event()).startswith("stream/started"):
        pass


if __name__ == "__main__":
    played = Path(sys.argv[4]).read_bytes() if len(sys.argv) > 4 else None
    with decoding_nothing():
        asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), played))
