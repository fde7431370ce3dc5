"""The player on a fake clock: even timestamps and flat memory for ever."""

import time
import tracemalloc

from engine.avatar.cuts import CutWalk
from engine.avatar.player import Player
from tests.benchmarks.table import Row
from tests.fakes import bare_pack


def run(quick: bool = False) -> list[Row]:
    """Play a two-picture clip a million times over."""
    loops = 20_000 if quick else 1_000_000
    pack = bare_pack({"idle": [2]})
    player = Player(CutWalk(pack, 1), pack.fps, 0.0)
    uneven = 0
    expected = 0
    peaks = []
    began = time.process_time()
    tracemalloc.start()
    for _ in range(4):
        for _picture in range(2 * loops // 4):
            picture = player.advance(player.due())
            assert picture is not None
            uneven += picture.timestamp != expected
            expected += 3600
        peaks.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    spent = time.process_time() - began
    growth = peaks[-1] - peaks[0]
    return [
        Row(f"uneven timestamps in {loops:,} loops", str(uneven), "0", uneven == 0),
        Row("memory grown between the first and the last quarter", f"{growth} B", "flat",
            growth < 2048),
        Row("time per picture (traced)", f"{spent / (2 * loops) * 1e6:.1f} us"),
    ]  # fmt: skip
