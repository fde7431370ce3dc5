"""Files with swapped faces: videos, recordings and snapshots, and what they declare."""

import struct
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

import server
from engine.media.render import render
from engine.media.render_notes import RenderOptions
from engine.media.xmp import CannotDeclare, with_xmp, xmp_packet
from engine.pipeline.control import PipelineControl
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.settings import DisplaySettings, OutputSettings, PipelineSettings
from processors.provenance import COMPOSITE, TRAINED
from tests.clipmaking import write_clip
from tests.pipeline_fakes import CollectingSink, FunctionTransform, QueueSource, make_frame, picture
from tests.swap_material import FACES, MODELS, SHARED
from transport.outputs.keys import Action
from transport.outputs.live import LiveKeys
from transport.outputs.recorder import Recorder

CLIP = SHARED / "media" / "camera" / "person_1280x720.mp4"
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def boxes(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The boxes at the top level of an MP4 file: type and contents (ISO 14496-12, 4.2)."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        size = size or len(data) - at
        yield kind, data[at + head : at + size]
        at += size
    assert at == len(data)


def declared(path: Path) -> str | None:
    """The digital source type that a video declares."""
    for kind, body in boxes(path):
        if kind == b"uuid" and body.startswith(XMP_BOX):
            return body.partition(b'DigitalSourceType="')[2].partition(b'"')[0].decode()
    return None


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten pictures of a real face, with sound."""
    if not CLIP.is_file() or not (MODELS / "yunet_n_dynamic.onnx").is_file():
        pytest.skip(f"no clip or no face detector: {CLIP}, {MODELS}")
    capture = cv2.VideoCapture(str(CLIP))
    pictures = [np.asarray(capture.read()[1][:, :, ::-1], np.uint8) for _ in range(10)]
    capture.release()
    return write_clip(tmp_path / "in.mp4", pictures, sound=0.4)


def test_a_video_is_swapped_with_its_sound(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_MODELS", str(MODELS))
    monkeypatch.chdir(FACES)
    target = tmp_path / "out.mp4"
    command = ["render", str(clip), str(target), "--processor", "face_swap", "--face"]
    assert server.main([*command, "mona_lisa.jpg"]) == 0
    with av.open(str(clip)) as before, av.open(str(target)) as after:
        sounds = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (before, after)]
    assert sounds[0] == sounds[1]
    with av.open(str(clip)) as before, av.open(str(target)) as after:
        pairs = [
            (a.to_ndarray(format="gray").astype(int), b.to_ndarray(format="gray"))
            for a, b in zip(before.decode(video=0), after.decode(video=0), strict=True)
        ]
    assert len(pairs) == 10
    for original, swapped in pairs:
        changed = np.abs(original - swapped)
        assert changed[170:460, 330:640].mean() > 1.5 * max(changed[:150].mean(), 0.5)
        assert changed[-60:, -90:].mean() > 10
    assert declared(target) == COMPOSITE


@pytest.mark.parametrize("goes_on", ["one", "two"])
def test_only_the_same_face_goes_on_with_a_stopped_run(tmp_path: Path, goes_on: str) -> None:
    pictures = [np.full((64, 64, 3), 8 * n, np.uint8) for n in range(30)]
    source = write_clip(tmp_path / "in.mp4", pictures)
    target = tmp_path / "out.mp4"
    stop = threading.Event()

    def options(face: str) -> RenderOptions:
        return RenderOptions(("face_swap",), details=face, source_type=TRAINED)

    stopped = render(
        source, target, FunctionTransform(), options("one"), stop, lambda _: stop.set()
    )
    assert stopped.stopped
    assert declared(target) == TRAINED
    ended = threading.Event()
    same = render(source, target, FunctionTransform(), options(goes_on), ended, lambda _: None)
    assert same.resumed_from == (stopped.frames if goes_on == "one" else 0)
    assert declared(target) == TRAINED
    with av.open(str(target)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


def test_a_recording_declares_what_was_ever_in_it(tmp_path: Path) -> None:
    said: list[str | None] = [None, COMPOSITE, None]
    path = tmp_path / "x.mp4"
    recorder = Recorder(path, OutputSettings(), source_type=lambda: said.pop(0) if said else None)
    for number in range(3):
        recorder.show(make_frame(number, image=picture(64, 48, 60 * number)))
    recorder.close()
    assert declared(path) == COMPOSITE
    plain = Recorder(tmp_path / "y.mp4", OutputSettings())
    plain.show(make_frame(0, image=picture(64, 48)))
    plain.close()
    assert declared(tmp_path / "y.mp4") is None


@pytest.mark.parametrize("swapped", [True, False])
def test_snapshots_declare_it(tmp_path: Path, swapped: bool) -> None:
    names = ("face_swap",) if swapped else ("mirror",)
    settings = PipelineSettings(display=DisplaySettings(pace=False))
    pipeline = Pipeline(QueueSource(), FunctionTransform(), [CollectingSink()], settings)
    control = PipelineControl(
        pipeline, names, lambda spec: QueueSource(), lambda names: FunctionTransform()
    )
    keys = LiveKeys(
        control,
        ("none",),
        OutputSettings(folder=tmp_path),
        lambda: datetime(2026, 1, 2),
        lambda names: TRAINED if "face_swap" in names else None,
    )
    keys(Action.SNAPSHOT, picture(40, 30))
    pipeline.stop()
    (path,) = tmp_path.iterdir()
    with Pillow.open(path) as file:
        found = file.info.get("XML:com.adobe.xmp", "")
        assert file.size == (40, 30)
        file.load()
    assert (TRAINED in found) is swapped


def test_where_metadata_cannot_go() -> None:
    packet = xmp_packet(TRAINED, 'a "tool" & more')
    assert b"&quot;" in packet or b"'a \"tool\" &amp; more'" in packet
    with pytest.raises(CannotDeclare):
        with_xmp(b"GIF89a", packet)
