"""Compiling avatars: from clips to packs, in this process and in a worker's."""

import asyncio
import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import pytest

from engine.avatar import compile as compiler
from engine.avatar import compiling, worker
from engine.avatar import pack as packs
from engine.avatar.compile import Progress
from engine.avatar.compiling import Compiler
from engine.avatar.library import AvatarLibrary, Entry
from engine.errors import (
    AvatarCompiling,
    AvatarError,
    AvatarNotFound,
    ClipChanged,
    ClipError,
    PathNotAllowed,
)
from engine.motion.graph import MotionSettings
from engine.settings import AvatarSettings
from tests.fakes import flat_clip, spec


@pytest.fixture
def settings(tmp_path: Path) -> AvatarSettings:
    return AvatarSettings(
        folder=tmp_path / "videos",
        cache=tmp_path / "cache",
        size="64x64",
        codecs=("H264",),
        transitions="cut",
    )


def make_avatar(settings: AvatarSettings, name: str = "anna", seconds: float = 0.6) -> Path:
    folder = settings.folder / name
    folder.mkdir(parents=True)
    flat_clip(folder / "idle.mp4", 60, seconds)
    flat_clip(folder / "gesture.mp4", 180, seconds)
    return folder


async def settled(library: AvatarLibrary, avatar_id: str) -> Entry:
    entry = library.entry(avatar_id)
    await asyncio.wait_for(entry.settled.wait(), 60)
    return entry


def test_a_pack_holds_every_clip_with_a_keyframe_at_its_start(tmp_path: Path) -> None:
    idle = flat_clip(tmp_path / "idle.mp4", 60, 2.0)
    gesture = flat_clip(tmp_path / "gesture.mp4", 180, 1.0)
    seen: list[float] = []
    pack = compiler.compile_avatar(spec({"idle": [idle], "gesture": [gesture]}), seen.append)
    assert [(c.state, c.first, c.count) for c in pack.clips] == [
        ("idle", 0, 50),
        ("gesture", 50, 25),
    ]
    for clip in pack.clips:
        assert clip.keyframes[0] == clip.first
        ends = [*clip.keyframes[1:], clip.first + clip.count]
        gaps = [b - a for a, b in zip(clip.keyframes, ends, strict=True)]
        assert max(gaps) / 25 <= 0.5
        assert min(gaps) >= 2
    assert [len(p.access_units) for p in pack.codecs.values()] == [75, 75]
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize("count", range(2, 40))
def test_every_length_gives_intervals_of_two_to_half_a_second(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pictures(path: Path, encoding: object, on_progress: object) -> list[av.VideoFrame]:
        return [av.VideoFrame(64, 64, "yuv420p") for _ in range(count)]

    monkeypatch.setattr(compiler, "_pictures", pictures)
    monkeypatch.setattr(compiler.clips, "read_info", lambda _: None)
    monkeypatch.setattr(compiler, "pack_key", lambda _: "key")
    wanted = spec({"idle": [tmp_path / "a.mp4"]}, codecs=("VP8",))
    (clip,) = compiler.compile_avatar(wanted).clips
    ends = [*clip.keyframes[1:], count]
    gaps = [b - a for a, b in zip(clip.keyframes, ends, strict=True)]
    assert sum(gaps) == count
    assert all(2 <= gap <= 12 for gap in gaps)


def test_one_picture_is_not_enough(tmp_path: Path) -> None:
    clip = flat_clip(tmp_path / "one.mp4", 60, 0.04)
    with pytest.raises(ClipError, match="one.mp4"):
        compiler.compile_avatar(spec({"idle": [clip]}))


def test_a_clip_whose_end_is_missing_is_refused(tmp_path: Path) -> None:
    whole = flat_clip(tmp_path / "whole.mkv", 60, 4.0)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ClipError, match="cut.mkv"):
        compiler.compile_avatar(spec({"idle": [cut]}))


def test_a_clip_of_sound_alone_is_refused(media: Path) -> None:
    with pytest.raises(ClipError, match="short.wav"):
        compiler.compile_avatar(spec({"idle": [media / "speech" / "short.wav"]}))


def test_a_clip_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    clip = flat_clip(tmp_path / "idle.mp4", 60, 0.4)

    def change(done: float) -> None:
        clip.write_bytes(clip.read_bytes() + b"\0")

    with pytest.raises(ClipChanged, match="changed while"):
        compiler.compile_avatar(spec({"idle": [clip]}), change)


def test_the_key_follows_contents_and_settings(tmp_path: Path) -> None:
    one, two = flat_clip(tmp_path / "a.mp4", 60, 0.4), flat_clip(tmp_path / "b.mp4", 90, 0.4)
    base = compiler.pack_key(spec({"idle": [one]}))
    copy = tmp_path / "copy.mp4"
    shutil.copy(one, copy)
    assert compiler.pack_key(spec({"idle": [copy]})) == base
    assert compiler.pack_key(spec({"idle": [two]})) != base
    assert compiler.pack_key(spec({"idle": [one]}, crf=20)) != base
    assert compiler.pack_key(spec({"idle": [one], "gesture": [one]})) != base


def test_a_worker_understands_what_the_library_tells_it(tmp_path: Path) -> None:
    wanted = spec({"idle": [tmp_path / "a.mp4"]}, fps=Fraction(30000, 1001))
    order = worker.Order(wanted, tmp_path / "x.pack", MotionSettings(tries=3), tmp_path / "y.onnx")
    assert worker.Order.from_json(order.to_json()) == order


def test_a_worker_reports_progress_and_errors(tmp_path: Path) -> None:
    clip = flat_clip(tmp_path / "idle.mp4", 60, 0.4)
    messages: list[dict[str, object]] = []
    target = tmp_path / "x.pack"
    assert worker.run(worker.Order(spec({"idle": [clip]}), target).to_json(), messages.append) == 0
    assert messages[0].keys() == {"progress"}
    assert messages[-1] == {"done": str(target)}
    assert packs.read(target).clips[0].count == 10
    clip.write_bytes(b"")
    assert worker.run(worker.Order(spec({"idle": [clip]}), target).to_json(), messages.append) == 1
    assert messages[-1].keys() == {"error"}


async def test_avatars_are_compiled_once_and_then_only_read(settings: AvatarSettings) -> None:
    make_avatar(settings)
    seen: list[str] = []
    library = AvatarLibrary(settings, lambda entry: seen.append(entry.status))
    await library.start()
    try:
        entry = await settled(library, "anna")
        assert entry.status == "ready"
        assert seen[0] == "compiling"
        pack = await library.ready("anna", 0)
    finally:
        await library.close()
    again = AvatarLibrary(settings, lambda entry: seen.append(entry.status))
    seen.clear()
    await again.start()
    try:
        assert (await again.ready("anna", 30)) == pack
        assert "compiling" not in seen
    finally:
        await again.close()


async def test_a_damaged_pack_is_compiled_again(settings: AvatarSettings) -> None:
    make_avatar(settings)
    library = AvatarLibrary(settings)
    await library.start()
    await settled(library, "anna")
    await library.close()
    (path,) = settings.cache.glob("*.pack")
    path.write_bytes(path.read_bytes()[:-100] + b"x" * 100)
    again = AvatarLibrary(settings)
    await again.start()
    try:
        assert (await again.ready("anna", 60)).clips[0].count == 15
    finally:
        await again.close()


@pytest.mark.logs_errors
async def test_one_broken_avatar_leaves_the_others_alone(settings: AvatarSettings) -> None:
    make_avatar(settings)
    broken = make_avatar(settings, "broken")
    (broken / "gesture.mp4").write_bytes(b"not a video at all")
    library = AvatarLibrary(settings)
    await library.start()
    try:
        assert (await settled(library, "anna")).status == "ready"
        entry = await settled(library, "broken")
        assert entry.status == "failed"
        assert "gesture.mp4" in str(entry.error)
        with pytest.raises(AvatarError, match="gesture.mp4"):
            await library.ready("broken", 5)
        flat_clip(broken / "gesture.mp4", 100, 0.5)
        await library.refresh()
        assert (await settled(library, "broken")).status == "ready"
    finally:
        await library.close()


async def test_a_changed_clip_is_compiled_while_the_old_pack_plays(
    settings: AvatarSettings,
) -> None:
    folder = make_avatar(settings)
    library = AvatarLibrary(settings)
    await library.start()
    try:
        old = await library.ready("anna", 60)
        flat_clip(folder / "idle.mp4", 200, 0.8)
        await library.refresh()
        assert (await library.ready("anna", 0)) == old
        assert (await settled(library, "anna")).pack != old
        assert len(list(settings.cache.glob("*.pack"))) == 1
    finally:
        await library.close()


async def test_whoever_does_not_wait_hears_that_it_is_being_compiled(
    settings: AvatarSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_avatar(settings)
    gate = asyncio.Event()

    async def hold(self: Compiler, order: worker.Order, on_progress: Progress) -> None:
        on_progress(0.42)
        await gate.wait()
        worker.run(order.to_json(), lambda _: None)

    monkeypatch.setattr(Compiler, "run_worker", hold)
    library = AvatarLibrary(settings)
    await library.start()
    try:
        with pytest.raises(AvatarCompiling):
            await library.ready("anna", 0)
        waiting = asyncio.create_task(library.ready("anna", 30))
        gate.set()
        assert (await waiting).clips[0].count == 15
    finally:
        await library.close()


async def test_unknown_avatars_are_named_with_the_known_ones(settings: AvatarSettings) -> None:
    make_avatar(settings)
    library = AvatarLibrary(settings)
    await library.start()
    try:
        with pytest.raises(AvatarNotFound, match=r"'bob'.*anna"):
            await library.ready("bob", 0)
    finally:
        await library.close()


async def test_new_folders_are_found_and_gone_ones_forgotten(settings: AvatarSettings) -> None:
    library = AvatarLibrary(settings)
    await library.start()
    try:
        assert library.entries() == []
        folder = make_avatar(settings)
        assert (await library.ready("anna", 60)).clips
        shutil.rmtree(folder)
        await library.refresh()
        assert library.entries() == []
    finally:
        await library.close()


async def test_a_pair_of_clips_becomes_an_avatar(settings: AvatarSettings) -> None:
    make_avatar(settings)
    library = AvatarLibrary(settings)
    await library.start()
    try:
        name = await library.add_pair("anna/idle.mp4", "anna/gesture.mp4")
        assert name == await library.add_pair("anna/../anna/idle.mp4", "anna/gesture.mp4")
        assert (await library.ready(name, 60)).clips[1].state == "gesture"
        with pytest.raises(PathNotAllowed):
            await library.add_pair("../../etc/passwd", "anna/gesture.mp4")
        with pytest.raises(AvatarError, match="none.mp4"):
            await library.add_pair("anna/none.mp4", "anna/gesture.mp4")
    finally:
        await library.close()


@pytest.mark.logs_errors
async def test_a_worker_that_dies_is_an_error_not_a_hang(
    settings: AvatarSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_avatar(settings)
    monkeypatch.setattr(compiling.sys, "executable", shutil.which("false"))
    library = AvatarLibrary(settings)
    await library.start()
    try:
        entry = await settled(library, "anna")
        assert entry.status == "failed"
        assert "ended with 1" in str(entry.error)
    finally:
        await library.close()


async def test_closing_ends_the_worker(settings: AvatarSettings, tmp_path: Path) -> None:
    folder = make_avatar(settings)
    flat_clip(folder / "idle.mp4", 60, 60)
    compiling = asyncio.Event()
    library = AvatarLibrary(settings, lambda entry: entry.progress and compiling.set())
    await library.start()
    await asyncio.wait_for(compiling.wait(), 60)
    await asyncio.wait_for(library.close(), 5)
    left = list(settings.cache.glob("*")) if settings.cache.exists() else []
    assert left == []


def test_the_described_compilation_is_json(tmp_path: Path) -> None:
    text = worker.Order(spec({"idle": [tmp_path / "a.mp4"]}), tmp_path / "x").to_json()
    assert json.loads(text)["encoding"]["fps"] == "25"


def test_real_clips_compile(media: Path) -> None:
    clips = {name: [media / "avatar" / f"{name}.mp4"] for name in ("idle", "gesture")}
    pack = compiler.compile_avatar(spec(clips, size=(128, 128), max_clip_seconds=2.0))
    assert [clip.count for clip in pack.clips] == [50, 50]
    assert pack.poster.startswith(b"\xff\xd8")
