"""Choosing who speaks."""

import sys
from pathlib import Path
from typing import Any

import pytest

from engine.errors import SettingsError
from processors.speech.espeak import Installed
from processors.speech.providers import explain, make_provider
from tests.speaking import settings, voice_files

NOTHING = Installed(library=False, program=None)


def test_who_speaks(tmp_path: Path) -> None:
    there = Installed(library=True, program=None)
    voice = voice_files(tmp_path)
    url = "http://127.0.0.1:1/v1"

    def name(installed: Installed, **values: Any) -> str | None:
        provider = make_provider(settings(**values), {}, installed)
        return None if provider is None else provider.name

    assert name(there, openai_url=url, piper_voice=voice) == "openai"
    assert name(there, piper_voice=voice) == "piper"
    assert name(there) == "espeak-ng"
    assert name(NOTHING) is None
    assert name(there, provider="none", openai_url=url) is None
    assert name(there, provider="piper", piper_voice=voice, openai_url=url) == "piper"
    assert name(NOTHING, provider="espeak-ng", openai_url=url) == "espeak-ng"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"provider": "openai"}, "openai_url is no address"),
        ({"openai_url": "localhost:8880"}, "openai_url is no address: 'localhost:8880'"),
        ({"provider": "piper"}, "piper_voice is not set"),
        ({"piper_voice": "/no/such.onnx"}, "there is no /no/such.onnx"),
    ],
)
def test_settings_that_are_wrong(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_provider(settings(**values), {}, NOTHING)


def test_why_nobody_speaks(tmp_path: Path) -> None:
    there = Installed(library=False, program="/usr/bin/espeak-ng")
    voice = voice_files(tmp_path)

    assert explain(settings(), there) is None
    assert explain(settings(provider="none"), NOTHING) is None
    assert explain(settings(openai_url="http://x/v1"), NOTHING) is None
    assert explain(settings(piper_voice=voice, piper_program=sys.executable), NOTHING) is None
    for values in ({}, {"provider": "espeak-ng"}):
        assert "sudo apt-get install espeak-ng" in (explain(settings(**values), NOTHING) or "")
    text = explain(settings(piper_voice=voice, piper_program="no-such-piper"), there)
    assert "no-such-piper" in (text or "")
