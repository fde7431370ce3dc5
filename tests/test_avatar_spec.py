"""Avatars' folders, their yaml, and which paths may be named."""

from fractions import Fraction
from pathlib import Path

import pytest

from engine.avatar import spec
from engine.errors import AvatarError, PathNotAllowed
from engine.settings import AvatarSettings


@pytest.fixture
def settings(tmp_path: Path) -> AvatarSettings:
    (tmp_path / "videos").mkdir()
    return AvatarSettings(folder=tmp_path / "videos", cache=tmp_path / "cache")


def folder(settings: AvatarSettings, *files: str, yaml: str | None = None) -> Path:
    path = settings.folder / "anna"
    path.mkdir()
    for name in files:
        (path / name).write_bytes(b"x")
    if yaml is not None:
        (path / "avatar.yaml").write_text(yaml)
    return path


def test_a_pair_of_clips_without_yaml_is_an_avatar(settings: AvatarSettings) -> None:
    path = folder(settings, "idle.mp4", "gesture.mp4")
    found = spec.read_folder(path, settings)
    assert found is not None
    assert found.states == {
        "idle": (path / "idle.mp4",),
        "gesture": (path / "gesture.mp4",),
    }
    assert found.encoding.fps == 25


def test_a_folder_without_clips_is_none(settings: AvatarSettings) -> None:
    assert spec.read_folder(folder(settings, "notes.txt"), settings) is None


def test_a_folder_without_a_pair_says_what_is_missing(settings: AvatarSettings) -> None:
    with pytest.raises(AvatarError, match=r"anna: there is no gesture clip.*gesture\.mp4"):
        spec.read_folder(folder(settings, "idle.mp4", "talk.mp4"), settings)


def test_any_usual_suffix_in_any_case_makes_a_pair(settings: AvatarSettings) -> None:
    found = spec.read_folder(folder(settings, "IDLE.MOV", "gesture.webm"), settings)
    assert found is not None
    assert [path.name for path in found.clips] == ["IDLE.MOV", "gesture.webm"]


def test_one_clip_of_a_state_needs_no_list(settings: AvatarSettings) -> None:
    found = spec.read_folder(folder(settings, yaml="states: {idle: a.mp4}"), settings)
    assert found is not None
    assert [path.name for path in found.states["idle"]] == ["a.mp4"]


def test_yaml_names_any_number_of_clips_actions_size_and_rate(settings: AvatarSettings) -> None:
    path = folder(
        settings,
        yaml="name: Anna\nstates: {idle: [a.mp4, b.mp4], gesture: [c.mp4], sad: [d.mp4]}\n"
        "actions: {wave: w.mp4}\nsize: 1280x720\nfps: 29.97\n",
    )
    found = spec.read_folder(path, settings)
    assert found is not None
    assert found.name == "Anna"
    assert [p.name for p in found.states["idle"]] == ["a.mp4", "b.mp4"]
    assert list(found.states) == ["idle", "gesture", "sad"]
    assert found.actions["wave"].name == "w.mp4"
    assert found.encoding.size == (1280, 720)
    assert found.encoding.fps == Fraction(30000, 1001)
    assert len(found.clips) == 5


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("states: {gesture: [a.mp4]}", "there is no 'idle'"),
        ("states: {idle: []}", "states.idle"),
        ("states: {idle: [a.mp4]}\naction: {x: b.mp4}", "action: extra inputs"),
        ("states: {idle: [a.mp4], wave: [b.mp4]}\nactions: {wave: c.mp4}", "both a state and"),
        ("states: {idle: [../b/a.mp4]}", "outside the avatar's folder"),
        ("states: {idle: [/etc/passwd]}", "outside the avatar's folder"),
        ("states: {'Two words': [a.mp4]}", "states.Two words"),
        ("states: {idle: [a.mp4]}\nsize: 7x7", "size or fps: expected WIDTHxHEIGHT"),
        ("states: [", "is not YAML"),
        ("states: {idle: 5}\nfps: fast", "fps: input should be"),
        ("[1, 2]", "expected keys"),
        ("x" * 70_000, "larger than 64 KB"),
    ],
)
def test_mistakes_in_the_yaml_are_named(yaml: str, expected: str, settings: AvatarSettings) -> None:
    with pytest.raises(AvatarError, match="avatar.yaml") as error:
        spec.read_folder(folder(settings, yaml=yaml), settings)
    assert expected in str(error.value)


def test_the_classic_pair_may_be_relative_or_absolute_inside(settings: AvatarSettings) -> None:
    for name in ("jesus_reposo.mp4", "jesus_gestos.mp4"):
        (settings.folder / name).write_bytes(b"x")
    relative = spec.from_pair("jesus_reposo.mp4", "jesus_gestos.mp4", settings)
    absolute = spec.from_pair(
        str(settings.folder / "jesus_reposo.mp4"), "./jesus_gestos.mp4", settings
    )
    assert relative == absolute
    assert relative.id.startswith("pair-jesus-reposo-jesus-gestos-")


def test_paths_that_leave_the_allowed_folders_are_refused(
    settings: AvatarSettings, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"x")
    (settings.folder / "link.mp4").symlink_to(secret)
    (settings.folder / "folder").symlink_to(tmp_path)
    for text in ("../secret.mp4", str(secret), "link.mp4", "folder/secret.mp4", "a\0b", "/"):
        with pytest.raises(PathNotAllowed):
            spec.allowed_clip(text, settings)


def test_further_folders_can_be_allowed(settings: AvatarSettings, tmp_path: Path) -> None:
    more = settings.model_copy(update={"allowed_folders": (tmp_path / "clips",)})
    assert spec.allowed_clip(str(tmp_path / "clips" / "a.mp4"), more).name == "a.mp4"


@pytest.mark.parametrize(
    ("fps", "exact"),
    [(25, Fraction(25)), (29.97, Fraction(30000, 1001)), (23.976, Fraction(24000, 1001)),
     (12.5, Fraction(25, 2)), (59.94, Fraction(60000, 1001)), (30, Fraction(30))],
)  # fmt: skip
def test_rates_are_exact(fps: float, exact: Fraction) -> None:
    assert spec.exact_rate(fps) == exact
