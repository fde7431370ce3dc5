"""Fixtures of the tests of jobs whose files are in an object store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.jobs_bucket_parts import Machine
from tests.jobs_parts import Bench, bench
from tests.object_store_services import Bucket, keys_in_environment, s3_server


@pytest.fixture(scope="module")
def make_bucket() -> Iterator[Callable[[], Bucket]]:
    """Makes buckets in a running server."""
    with s3_server() as make:
        yield make


@pytest.fixture
def keys() -> Iterator[None]:
    """The environment with the keys of a store."""
    with keys_in_environment():
        yield


@pytest.fixture
def bucket(make_bucket: Callable[[], Bucket], keys: None) -> Bucket:
    """An empty bucket; its keys are in the environment."""
    return make_bucket()


@pytest.fixture
def here(memory: Path, bucket: Bucket) -> Iterator[Bench]:
    """The queue as one machine has it."""
    with bench(memory / "here", **bucket.settings) as opened:
        yield opened


@pytest.fixture
def there(here: Bench, bucket: Bucket, memory: Path) -> Machine:
    """Another machine, which works on the queue."""
    return Machine(here, bucket.files(memory / "there"))
