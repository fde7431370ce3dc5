"""Swap models: contract, one call for everything, pixel boost."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from processors.faces.align import align
from processors.models.contracts import ModelMismatch
from processors.swap.adapter import GHOST_256, ModelSwap, NoEmbedding
from processors.swap.backend import Remembered, SourceFace, SwapJob
from processors.swap.inswapper import INSWAPPER_128, InSwapper, read_emap
from processors.swap.tiles import from_tiles, to_tiles
from tests.contract_graphs import det_10g, inswapper_128
from tests.swap_fakes import FakeModel, Tensor, echo, face_at, psnr, source_face, texture, unit

NO = (0.0, 0.0, 0.0)
ONE = (1.0, 1.0, 1.0)


class _Onnx:
    """A graph in onnxruntime, as ``Model``."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.inputs = self._session.get_inputs()
        self.outputs = self._session.get_outputs()

    def run(self, feeds):
        return self._session.run(None, dict(feeds))


@pytest.mark.parametrize("boost", [1, 2, 4])
def test_tiles_come_together_again_exactly(boost: int) -> None:
    side = 32 * boost
    crops = [
        np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
        for seed in range(3)
    ]
    tiles = to_tiles(crops, boost, NO, ONE)
    assert tiles.shape == (3 * boost * boost, 3, 32, 32)
    assert tiles.dtype == np.float32
    for ours, original in zip(from_tiles(tiles, boost, NO, ONE), crops, strict=True):
        assert (ours == original).all()
    scaled = to_tiles(crops, boost, (0.5, 0.4, 0.3), (0.5, 0.2, 0.1))
    again = from_tiles(scaled, boost, (0.5, 0.4, 0.3), (0.5, 0.2, 0.1))
    assert all((ours == original).all() for ours, original in zip(again, crops, strict=True))


def test_each_tile_is_a_phase_of_the_whole_face() -> None:
    crop = texture(64, 64, 1)
    tiles = to_tiles([crop], 2, NO, ONE)
    wanted = crop[1::2, 0::2, ::-1].transpose(2, 0, 1) / 255
    assert np.abs(tiles[2] - wanted).max() < 1e-6


def test_three_faces_of_sixteen_tiles_are_one_call(tmp_path: Path) -> None:
    path = inswapper_128(tmp_path / "swap.onnx", batch="n")
    swap = InSwapper(_Onnx(path), path, boost=4)
    frames = [texture(300, 400, seed) for seed in range(2)]
    jobs = [
        SwapJob(frames[0], face_at(120, 150, 150), source_face(1)),
        SwapJob(frames[0], face_at(290, 150, 120, 10), source_face(2)),
        SwapJob(frames[1], face_at(200, 150, 200), source_face(1)),
    ]
    patches = swap.swap(jobs)
    assert swap.calls == 1
    assert [patch.crop.shape for patch in patches] == [(512, 512, 3)] * 3
    assert any((patch.crop != patch.target).any() for patch in patches)
    alone = swap.swap(jobs[1:2])[0]
    assert swap.calls == 2
    assert np.abs(alone.crop.astype(int) - patches[1].crop).max() <= 1


@pytest.mark.filterwarnings("ignore:.*estimate:FutureWarning")
def test_equal_to_insightface_on_the_same_graph(tmp_path: Path) -> None:
    theirs = pytest.importorskip(
        "insightface.model_zoo.inswapper", reason="insightface is missing"
    ).INSwapper
    path = inswapper_128(tmp_path / "swap.onnx")
    frame, face = texture(480, 640, 4), face_at(300, 220, 180, 8)
    source = SourceFace(texture(64, 64), face_at(32, 32, 64, embedding=unit(7)))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    crop, transform = theirs(str(path), session).get(
        frame,
        SimpleNamespace(kps=face.landmarks),
        SimpleNamespace(normed_embedding=unit(7)),
        paste_back=False,
    )
    swap = InSwapper(_Onnx(path), path)
    patch = swap.swap([SwapJob(frame, face, source)])[0]
    assert np.allclose(patch.transform, transform, atol=1e-4)
    # They cut fractions off, here they are rounded.
    assert np.abs(patch.crop.astype(int) - crop).max() <= 2
    assert psnr(patch.crop, crop) > 45
    other = SourceFace(source.image, face_at(32, 32, 64, embedding=unit(8)))
    changed = swap.swap([SwapJob(frame, face, other)])[0]
    assert psnr(changed.crop, patch.crop) < 45


def test_a_fixed_batch_of_one_is_looped_and_gives_the_same(tmp_path: Path) -> None:
    fixed, free = inswapper_128(tmp_path / "1.onnx"), inswapper_128(tmp_path / "n.onnx", batch="n")
    jobs = [SwapJob(texture(200, 200, 3), face_at(100, 100, 130), source_face())]
    one, many = InSwapper(_Onnx(fixed), fixed, 2), InSwapper(_Onnx(free), free, 2)
    assert np.abs(one.swap(jobs)[0].crop.astype(int) - many.swap(jobs)[0].crop).max() <= 1
    assert (one.calls, many.calls) == (4, 1)


def test_a_fixed_batch_is_filled_up_and_a_limit_divides() -> None:
    jobs = [SwapJob(texture(200, 200, 3), face_at(100, 100, 130), source_face())] * 3
    fixed = echo(batch=8)
    patches = ModelSwap(fixed, INSWAPPER_128, 2).swap(jobs)
    assert fixed.batches == [8, 8]
    assert all((patch.crop == patch.target).all() for patch in patches)
    free = echo()
    ModelSwap(free, INSWAPPER_128, 2, most_tiles=5).swap(jobs)
    assert free.batches == [5, 5, 2]
    assert ModelSwap(free, INSWAPPER_128).swap([]) == []


def test_another_shape_by_its_spec() -> None:
    seen: dict[str, np.ndarray] = {}

    def run(feeds):
        seen.update(feeds)
        return -feeds["a"]

    model = FakeModel(
        run,
        (Tensor("b", ("n", 512)), Tensor("a", ("n", 3, 256, 256))),
        (Tensor("out", ("n", 3, 256, 256)), Tensor("mask", ("n", 1, 256, 256))),
    )
    swap = ModelSwap(model, GHOST_256, convert=lambda embedding: embedding * 20)
    frame, face = texture(400, 400, 1), face_at(200, 200, 200)
    patch = swap.swap([SwapJob(frame, face, source_face(3))])[0]
    assert np.allclose(patch.transform, align(face.landmarks, 112) * (256 / 112), atol=1e-6)
    assert seen["a"].min() >= -1
    assert np.allclose(seen["b"][0], unit(3) * 20)
    assert np.abs(patch.crop.astype(int) - (255 - patch.target)).max() <= 1


def test_wrong_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match="inswapper_128"):
        ModelSwap(echo(256), INSWAPPER_128)
    detector = det_10g(tmp_path / "det.onnx")
    with pytest.raises(ModelMismatch, match="inswapper_128"):
        InSwapper(_Onnx(detector), detector)
    with pytest.raises(ModelMismatch, match="last initializer"):
        read_emap(detector)


def test_a_source_that_nobody_recognised_is_refused() -> None:
    swap = ModelSwap(echo(), INSWAPPER_128)
    nobody = SourceFace(texture(64, 64), face_at(32, 32, 64))
    with pytest.raises(NoEmbedding, match="recognition model"):
        swap.swap([SwapJob(texture(100, 100), face_at(50, 50, 60), nobody)])


def test_what_is_remembered_is_bounded() -> None:
    made: list[int] = []
    squares: Remembered[int, int] = Remembered(lambda key: made.append(key) or key * key, most=2)
    assert [squares(key) for key in (1, 2, 1, 3, 1, 2)] == [1, 4, 1, 9, 1, 4]
    assert made == [1, 2, 3, 2]
    squares.clear()
    assert squares(1) == 1
    assert made == [1, 2, 3, 2, 1]
