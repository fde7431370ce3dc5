"""Swaps all faces of a batch: backend, colour, masks, paste-back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from processors.faces.align import transformed
from processors.swap.backend import Patch, SwapBackend, SwapJob
from processors.swap.colour import match_statistics
from processors.swap.geometry import Mask, usable
from processors.swap.masks import Look, Masks, Occluder, both
from processors.swap.paste import paste


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Faces of a batch on their way through a ``Swapper``.

    Attributes:
        jobs: All of them.
        chosen: Indices of the jobs that are swapped.
        look: How they are put in.
        work: What the backend has made of those so far.
    """

    jobs: Sequence[SwapJob]
    chosen: Sequence[int]
    look: Look
    work: Any


class Swapper:
    """Puts a backend's faces into their pictures.

    Args:
        backend: Makes the faces; closed with this.
        look: How they are put in; assign another one at any time.
        occluder: Sees what is in front of a face.
    """

    def __init__(
        self, backend: SwapBackend, look: Look | None = None, occluder: Occluder | None = None
    ) -> None:
        self.look = look or Look()
        self._backend = backend
        self._occluder = occluder
        self._masks = Masks()

    def swap_batch(self, jobs: Sequence[SwapJob]) -> list[bool]:
        """Swap faces in place.

        All crops are cut before anything is pasted; then larger faces, which are nearer, are
        pasted over smaller ones.

        Args:
            jobs: All faces of all frames of a batch.

        Returns:
            For each job whether its face was swapped: not where its landmarks are unusable, it
            lies outside the picture, or the look leaves nothing of it.
        """
        return self.put(self.run(self.prepare(jobs, self.look)))

    def prepare(self, jobs: Sequence[SwapJob], look: Look) -> Batch:
        """The first of three steps that different batches may be in at the same time."""
        chosen = [index for index, job in enumerate(jobs) if usable(job.face.landmarks)]
        if look.opacity <= 0 or not chosen:
            return Batch(jobs, (), look, None)
        return Batch(jobs, chosen, look, self._backend.prepare([jobs[index] for index in chosen]))

    def run(self, batch: Batch) -> Batch:
        """The second step: the backend's model."""
        return replace(batch, work=self._backend.run(batch.work)) if batch.chosen else batch

    def put(self, batch: Batch) -> list[bool]:
        """The last step, see ``swap_batch``."""
        jobs, done = batch.jobs, [False] * len(batch.jobs)
        patches = self._backend.patches(batch.work) if batch.chosen else []
        seen: Sequence[Mask | None] = [None] * len(patches)
        if self._occluder is not None and patches:
            seen = self._occluder.visible([patch.target for patch in patches])
        ready = sorted(
            zip(batch.chosen, patches, seen, strict=True), key=lambda item: jobs[item[0]].face.area
        )
        for index, patch, visible in ready:
            done[index] = self._put(jobs[index], patch, visible, batch.look)
        return done

    def close(self) -> None:
        """Release the backend."""
        self._backend.close()

    def _put(self, job: SwapJob, patch: Patch, visible: Mask | None, look: Look) -> bool:
        side = patch.crop.shape[0]
        landmarks = (transformed(job.face.landmarks, patch.transform) + 0.5) / side
        contour = job.face.contour
        if contour is not None:
            contour = (transformed(contour, patch.transform) + 0.5) / side
        edge = None if patch.outline is None else (patch.outline + 0.5) / side
        mask = self._masks.combined(look, landmarks, contour, edge)
        if visible is not None:
            mask = both(mask, visible)
        crop = patch.crop
        if not patch.matched:
            crop = match_statistics(crop, patch.target, mask, look.colour)
        return paste(job.image, crop, patch.transform, mask)
