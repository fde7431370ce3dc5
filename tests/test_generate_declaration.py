"""One declaration: parameters are checked, described and turned into flags by it alone."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

from processors.generate.declaration import BadParameters, Generator, Input, Parameters, several
from processors.generate.flags import add_flags, inputs_of, params_of
from processors.generate.registry import UnknownGenerator, find_generator, generators
from processors.generate.schema import describe, schema
from tests.generate_parts import PaintParameters, paint

ROOT = Path(__file__).resolve().parents[1]


def parse(*arguments: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    add_flags(parser, paint())
    return params_of(paint(), parser.parse_args(arguments))


def test_parameters_are_checked_and_all_problems_named() -> None:
    with pytest.raises(BadParameters) as caught:
        paint().validate({"shade": 300, "frame": {"width": 99}, "unknown": 1})

    assert set(caught.value.problems) == {"shade", "frame.width", "unknown"}
    assert "less than or equal to 255" in caught.value.problems["shade"]
    assert caught.value.description.startswith("paint: ")


def test_parameters_are_frozen() -> None:
    params = paint().validate({"shade": 1})

    assert params == PaintParameters(shade=1)
    with pytest.raises(ValueError, match="frozen"):
        params.shade = 2  # type: ignore[misc]  # that is the test


def test_the_schema_stands_alone_and_says_what_forms_need() -> None:
    made = schema(paint())

    assert "$ref" not in json.dumps(made)
    assert (made["title"], made["description"]) == ("Paint", "Paint pictures.")
    assert made["required"] == ["shade"]
    assert made["additionalProperties"] is False
    frame = made["properties"]["frame"]
    assert frame["description"] == "Around it."
    assert frame["properties"]["width"] | {"title": ""} == {
        "default": 2,
        "description": "Of the frame.",
        "maximum": 10,
        "minimum": 0,
        "title": "",
        "type": "integer",
        "x-unit": "px",
    }


@pytest.mark.parametrize("name", list(generators()))
def test_every_generator_is_declared_whole(name: str) -> None:
    generator = generators()[name]
    described = describe(generator)

    json.dumps(described, allow_nan=False)
    assert generator.name == name == described["name"]
    assert generator.outputs

    def check(properties: dict[str, dict[str, object]]) -> None:
        for key, value in properties.items():
            assert value.get("description"), key
            inner = value.get("properties")
            if isinstance(inner, dict):
                check(inner)

    check(described["params"]["properties"])


def test_a_name_that_means_two_things_is_refused() -> None:
    class Two(Parameters):
        out: str = Field("", description="Taken by the command line.")

    def declare(parameters: type[Parameters], *inputs: Input) -> Generator[Parameters]:
        return Generator(
            name="two",
            title="",
            summary="",
            parameters=parameters,
            inputs=inputs,
            outputs=(),
            memory=lambda params, files: {},
            load=lambda given: lambda params, files, context: pytest.fail("not run"),
        )

    with pytest.raises(ValueError, match="'out'"):
        declare(Two)
    with pytest.raises(ValueError, match="twice"):
        declare(Parameters, Input("a", ("image",)), Input("a", ("image",)))


def test_an_unknown_generator_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownGenerator, match=r"Did you mean subtitles\?"):
        find_generator("subtitle")


def test_flags_become_parameters() -> None:
    given = parse(
        *("--shade", "7", "--sizes", "4", "8", "--twice", "--kind", "striped"),
        *("--frame-width", "3", "--note", "x"),
    )

    assert given["frame"] == {"width": "3"}
    params = paint().validate(given)
    assert params.model_dump() == {
        "shade": 7,
        "kind": "striped",
        "sizes": (4, 8),
        "twice": True,
        "note": "x",
        "frame": {"colour": "#000000", "width": 3},
    }
    assert parse("--shade", "1", "--no-twice") == {"shade": "1", "twice": False}


def test_flags_have_ranges_units_choices_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="x")
    add_flags(parser, paint())
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())

    assert "How bright (0..255)" in text
    assert "Of the frame (0..10, px, default: 2)" in text
    assert "--kind {plain,striped}" in text
    assert "About 100 % anything" in text
    assert "Looked at, 100 %." in text
    with pytest.raises(SystemExit):
        parser.parse_args(["--shade", "1", "--kind", "wavy"])


def test_files_by_flags_and_several_of_them() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, paint())
    options = parser.parse_args(["--shade", "1", "--palette", "a.png", "b.png", "c.png"])
    inputs = inputs_of(paint(), options)

    assert inputs == {
        "palette": Path("a.png"),
        "palette-2": Path("b.png"),
        "palette-3": Path("c.png"),
    }
    assert several(inputs, "palette") == (Path("a.png"), Path("b.png"), Path("c.png"))
    assert several(inputs, "model_picture") == ()


def test_declaring_imports_nothing_heavy() -> None:
    code = (
        "import sys, processors.generate.registry as r; r.generators();"
        "print([n for n in ('torch', 'cv2', 'av', 'onnxruntime', 'faster_whisper', 'ctranslate2',"
        " 'PIL', 'sqlalchemy', 'diffusers') if n in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "[]"
