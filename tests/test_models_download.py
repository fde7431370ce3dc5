"""Downloading models from a server that breaks off, lies, refuses and comes back."""

import errno
import hashlib
import io
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.pipeline.model_settings import ModelSettings
from processors.models import fetching
from processors.models.catalog import ArchiveSpec, Catalog, FileSpec, ModelSpec
from processors.models.download import (
    DiskFull,
    Downloader,
    DownloadFailed,
    ModelFolderUnusable,
    take_member,
)
from processors.models.files import recorded_hash
from processors.models.library import ModelLibrary
from processors.models.licences import ModelRefused
from processors.models.locking import locked
from tests.model_server import FileServer, running_file_server

CONTENT = np.random.default_rng(1).integers(0, 256, 1_500_000).astype(np.uint8).tobytes()
OTHER = CONTENT[::-1]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with running_file_server() as running:
        running.files["/a.onnx"] = CONTENT
        yield running


class Told:
    """Remembers what a download reports."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.fractions: list[float] = []
        self.on_progress: Callable[[int], None] = lambda done: None

    def begin(self, name: str, url: str) -> None:
        self.events.append(("begin", url))

    def progress(self, name: str, done: int, total: int | None) -> None:
        self.fractions.append(done / total if total else -1.0)
        self.on_progress(done)

    def problem(self, name: str, text: str) -> None:
        self.events.append(("problem", text))

    def finished(self, name: str, path: Path, sha256: str, trusted: bool) -> None:
        self.events.append(("trusted" if trusted else "checked", str(path)))

    def present(self, name: str, path: Path) -> None:
        self.events.append(("present", str(path)))

    def of(self, kind: str) -> list[str]:
        return [text for found, text in self.events if found == kind]


def make(
    folder: Path,
    *files: FileSpec,
    archives: dict[str, ArchiveSpec] | None = None,
    told: Told | None = None,
    commercial: bool = False,
    **settings: object,
) -> Downloader:
    spec = {"vendor": "V", "licence": "research only", "commercial": False, "purpose": "test"}
    models = {
        file.name.partition(".")[0]: ModelSpec.model_validate({"files": [file], **spec})
        for file in files
    }
    library = ModelLibrary((folder,), commercial, Catalog(archives or {}, models))
    return Downloader(
        library,
        ModelSettings.model_validate({"timeout_s": 5.0, **settings}),
        folder,
        told or Told(),
        sleep=lambda seconds: None,
    )


def known(*urls: str, content: bytes = CONTENT, **more: object) -> FileSpec:
    values = {"name": "a.onnx", "size": len(content), "sha256": sha256(content), "urls": urls}
    return FileSpec.model_validate(values | more)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_alone(server: FileServer, tmp_path: Path) -> None:
    told, folder = Told(), tmp_path / "new" / "models"
    make(folder, known(server.url("a.onnx")), told=told).pull(["a"])
    assert (folder / "a.onnx").read_bytes() == CONTENT
    assert left_in(folder) == ["a.onnx"]
    assert told.of("checked") == [str(folder / "a.onnx")]
    assert told.fractions[0] == 0.0
    assert told.fractions[-1] == 1.0
    assert told.fractions == sorted(told.fractions)


def test_what_is_here_is_not_downloaded_again(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(CONTENT)
    told = Told()
    make(tmp_path, known(server.url("a.onnx")), told=told).pull(["a"])
    assert server.asked == []
    assert told.of("present") == [str(tmp_path / "a.onnx")]


def test_a_damaged_file_is_replaced(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"damaged")
    make(tmp_path, known(server.url("a.onnx"))).pull(["a"])
    assert (tmp_path / "a.onnx").read_bytes() == CONTENT


def test_a_connection_that_breaks_goes_on_where_it_stopped(
    server: FileServer, tmp_path: Path
) -> None:
    server.breaks = [700_000, 300_000]
    make(tmp_path, known(server.url("a.onnx"))).pull(["a"])
    assert [asked[1] for asked in server.asked] == [None, "bytes=700000-", "bytes=1000000-"]
    assert [asked[2] for asked in server.asked] == [None, '"1"', '"1"']
    assert (tmp_path / "a.onnx").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_again(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    server.breaks = [700_000]
    make(tmp_path, known(server.url("a.onnx"))).pull(["a"])
    assert (tmp_path / "a.onnx").read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_mixed(server: FileServer, tmp_path: Path) -> None:
    server.breaks = [700_000]

    def change() -> None:
        server.files["/a.onnx"], server.etag = OTHER, '"2"'

    server.on_half = change
    unknown = FileSpec(name="a.onnx", urls=(server.url("a.onnx"),))
    make(tmp_path, unknown).pull(["a"])
    assert (tmp_path / "a.onnx").read_bytes() == OTHER


def test_ctrl_c_leaves_what_has_arrived(server: FileServer, tmp_path: Path) -> None:
    told = Told()

    def interrupt(done: int) -> None:
        if done > 500_000:
            raise KeyboardInterrupt

    told.on_progress = interrupt
    downloader = make(tmp_path, known(server.url("a.onnx")), told=told)
    with pytest.raises(KeyboardInterrupt):
        downloader.pull(["a"])
    assert left_in(tmp_path) == ["a.onnx.part", "a.onnx.part.json"]
    here = (tmp_path / "a.onnx.part").stat().st_size
    assert here > 500_000
    make(tmp_path, known(server.url("a.onnx"))).pull(["a"])
    assert server.asked[-1][1] == f"bytes={here}-"
    assert (tmp_path / "a.onnx").read_bytes() == CONTENT
    assert left_in(tmp_path) == ["a.onnx"]


def test_a_part_that_is_whole_already_is_only_checked(server: FileServer, tmp_path: Path) -> None:
    target = tmp_path / "a.onnx"
    fetching.fetch(server.url("a.onnx"), target, 5.0, lambda done, total: None)
    make(tmp_path, known(server.url("a.onnx"))).pull(["a"])
    assert server.asked[-1][1] == f"bytes={len(CONTENT)}-"
    assert target.read_bytes() == CONTENT


def test_mirrors_are_tried_in_turn(server: FileServer, tmp_path: Path) -> None:
    told = Told()
    server.files["/b/a.onnx"] = CONTENT
    server.answers["/mirror/a.onnx"] = 403
    file = known(server.url("gone.onnx"), server.url("b/a.onnx"))
    mirrors = (server.url("mirror/"),)
    make(tmp_path, file, told=told, mirrors=mirrors).pull(["a"])
    assert [asked[0] for asked in server.asked] == ["/mirror/a.onnx", "/gone.onnx", "/b/a.onnx"]
    assert [text.rsplit(";")[-1] for text in told.of("problem")] == [" next address."] * 2


def test_a_part_goes_on_at_a_mirror_when_the_hash_is_known(
    server: FileServer, tmp_path: Path
) -> None:
    server.files["/b/a.onnx"] = CONTENT
    server.breaks = [700_000]
    file = known(server.url("a.onnx"), server.url("b/a.onnx"))
    make(tmp_path, file, retries=0).pull(["a"])
    assert server.asked[-1] == ("/b/a.onnx", "bytes=700000-", None)
    assert (tmp_path / "a.onnx").read_bytes() == CONTENT


def test_pieces_of_two_files_are_noticed_and_fetched_again(
    server: FileServer, tmp_path: Path
) -> None:
    server.files["/wrong/a.onnx"] = OTHER
    server.breaks = [700_000]
    file = known(server.url("wrong/a.onnx"), server.url("a.onnx"))
    make(tmp_path, file, retries=0).pull(["a"])
    assert [asked[1] for asked in server.asked] == [None, "bytes=700000-", None]
    assert (tmp_path / "a.onnx").read_bytes() == CONTENT


def test_a_wrong_hash_everywhere_leaves_nothing(server: FileServer, tmp_path: Path) -> None:
    server.files["/a.onnx"] = OTHER
    with pytest.raises(DownloadFailed, match="SHA-256") as caught:
        make(tmp_path, known(server.url("a.onnx"))).pull(["a"])
    assert sha256(OTHER) in caught.value.description
    assert sha256(CONTENT) in caught.value.description
    assert left_in(tmp_path) == []


def test_a_web_page_is_no_model(server: FileServer, tmp_path: Path) -> None:
    server.content_type = "text/html; charset=utf-8"
    unknown = FileSpec(name="a.onnx", urls=(server.url("a.onnx"),))
    with pytest.raises(DownloadFailed, match="web page"):
        make(tmp_path, unknown).pull(["a"])
    assert left_in(tmp_path) == []


def test_nobody_answers(tmp_path: Path, server: FileServer) -> None:
    server.answers["/a.onnx"] = 503
    told = Told()
    with pytest.raises(DownloadFailed, match=r"503.*503.*503") as caught:
        make(tmp_path, known(server.url("a.onnx")), told=told, retries=2).pull(["a"])
    assert "mirror" in caught.value.hint
    assert len(server.asked) == 3


def test_a_server_that_stops_sending_is_given_up(server: FileServer, tmp_path: Path) -> None:
    released = threading.Event()

    def stall() -> None:
        released.wait(20)

    server.on_half = stall
    try:
        with pytest.raises(DownloadFailed, match="timed out"):
            make(tmp_path, known(server.url("a.onnx")), retries=0, timeout_s=0.2).pull(["a"])
    finally:
        released.set()
    assert (tmp_path / "a.onnx.part").stat().st_size > 0


def test_an_unknown_hash_is_recorded(server: FileServer, tmp_path: Path) -> None:
    told = Told()
    unknown = FileSpec(name="a.onnx", urls=(server.url("a.onnx"),))
    downloader = make(tmp_path, unknown, told=told)
    downloader.pull(["a"])
    assert told.of("trusted") == [str(tmp_path / "a.onnx")]
    assert recorded_hash(tmp_path / "a.onnx") == sha256(CONTENT)
    assert left_in(tmp_path) == ["a.onnx", "a.onnx.sha256"]


def test_two_downloads_at_once(server: FileServer, tmp_path: Path) -> None:
    """The second waits for the first and finds its file."""
    second_waits, first_half = threading.Event(), threading.Event()

    def pause() -> None:
        first_half.set()
        assert second_waits.wait(20)

    server.on_half = pause
    told = Told()
    told_problem = told.problem

    def problem(name: str, text: str) -> None:
        told_problem(name, text)
        second_waits.set()

    told.problem = problem  # type: ignore[method-assign]  # it has to let the first one go on
    first = threading.Thread(
        target=make(tmp_path, known(server.url("a.onnx"))).pull, args=(["a"],), name="first"
    )
    first.start()
    assert first_half.wait(20)
    make(tmp_path, known(server.url("a.onnx")), told=told).pull(["a"])
    first.join()
    assert len(server.asked) == 1
    assert told.of("problem") == ["another download of it is running; waiting for it."]
    assert told.of("present") == [str(tmp_path / "a.onnx")]
    assert left_in(tmp_path) == ["a.onnx"]


def test_a_refused_model_stops_all_before_anything_is_downloaded(
    server: FileServer, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefused):
        make(tmp_path, known(server.url("a.onnx")), commercial=True).pull(["a"])
    assert server.asked == []


def test_a_full_disk_is_seen_beforehand(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DiskFull, match="needs 2 MB more"):
        make(tmp_path, known(server.url("a.onnx"))).pull(["a"])
    assert server.asked == []


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EROFS, ModelFolderUnusable),
        (errno.EACCES, ModelFolderUnusable),
    ],
)
def test_what_the_disk_says(
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: type[Exception],
) -> None:
    def flush(file: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fetching, "_flush", flush)
    with pytest.raises(error, match=str(tmp_path)):
        make(tmp_path, known(server.url("a.onnx"))).pull(["a"])
    assert "a.onnx" not in left_in(tmp_path)


def test_a_file_in_place_of_the_folder(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no folder")
    with pytest.raises(ModelFolderUnusable):
        make(tmp_path / "models", known(server.url("a.onnx"))).pull(["a"])


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_several_files_of_one_archive(server: FileServer, tmp_path: Path) -> None:
    """It is downloaded once, and is gone in the end; nothing else of it is written."""
    members = {"pack/a.onnx": CONTENT, "b.onnx": OTHER, "../../evil.onnx": b"x", "c.onnx": b"c"}
    server.files = {"/pack.zip": zipped(members)}
    archive = ArchiveSpec(urls=(server.url("pack.zip"),), sha256=sha256(server.files["/pack.zip"]))
    make(
        tmp_path,
        known(archive="pack.zip"),
        known(content=OTHER, name="b.onnx", archive="pack.zip"),
        archives={"pack.zip": archive},
    ).pull(["a", "b"])
    assert [asked[0] for asked in server.asked] == ["/pack.zip"]
    assert left_in(tmp_path) == ["a.onnx", "b.onnx"]
    assert (tmp_path / "b.onnx").read_bytes() == OTHER
    assert not (tmp_path.parent.parent / "evil.onnx").exists()


def test_an_archive_with_another_file_in_it(server: FileServer, tmp_path: Path) -> None:
    server.files = {"/pack.zip": zipped({"a.onnx": OTHER})}
    archive = ArchiveSpec(urls=(server.url("pack.zip"),))
    with pytest.raises(DownloadFailed, match=r"a\.onnx in pack\.zip: has the SHA-256"):
        make(tmp_path, known(archive="pack.zip"), archives={"pack.zip": archive}).pull(["a"])
    assert "a.onnx" not in left_in(tmp_path)


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"b.onnx": CONTENT}, "0 times"),
        ({"x/a.onnx": CONTENT, "y/a.onnx": CONTENT}, "2 times"),
        ({"a.onnx": CONTENT + b"more"}, "too many"),
    ],
)
def test_members_that_are_not_taken(
    tmp_path: Path, members: dict[str, bytes], problem: str
) -> None:
    (tmp_path / "pack.zip").write_bytes(zipped(members))
    found = take_member(tmp_path / "pack.zip", known(), tmp_path / "a.onnx.part")
    assert found is not None
    assert problem in found
    assert left_in(tmp_path) == ["pack.zip"]


def test_a_broken_archive(tmp_path: Path) -> None:
    whole = zipped({"a.onnx": CONTENT})
    for content in (b"no zip", whole[:-30], whole[:5000] + b"?" * 100 + whole[5100:]):
        (tmp_path / "pack.zip").write_bytes(content)
        found = take_member(tmp_path / "pack.zip", known(), tmp_path / "a.onnx.part")
        assert found is not None
        assert "cannot be taken out" in found
        assert left_in(tmp_path) == ["pack.zip"]


def test_who_waited_for_a_lock_really_has_it(tmp_path: Path) -> None:
    """The file that was waited for is removed by its holder; the lock is on one that is there."""
    path = tmp_path / ".a.lock"
    waits, seen = threading.Event(), []

    def second() -> None:
        with locked(path, waits.set):
            seen.append(path.exists())

    thread = threading.Thread(target=second, name="second")
    with locked(path):
        thread.start()
        assert waits.wait(20)
    thread.join()
    assert seen == [True]
    assert not path.exists()
