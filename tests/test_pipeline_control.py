"""Changes while running: all of a change or none of it."""

from collections.abc import Iterator, Sequence

import pytest
from pydantic import ValidationError

from engine.errors import InvalidInput
from engine.pipeline.control import PipelineChange, PipelineControl
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.protocols import Source, Transform
from engine.pipeline.settings import DisplaySettings, PipelineSettings
from tests.pipeline_fakes import CollectingSink, FunctionTransform, QueueSource, ScriptedSource


class Bench:
    """A running pipeline, its control, and what was made for it."""

    def __init__(self, processors: Sequence[str] = ()) -> None:
        self.made: list[tuple[tuple[str, ...], FunctionTransform]] = []
        self.sources: list[ScriptedSource] = []
        settings = PipelineSettings(display=DisplaySettings(pace=False))
        self.pipeline = Pipeline(QueueSource(), FunctionTransform(), [CollectingSink()], settings)
        self.control = PipelineControl(
            self.pipeline, processors, self.make_source, self.make_transform
        )
        self.pipeline.start()

    def make_source(self, spec: str) -> Source:
        error = InvalidInput("no such source") if spec == "bad" else None
        source = (
            ScriptedSource(error=error, name=spec) if error else QueueSource(name=spec, live=True)
        )
        self.sources.append(source)
        return source

    def make_transform(self, names: Sequence[str]) -> Transform:
        if "bad" in names:
            raise InvalidInput("no such processor")
        transform = FunctionTransform()
        self.made.append((tuple(names), transform))
        return transform


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.pipeline.stop()


def test_everything_at_once(bench: Bench) -> None:
    bench.control.apply(
        PipelineChange(
            processors=("anonymise",),
            overlay=True,
            mirror=True,
            batch_size=3,
            source="camera:1",
            paused=True,
        )
    )
    assert bench.control.processors == ("mirror", "anonymise", "overlay")
    assert bench.made[-1][0] == ("mirror", "anonymise", "overlay")
    assert bench.pipeline.batch_size == 3
    assert bench.pipeline.paused


def test_a_source_that_fails_leaves_the_processors_as_they_were(bench: Bench) -> None:
    with pytest.raises(InvalidInput):
        bench.control.apply(PipelineChange(processors=("mirror",), source="bad", batch_size=9))
    assert bench.control.processors == ()
    assert bench.pipeline.batch_size == 1
    assert bench.made[-1][1].closed.is_set()


def test_a_processor_that_fails_leaves_the_source_as_it_was(bench: Bench) -> None:
    with pytest.raises(InvalidInput):
        bench.control.apply(PipelineChange(processors=("bad",), source="camera:1"))
    assert bench.sources == []


def test_nothing_is_built_where_nothing_changes(bench: Bench) -> None:
    bench.control.apply(PipelineChange(batch_size=2, mirror=False))
    assert bench.made == []


def test_toggling(bench: Bench) -> None:
    assert bench.control.toggle("overlay")
    assert bench.control.toggle("mirror")
    assert bench.control.processors == ("mirror", "overlay")
    assert not bench.control.toggle("overlay")
    assert bench.control.processors == ("mirror",)


def test_going_through_the_processors(bench: Bench) -> None:
    bench.control.toggle("overlay")
    choices = ("none", "anonymise", "background_blur")
    seen = [bench.control.next_processor(choices) for _ in range(4)]
    assert seen == ["none", "anonymise", "background_blur", "none"]
    assert bench.control.processors == ("none", "overlay")


def test_the_overlay_stays_last(bench: Bench) -> None:
    bench.control.apply(PipelineChange(processors=("overlay", "anonymise")))
    assert bench.control.processors == ("anonymise", "overlay")


def test_unknown_keys_and_wrong_values_are_refused() -> None:
    for wrong in ({"procesors": []}, {"batch_size": 0}, {"batch_size": 65}, {"paused": "perhaps"}):
        with pytest.raises(ValidationError):
            PipelineChange.model_validate(wrong)
