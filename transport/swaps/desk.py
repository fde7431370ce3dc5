"""The face swap as callers use it: their faces, swaps of streams, swaps of single pictures."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from engine.clock import Clock, monotonic
from engine.errors import Unavailable
from engine.media.pictures import Format, encoded
from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.swap_settings import FaceSwapSettings, PictureSettings
from processors.faces.picture import load_face_picture
from processors.models.files import model_folders
from processors.models.library import ModelLibrary
from processors.provenance import source_type_of_swap
from processors.swap.control import SwapControl, changed_settings
from processors.swap.faces import Chosen, FacePicture, read_picture
from processors.swap.models import SwapModels
from processors.swap.picture import PictureSwapper, Swapped
from transport.swaps.shelf import FaceShelf

T = TypeVar("T")


class TooManyPictures(Unavailable):
    """As many pictures are being worked on as may be."""


@dataclass(frozen=True, slots=True)
class SwappedPicture:
    """A picture with other faces.

    Attributes:
        data: The file, with metadata that says what it is.
        format: Of the file.
        size: Width and height in pixels.
        faces: All faces of the picture, from left to right.
        source_type: The digital source type that the file declares.
    """

    data: bytes
    format: Format
    size: tuple[int, int]
    faces: tuple[Swapped, ...]
    source_type: str


@dataclass(frozen=True, slots=True)
class SourcePicture:
    """A picture that a caller sends along with a swap, and which face of it is meant.

    Attributes:
        data: The file.
        name: For messages.
        index: Which face from left to right, from 0; None takes the largest.
        person: For which face of the target, from the left, from 1; None: for whom is selected.
    """

    data: bytes
    name: str
    index: int | None = None
    person: int | None = None


class SwapDesk:
    """Serves callers' pictures on threads of its own, so many at a time; called on the loop.

    Args:
        settings: The section ``processors.face_swap``.
        pictures: Limits.
        models: Where detectors and models come from; None: the folders in ``AVATAR_MODELS``.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: FaceSwapSettings | None = None,
        pictures: PictureSettings | None = None,
        models: SwapModels | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self.limits = pictures or PictureSettings()
        self._settings = settings or FaceSwapSettings()
        self._models = models or SwapModels(
            ModelLibrary(model_folders((), os.environ)), RuntimeSettings()
        )
        self._shelf = FaceShelf(self.limits.kept, self.limits.keep_s, clock)
        self._pool = ThreadPoolExecutor(self.limits.at_once, "swap-picture")
        self._working = 0
        self._held: PictureSwapper | None = None

    def close(self) -> None:
        """End the threads, once what they do is done."""
        self._pool.shutdown(cancel_futures=True)

    def control(self) -> SwapControl:
        """The face swap of one more stream."""
        return SwapControl(self._settings, self._models)

    async def add(self, data: bytes, name: str) -> tuple[str, FacePicture]:
        """Keep the faces of a picture; returns the id under which they are known.

        Raises:
            TooManyPictures: Others are waiting already.
            PictureError, NoFace: It cannot be read, or shows no face.
            AvatarServerError: The detector cannot be used.
        """
        picture = await self._run(self._read, data, name)
        return self._shelf.put(picture), picture

    def face(self, face_id: str) -> FacePicture:
        """A picture that is kept.

        Raises:
            FaceNotFound: There is none of this id.
        """
        return self._shelf.get(face_id)

    def remove(self, face_id: str) -> None:
        """Forget a picture; streams that use it go on.

        Raises:
            FaceNotFound: There is none of this id.
        """
        self._shelf.remove(face_id)

    async def swap(
        self,
        sources: Sequence[SourcePicture],
        target: bytes,
        values: dict[str, Any],
        wanted: Format | None = None,
    ) -> SwappedPicture:
        """Swap the faces of a picture.

        Args:
            sources: Whose faces are put in.
            target: The picture.
            values: Settings that differ, by name.
            wanted: Of the result; None: JPEG for a JPEG, else PNG.

        Raises:
            TooManyPictures: Others are waiting already.
            AvatarServerError: A picture or model cannot be used.
        """
        settings = changed_settings(self._settings, values)
        return await self._run(self._swap, sources, target, settings, wanted)

    def _read(self, data: bytes, name: str) -> FacePicture:
        find = partial(self._models.detector, self._settings)
        return read_picture(data, name, find, self.limits.max_pixels)

    def _swap(
        self,
        sources: Sequence[SourcePicture],
        target: bytes,
        settings: FaceSwapSettings,
        wanted: Format | None,
    ) -> SwappedPicture:
        chosen = [self._chosen(source, settings) for source in sources]
        image = load_face_picture(target, self.limits.max_pixels)
        swapper = PictureSwapper(settings, self._models)
        # Holds its models until the next one: pictures in a row do not load them again.
        self._held = swapper
        faces = tuple(swapper.swap(image, chosen))
        kind: Format = wanted or ("jpeg" if target.startswith(b"\xff\xd8") else "png")
        declared = source_type_of_swap(settings)
        data = encoded(image, kind, declared)
        return SwappedPicture(data, kind, (image.shape[1], image.shape[0]), faces, declared)

    def _chosen(self, source: SourcePicture, settings: FaceSwapSettings) -> Chosen:
        find = partial(self._models.detector, settings)
        picture = read_picture(source.data, source.name, find, self.limits.max_pixels)
        return Chosen(source.name, picture.source(source.index), source.index, source.person)

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        if self._working >= self.limits.at_once + self.limits.waiting:
            raise TooManyPictures(
                f"{self._working} pictures are being worked on, the limit.",
                "Try again in a moment, or raise pictures.waiting.",
                retry_after=2,
            )
        self._working += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, partial(function, *arguments))
        finally:
            self._working -= 1
