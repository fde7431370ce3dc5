"""Which font file has the letters of a text."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import MissingDependency

_PROGRAM = "fc-match"
_TIMEOUT_S = 20.0
_MOST_LETTERS = 500
"""Different letters that are asked for: a longer command line would gain nothing."""


@dataclass(frozen=True, slots=True)
class FontFile:
    """A font.

    Attributes:
        path: Its file; None: the one inside Pillow, which has Latin letters only.
        index: Its place in a file that holds several.
    """

    path: Path | None
    index: int = 0

    def load(self, pixels: float) -> Any:
        """Return Pillow's font with lines of so many pixels.

        Raises:
            MissingDependency: Pillow is not installed.
        """
        try:
            from PIL import ImageFont
        except ImportError as error:
            raise MissingDependency(
                f"Drawing letters needs Pillow: {error}.",
                "Run: pip install -r requirements-ai.txt.",
            ) from error
        if self.path is None:
            return ImageFont.load_default(pixels)
        return ImageFont.truetype(str(self.path), pixels, index=self.index)


def find_font(family: str, text: str, bold: bool = False) -> FontFile:
    """Return the font that fits best, as fontconfig chooses it.

    Args:
        family: Preferred family; empty: a sans serif.
        text: What is to be written; its letters decide where the family lacks some.
        bold: Prefer bold letters.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        return FontFile(None)
    letters = sorted({ord(char) for char in text if not char.isspace()})[:_MOST_LETTERS]
    pattern = f"{family or 'sans-serif'}:scalable=true"
    if bold:
        pattern += ":bold"
    if letters:
        pattern += f":charset={' '.join(f'{letter:x}' for letter in letters)}"
    try:
        found = subprocess.run(
            [program, "-f", "%{file}\n%{index}", pattern],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return FontFile(None)
    path, _, index = found.partition("\n")
    if not Path(path).is_file():
        return FontFile(None)
    return FontFile(Path(path), int(index) if index.isdigit() else 0)
