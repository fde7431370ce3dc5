"""Many viewers in a process of their own: they receive and acknowledge, but decode nothing.

Usage: python -m tests.benchmarks.crowd ADDRESS BODY COUNT SECONDS, where BODY is the JSON of
``POST /streams``. Prints ``connected`` once all
pictures flow, then, at the end, the packets received as JSON.
"""

import asyncio
import json
import sys
from typing import Any

import aiortc.rtcrtpreceiver
from aiohttp import ClientSession

from tests.viewer import Viewer


class _Nothing:
    """A decoder that costs nothing."""

    def decode(self, encoded_frame: Any) -> list[Any]:
        return []


async def _main(address: str, body: dict[str, Any], count: int, seconds: float) -> None:
    async with ClientSession() as http:
        viewers = [Viewer(http, address) for _ in range(count)]
        for viewer in viewers:
            await viewer.connect(codec="video/H264", **body)
            assert viewer.track is not None
            await viewer.connected()
        print("connected", flush=True)
        await asyncio.sleep(seconds)
        received = 0
        for viewer in viewers:
            for stats in (await viewer.peer.getStats()).values():
                if stats.type == "inbound-rtp":
                    received += stats.packetsReceived
        print(json.dumps({"packets": received}), flush=True)
        await asyncio.gather(*(viewer.close() for viewer in viewers))


if __name__ == "__main__":
    aiortc.rtcrtpreceiver.get_decoder = lambda codec: _Nothing()
    asyncio.run(_main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
