"""What prompts may say, and what makes them richer."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import SettingsError
from engine.pipeline.generate_settings import GenerateSettings, PromptSettings
from processors.generate.prompts import PromptFilter, PromptRejected, by_rules, richer


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        ("A BADWORD here", "badword"),
        ("a bad\u00adword", "badword"),
        ("a b\u00e1dw\u200bord", "badword"),
        ("two   Words", "two words"),
        ("two-words", "two words"),
        ("many weapons", "weapon*"),
        ("\uff42\uff41\uff44\uff57\uff4f\uff52\uff44", "badword"),
    ],
)
def test_words_are_found_however_they_are_written(prompt: str, word: str) -> None:
    allowed = PromptFilter(PromptSettings(blocked_words=("badword", "two words", "weapon*")))

    with pytest.raises(PromptRejected) as caught:
        allowed.check(prompt)
    assert f"has '{word}'" in caught.value.description
    assert caught.value.hint


def test_parts_of_words_are_no_reason() -> None:
    allowed = PromptFilter(PromptSettings(blocked_words=("ass", "two words")))
    allowed.check("a classic assembly, two. Other words")


def test_a_file_of_words_gives_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "violence.txt"
    path.write_text("# what is refused\n\ngore\n")

    with pytest.raises(PromptRejected, match=r"'gore', which is not allowed here \(violence\)"):
        PromptFilter(PromptSettings(blocked_files=(path,))).check("much gore")
    with pytest.raises(SettingsError, match="blocked_files: .*cannot be read"):
        PromptFilter(PromptSettings(blocked_files=(tmp_path / "no.txt",)))


def test_rules_add_what_is_missing() -> None:
    made = by_rules("portrait of an old woman, soft key light.")

    assert made.startswith("portrait of an old woman, soft key light, ")
    assert made.count("light") == 1
    assert "natural skin texture" in made
    assert "golden hour" in by_rules("a mountain at dawn")
    assert "sharp focus" not in by_rules("a cartoon of a cat")
    assert by_rules("a mountain") == by_rules("a mountain")


def test_what_a_model_writes_is_checked_too() -> None:
    allowed = PromptFilter(PromptSettings(blocked_words=("gore",))).check

    assert richer("a cat", "off", allowed, str.upper) == "a cat"
    assert richer("a cat", "model", allowed, lambda _: "a fine cat") == "a fine cat"
    with pytest.raises(PromptRejected):
        richer("a cat", "model", allowed, lambda _: "a cat, gore")


@pytest.mark.parametrize("chat", [False, True])
def test_a_local_language_model_writes(tmp_path: Path, chat: bool) -> None:
    pytest.importorskip("diffusers", reason="diffusers is not installed")
    from processors.generate.diffusion.libraries import import_libraries
    from processors.generate.diffusion.magic import PromptWriter
    from tests.generate_parts import FakeContext, services
    from tests.tiny_diffusion import write_language_model

    write_language_model(tmp_path / "writer", chat)
    settings = GenerateSettings(prompts=PromptSettings(magic_model="writer", magic_tokens=8))
    writer = PromptWriter(replace(services(tmp_path), generate=settings), import_libraries())
    context = FakeContext(tmp_path)
    made = writer.write("a red cat", "model", context)

    assert made != "a red cat"
    assert made.startswith("a red cat, ") is not chat
    assert "\n" not in made
    assert context.lines == [f"The prompt became: {made}"]
    assert writer.write("a red cat", "model", FakeContext(tmp_path)) == made


def test_a_language_model_has_to_be_named(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="diffusers is not installed")
    from processors.generate.diffusion.libraries import import_libraries
    from processors.generate.diffusion.magic import PromptWriter
    from tests.generate_parts import FakeContext, services

    with pytest.raises(SettingsError, match="no language model"):
        PromptWriter(services(tmp_path), import_libraries()).write(
            "a cat", "model", FakeContext(tmp_path)
        )
