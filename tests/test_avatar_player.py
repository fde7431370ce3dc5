"""The player and the walk: pure logic on a fake clock."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.avatar.cuts import CutWalk
from engine.avatar.player import MAX_LAG, VIDEO_CLOCK_RATE, Picture, Player
from engine.errors import StateNotFound
from tests.fakes import bare_pack

PACK = bare_pack({"idle": [50, 31], "gesture": [40]}, {"wave": 23})
KEYFRAMES = frozenset(k for clip in PACK.clips for k in clip.keyframes)


def state_of(index: int) -> str:
    clip = next(c for c in PACK.clips if c.first <= index < c.first + c.count)
    return clip.state or clip.action or ""


def play(player: Player, pictures: int) -> list[Picture]:
    """Take pictures exactly when they are due."""
    return [picture for _ in range(pictures) if (picture := player.advance(player.due()))]


def test_nothing_is_played_before_it_is_due() -> None:
    player = Player(CutWalk(PACK, 1), Fraction(25), start=100.0)
    assert player.advance(99.999) is None
    first = player.advance(100.0)
    assert first is not None
    assert (first.number, first.timestamp, first.keyframe, first.entered) == (0, 0, True, True)
    assert player.advance(100.039) is None
    assert player.due() == pytest.approx(100.04)


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30), Fraction(24), Fraction(30000, 1001)])
def test_timestamps_are_strictly_even(fps: Fraction) -> None:
    player = Player(CutWalk(PACK, 1), fps, start=0.0)
    pictures = play(player, 5000)
    steps = {b.timestamp - a.timestamp for a, b in itertools.pairwise(pictures)}
    exact = VIDEO_CLOCK_RATE / fps
    assert steps <= {int(exact), int(exact) + (exact.denominator > 1)}
    assert pictures[-1].timestamp == int(4999 * exact)


def test_the_same_seed_plays_the_same_pictures() -> None:
    runs = [play(Player(CutWalk(PACK, 7), PACK.fps, 0.0), 2000) for _ in range(2)]
    other = play(Player(CutWalk(PACK, 8), PACK.fps, 0.0), 2000)
    assert runs[0] == runs[1]
    assert runs[0] != other


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 12)), min_size=1, max_size=20))
def test_a_planned_cut_comes_when_it_was_said_to(changes: list[tuple[int, int]]) -> None:
    player = Player(CutWalk(PACK, 1), Fraction(25), start=5.0)
    for number, (pictures, earliest) in enumerate(changes):
        play(player, pictures)
        name = ("gesture", "idle")[number % 2]
        not_before = player.due() + earliest * 0.04
        due = player.plan(name, not_before)
        if due is None:  # the clip ends before: once it has, the answer is another one
            play(player, earliest + 1)
            due = player.plan(name, player.due())
            assert due is not None
            not_before = player.due()
        shown = play(player, round((due - player.due()) * 25) + 1)
        assert shown[-1].state == name
        assert shown[-1].due == pytest.approx(due)
        if len(shown) > 1:
            assert name not in {picture.state for picture in shown[:-1]}
        assert due <= not_before + 0.04 + 1e-6


def test_every_clip_of_a_state_is_used() -> None:
    pictures = play(Player(CutWalk(PACK, 3), PACK.fps, 0.0), 2000)
    assert {p.index for p in pictures} == set(range(81))


def test_an_action_plays_once_and_returns_to_the_state_before() -> None:
    player = Player(CutWalk(PACK, 3), PACK.fps, 0.0)
    player.request("gesture")
    play(player, 20)
    player.request("wave")
    pictures = play(player, 40)
    states = [p.state for p in pictures]
    wave = [p.index for p in pictures if p.state == "wave"]
    assert wave == list(range(121, 144))
    assert states[len(wave) :][-1] == "gesture"
    after = next(p for p in pictures if p.finished)
    assert after.finished == "wave"
    assert after.state == "gesture"
    assert after.entered


def test_an_action_within_an_action_returns_to_the_state_before_both() -> None:
    player = Player(CutWalk(PACK, 3), PACK.fps, 0.0)
    player.request("gesture")
    play(player, 5)
    player.request("wave")
    play(player, 9)
    player.request("wave")
    pictures = play(player, 60)
    assert [p.finished for p in pictures].count("wave") == 1
    assert pictures[-1].state == "gesture"


def test_asking_for_the_present_state_changes_nothing() -> None:
    asked, left_alone = (Player(CutWalk(PACK, 5), PACK.fps, 0.0) for _ in range(2))
    play(asked, 17)
    asked.request("idle")
    play(left_alone, 17)
    assert play(asked, 50) == play(left_alone, 50)


def test_an_unknown_state_is_refused_and_changes_nothing() -> None:
    player = Player(CutWalk(PACK, 5), PACK.fps, 0.0)
    with pytest.raises(StateNotFound, match="dance.*idle, gesture, wave"):
        player.request("dance")
    assert {p.state for p in play(player, 100)} == {"idle"}


def test_a_short_delay_loses_no_picture() -> None:
    player = Player(CutWalk(PACK, 5), PACK.fps, 0.0)
    play(player, 10)
    now = player.due() + MAX_LAG * 0.9
    numbers = []
    while (picture := player.advance(now)) is not None:
        numbers.append(picture.number)
    assert numbers == list(range(10, 16))
    assert player.skipped == 0


@given(delay=st.floats(min_value=MAX_LAG + 0.001, max_value=10_000), seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_after_a_long_delay_it_goes_on_at_the_present_with_a_keyframe(
    delay: float, seed: int
) -> None:
    player = Player(CutWalk(PACK, seed), PACK.fps, 0.0)
    before = play(player, 10 + seed)[-1]
    now = player.due() + delay
    picture = player.advance(now)
    assert picture is not None
    assert picture.keyframe
    assert abs(picture.due - now) <= 1 / 25 + 1e-6
    assert picture.timestamp == picture.number * 3600
    assert player.skipped == picture.number - before.number - 1
    assert player.advance(now) is None or player.due() > now


class Commands(RuleBasedStateMachine):
    """Any commands at any moments: the stream of pictures stays decodable and prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.player = Player(CutWalk(PACK, 11), PACK.fps, 0.0)
        self.last: Picture | None = None
        self.wanted = "idle"
        self.waited = 0

    @rule(name=st.sampled_from(["idle", "gesture", "wave"]))
    def request(self, name: str) -> None:
        self.player.request(name)
        self.wanted = name
        self.waited = 0

    @rule(count=st.integers(1, 30))
    def go_on(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def step(self) -> None:
        picture = self.player.advance(self.player.due())
        assert picture is not None
        last, self.last = self.last, picture
        assert picture.state == state_of(picture.index)
        assert picture.keyframe == (picture.index in KEYFRAMES)
        if last is not None:
            assert picture.timestamp == last.timestamp + 3600
            # A decoder follows: the next picture of the clip, or a fresh start.
            assert picture.keyframe or picture.index == last.index + 1
            assert not (picture.keyframe and last.keyframe)
        if picture.finished:
            self.wanted = picture.state
        self.waited = 0 if picture.state == self.wanted else self.waited + 1
        assert self.waited < 3

    @invariant()
    def keyframes_are_at_most_half_a_second_apart(self) -> None:
        if self.last is None:
            return
        index = self.last.index
        later = [k for k in KEYFRAMES if k > index]
        clip = next(c for c in PACK.clips if c.first <= index < c.first + c.count)
        ahead = min([k - index for k in later] + [clip.first + clip.count - index])
        assert ahead / 25 <= 0.5


TestCommands = Commands.TestCase
TestCommands.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
