"""Settings: the file, the environment, the command line, and complaints that help."""

from pathlib import Path

import pytest

from engine.errors import SettingsError
from engine.settings import AvatarSettings, Settings
from engine.settings_file import load, render

ROOT = Path(__file__).resolve().parent.parent


def complaint(text: str, tmp_path: Path, **environ: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as error:
        load(path, environ)
    return str(error.value).replace(str(tmp_path) + "/", "")


def test_the_shipped_file_holds_every_default() -> None:
    assert (ROOT / "config.yaml").read_text() == render()
    assert load(ROOT / "config.yaml", {}) == Settings()


def test_every_setting_is_explained() -> None:
    for section in (Settings.model_fields[name].annotation for name in Settings.model_fields):
        assert section is not None
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


def test_environment_and_command_line_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("server: {port: 1000, host: 0.0.0.0}\nstreams:\n  max_streams: 3\n")
    environ = {"AVATAR_SERVER__PORT": "2000", "AVATAR_STREAMS__SEED": "5", "AVATAR_MODELS": "/m"}
    found = load(path, environ, {("server", "port"): 3000})
    assert (found.server.host, found.server.port) == ("0.0.0.0", 3000)
    assert (found.streams.max_streams, found.streams.seed) == (3, 5)


def test_lists_can_come_from_the_environment() -> None:
    found = load(None, {"AVATAR_SERVER__TOKENS": "[one, two]"})
    assert found.server.tokens == ("one", "two")


def test_an_empty_section_means_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("server:\n")
    assert load(path, {}) == Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server:\n  prot: 80\n", "config.yaml:2: unknown key 'server.prot'; did you mean 'port'?"),
        ("sever: {port: 80}\n", "config.yaml:1: unknown key 'sever'; did you mean 'server'?"),
        (
            "server:\n  port: eighty\n",
            "config.yaml:2: server.port: input should be a valid integer",
        ),
        ("server:\n  port: 70000\n", "less than or equal to 65535, found 70000"),
        (
            "avatars:\n\n  size: 511x512\n",
            "config.yaml:3: avatars.size: width and height must be even",
        ),
        ("avatars:\n  codecs: [H264, AV1]\n", "config.yaml:2: avatars.codecs.1: input should be"),
        ("avatars: {idle_video: a.mp4}\n", "idle_video and gesture_video must be given together"),
        ("webrtc:\n  ice_servers:\n    - {url: x}\n", "did you mean 'urls'?"),
        ("webrtc: {udp_ports: 9-1}\n", "expected FIRST-LAST"),
        ("server: [1\n", "config.yaml:2: is not YAML"),
        ("hello\n", "config.yaml:1: expected sections"),
        ("server: 5\n", "config.yaml:1: server: input should be"),
    ],
)
def test_complaints_name_file_line_key_and_what_was_expected(
    text: str, expected: str, tmp_path: Path
) -> None:
    assert expected in complaint(text, tmp_path)


def test_a_complaint_shows_no_password_of_an_address(tmp_path: Path) -> None:
    found = complaint("jobs:\n  files: s3://key:hidden@bucket\n", tmp_path)
    assert "jobs.files" in found
    assert "hidden" not in found


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    found = complaint("server:\n  prot: 1\n  host: [1]\n", tmp_path, AVATAR_LOG__LEVEL="loud")
    assert len(found.splitlines()) == 3
    assert "environment variable AVATAR_LOG__LEVEL" in found


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "none.yaml", {})


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(tmp_path / "config.yaml", {})


def test_sizes_and_port_ranges_are_parsed() -> None:
    assert AvatarSettings(size="1280x720").width_height == (1280, 720)
    found = load(None, {"AVATAR_WEBRTC__UDP_PORTS": "50000-50001"})
    assert found.webrtc.port_range == range(50000, 50002)
