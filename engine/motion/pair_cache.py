"""The jumps between pairs of clips, kept on disk: changing one clip redoes only its own pairs."""

import json
from collections.abc import Iterator, MutableMapping
from dataclasses import asdict
from pathlib import Path

from engine.motion.graph import Jump, JumpKind

MAX_PAIRS = 1000
"""Files that are kept; the oldest go first. One is some ten kilobytes."""


class PairCache(MutableMapping[str, list[Jump]]):
    """Jumps by ``features.pair_key``; a file that cannot be read is as good as none.

    Args:
        folder: Made when the first pair is stored.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, key: str) -> list[Jump]:
        try:
            values = json.loads(self._path(key).read_text("utf-8"))
            return [
                Jump(**{**v, "kind": JumpKind(v["kind"]), "steps": tuple(v["steps"])})
                for v in values
            ]
        except (OSError, ValueError, TypeError, KeyError):
            raise KeyError(key) from None

    def __setitem__(self, key: str, jumps: list[Jump]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(key)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps([asdict(jump) for jump in jumps]), "utf-8")
        temporary.replace(path)
        paths = sorted(self._folder.glob("*.json"), key=lambda p: p.stat().st_mtime)
        for old in paths[:-MAX_PAIRS]:
            old.unlink(missing_ok=True)

    def __delitem__(self, key: str) -> None:
        try:
            self._path(key).unlink()
        except FileNotFoundError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[str]:
        return (path.stem for path in self._folder.glob("*.json"))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
