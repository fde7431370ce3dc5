"""Objects in a real server with S3's protocol, and servers that fail."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.jobs.object_store import ObjectNotFound, ObjectStoreUnavailable
from engine.jobs.retrying import classified
from engine.jobs.s3 import S3ObjectStore
from engine.jobs.settings import JobSettings
from engine.settings_file import load
from tests.object_store_services import (
    PATIENCE_S,
    SECRET,
    Bucket,
    answering,
    nobody,
    silent_server,
)

pytest_plugins = ("tests.jobs_bucket_fixtures",)

ODD_NAMES = ("a b.png", "ü%20#é~{}.png", "100%.txt", "+.x", "..b", "日本.png", "x" * 180)


def content(store: S3ObjectStore, key: str) -> bytes:
    found = store.get(key)
    data = b"".join(found.pieces)
    assert len(data) == found.size
    return data


@pytest.mark.parametrize("size", [0, 1, 7_000_000], ids=["empty", "small", "in parts"])
def test_what_was_written_is_read(bucket: Bucket, tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    store = bucket.store()
    store.put("job/inputs/a", source)
    assert content(store, "job/inputs/a") == source.read_bytes()
    (item,) = store.find("job")
    assert (item.key, item.bytes) == ("job/inputs/a", size)
    assert abs(item.changed - time.time()) < 60


def test_names_are_kept_as_they_are(bucket: Bucket, tmp_path: Path) -> None:
    store = bucket.store()
    for name in ODD_NAMES:
        source = tmp_path / name
        source.write_text(name)
        store.put(f"job/{name}", source)
        store.copy(f"job/{name}", f"other/{name}")
    assert bucket.objects() == sorted(
        f"{place}/{n}" for place in ("job", "other") for n in ODD_NAMES
    )
    assert all(content(store, f"other/{name}").decode() == name for name in ODD_NAMES)
    store.delete([item.key for item in store.find("job")])
    store.delete(["job/never-there"])
    assert bucket.objects() == sorted(f"other/{name}" for name in ODD_NAMES)


def test_a_folder_is_not_the_beginning_of_a_name(bucket: Bucket, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    for key in ("job/attempt-1/a", "job/attempt-10/a"):
        bucket.store().put(key, source)
    assert [item.key for item in bucket.store().find("job/attempt-1")] == ["job/attempt-1/a"]


def test_what_is_missing_is_named(bucket: Bucket) -> None:
    with pytest.raises(ObjectNotFound, match="'job/a'"):
        bucket.store().get("job/a")
    with pytest.raises(ObjectNotFound):
        bucket.store().copy("job/a", "job/b")


def test_a_missing_bucket_is_not_a_missing_file(bucket: Bucket, tmp_path: Path) -> None:
    store = S3ObjectStore("s3://nobodys-bucket", bucket.endpoint)
    source = tmp_path / "source"
    source.write_text("x")
    for use in (lambda: store.put("a", source), lambda: store.get("a"), lambda: [*store.find("")]):
        with pytest.raises(ObjectStoreUnavailable, match="NoSuchBucket"):
            use()


def all_uses(store: S3ObjectStore, source: Path) -> list[Callable[[], object]]:
    return [
        lambda: store.put("a", source),
        lambda: content(store, "a"),
        lambda: store.copy("a", "b"),
        lambda: list(store.find("")),
        lambda: store.delete(["a"]),
    ]


@pytest.mark.parametrize(
    ("server", "reason"), [(silent_server, "does not answer in time"), (nobody, "no connection")]
)
def test_a_server_that_is_away_is_named_soon(
    keys: None, tmp_path: Path, server: Callable[[], AbstractContextManager[str]], reason: str
) -> None:
    source = tmp_path / "source"
    source.write_text("x")

    def fails(endpoint: str, number: int) -> None:
        store = S3ObjectStore("s3://bucket/p", endpoint, patience_s=PATIENCE_S)
        began = time.monotonic()
        with pytest.raises(ObjectStoreUnavailable) as caught:
            all_uses(store, source)[number]()
        assert time.monotonic() - began < 2 * PATIENCE_S + 3.0
        assert f"'s3://bucket/p at {endpoint}'" in caught.value.description
        assert reason in caught.value.description
        assert SECRET not in repr(caught.value) + repr(caught.value.__cause__)
        assert classified(caught.value).retryable

    with server() as endpoint, ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(fails, endpoint, number) for number in range(5)]:
            done.result()


HALF = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: "x"\r\n'
    b"Last-Modified: Sat, 21 Nov 2026 20:00:00 GMT\r\n\r\n" + b"x" * 50
)
REFUSED = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 89\r\n\r\n<Error><Code>SignatureDoesNotMatch</Code>"
    b"<Message>The signature differs</Message></Error>"
)


@pytest.mark.parametrize("hang_up", [True, False])
def test_a_download_that_ends_early_is_an_error(keys: None, hang_up: bool) -> None:
    with answering(HALF, hang_up) as endpoint:
        store = S3ObjectStore("s3://bucket", endpoint, patience_s=PATIENCE_S)
        found = store.get("a")
        assert found.size == 100
        with pytest.raises(ObjectStoreUnavailable):
            list(found.pieces)


def test_a_refusal_says_why(keys: None) -> None:
    with answering(REFUSED) as endpoint:
        store = S3ObjectStore("s3://bucket", endpoint, patience_s=PATIENCE_S)
        with pytest.raises(
            ObjectStoreUnavailable, match="differs .SignatureDoesNotMatch"
        ) as caught:
            store.get("a")
        assert "AWS_SECRET_ACCESS_KEY" in caught.value.hint


def test_without_keys_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with silent_server() as endpoint:
        # Where the keys of a machine's role would come from.
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", endpoint)
        store = S3ObjectStore("s3://bucket", "http://127.0.0.1:1", patience_s=PATIENCE_S)
        began = time.monotonic()
        with pytest.raises(ObjectStoreUnavailable, match="cannot be used"):
            store.get("a")
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "wrong",
    [
        "bucket",
        "http://bucket/prefix",
        "s3://",
        "s3:///prefix",
        "s3://b",
        "s3://bucket/../other",
        "s3://bucket/./x",
        "s3://bucket/a//b",
        "s3://bucket/a?region=x",
        "s3://bucket/a#b",
        "s3://key:secret@bucket/a",
        "s3://bucket/a b",
    ],
)
def test_a_wrong_address_is_told_what_a_right_one_is(wrong: str) -> None:
    with pytest.raises(ValidationError, match="must be like s3://bucket or s3://bucket/prefix"):
        JobSettings(files=wrong)


@pytest.mark.parametrize("right", ["s3://bucket", "s3://bucket/", "s3://my.bucket-1/a/b_c/1.2/"])
def test_right_addresses_are_taken(right: str) -> None:
    assert JobSettings(files=right, files_endpoint="https://s3.example.org:9000/x").files == right


@pytest.mark.parametrize("wrong", ["minio:9000", "ftp://minio", "http://a:b@minio", "http://x?a=b"])
def test_a_wrong_endpoint_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="must be like http://minio"):
        JobSettings(files="s3://bucket", files_endpoint=wrong)
    with pytest.raises(ValidationError, match="files_endpoint needs files"):
        JobSettings(files_endpoint="http://minio:9000")


def test_the_environment_sets_the_store() -> None:
    found = load(None, {"AVATAR_JOBS__FILES": "s3://bucket/prefix"}).jobs
    assert (found.files, found.files_cache_gb) == ("s3://bucket/prefix", 20.0)
