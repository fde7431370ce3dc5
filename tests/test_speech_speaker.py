"""The speaker on a fake clock: order, times, gaps, and the avatar's motion to the voice."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.avatar.cuts import CutWalk
from engine.avatar.player import Picture, Player
from engine.clock import GRID
from engine.speech.sound import Span
from engine.speech.speaker import Ended, Packet, Speaker, Started
from engine.speech.utterance import Utterance
from tests.fakes import bare_pack

PACK = bare_pack({"idle": [100], "gesture": [80]}, {"wave": 23})
SLOT = 0.02


def utterance(
    name: str, packets: int, *spans: tuple[int, int], complete: bool = True, prebuffer: int = 40
) -> Utterance:
    """An utterance whose packets say where they belong."""
    made = Utterance(name, prebuffer)
    made.add(
        [f"{name}:{number}".encode() for number in range(packets)],
        tuple(Span(*span) for span in spans),
        packets * 20,
        complete,
    )
    return made


class Stage:
    """A speaker and a player on one fake clock, advanced in steps of a millisecond."""

    def __init__(self, pause_ms: int = 600) -> None:
        self.events: list[Started | Ended] = []
        self.speaker = Speaker(pause_ms, self.events.append)
        self.player = Player(CutWalk(PACK, 1), Fraction(25), 0.0)
        self.speaker.move(self.player)
        self.now = 0.0
        self.packets: list[Packet] = []
        self.pictures: list[Picture] = []

    def run(self, seconds: float, step: float = 0.001) -> None:
        """Let time pass."""
        for _ in range(round(seconds / step)):
            self.now = round(self.now + step, 6)
            due = self.speaker.due()
            if due is not None and due <= self.now:
                while (packet := self.speaker.advance(self.now)) is not None:
                    self.packets.append(packet)
            while self.player.due() <= self.now:
                self.speaker.follow(self.player.due())
                picture = self.player.advance(self.now)
                assert picture is not None
                self.pictures.append(picture)

    def motion(self) -> list[tuple[float, str]]:
        """When each state was entered."""
        return [(picture.due, picture.state) for picture in self.pictures if picture.entered]

    def names(self) -> list[str]:
        return [
            f"{'+' if isinstance(e, Started) else '!' if e.interrupted else '-'}{e.utterance.id}"
            for e in self.events
        ]


def test_packets_leave_every_20_ms_and_utterances_follow_each_other() -> None:
    stage = Stage()
    stage.run(0.1)
    stage.speaker.say(utterance("a", 10))
    stage.speaker.say(utterance("b", 5))
    stage.run(1.0)
    assert [p.payload for p in stage.packets] == [
        *(f"a:{n}".encode() for n in range(10)),
        *(f"b:{n}".encode() for n in range(5)),
    ]
    gaps = [b.at - a.at for a, b in itertools.pairwise(stage.packets)]
    # Each was encoded to follow silence: one packet of it comes between them.
    assert gaps == pytest.approx([SLOT] * 9 + [2 * SLOT] + [SLOT] * 4)
    assert [p.first for p in stage.packets].count(True) == 1
    assert stage.names() == ["+a", "-a", "+b", "-b"]
    assert [e.position_ms for e in stage.events if isinstance(e, Ended)] == [200, 100]
    assert stage.speaker.due() is None


def test_the_first_voice_and_the_first_picture_of_the_gesture_are_due_together() -> None:
    for offset in range(0, 60, 7):
        stage = Stage()
        stage.run(0.5 + offset / 1000)
        asked = stage.now
        stage.speaker.say(utterance("a", 100, (60, 2000)))
        stage.run(1.0)
        begun = stage.packets[0].at
        _, (gesture, state) = stage.motion()
        assert state == "gesture"
        assert begun + 0.060 == pytest.approx(gesture, abs=1e-6)
        assert asked <= begun <= asked + 0.09


def test_all_packets_are_due_on_the_grid_of_receivers() -> None:
    stage = Stage()
    for number in range(20):
        stage.run(0.1237)
        stage.speaker.say(utterance(str(number), 20, (7 * number, 400)))
        stage.run(0.9)
        feed = utterance("fed", 3, complete=False)
        stage.speaker.say(feed)
        stage.run(0.0813)
        feed.add([b"later"] * 5, (), 160, complete=True)
        stage.run(0.4)
    assert len(stage.packets) == 20 * 28
    off = [p.at / GRID - round(p.at / GRID) for p in stage.packets]
    assert off == pytest.approx([0] * len(off), abs=1e-6)


def test_the_avatar_rests_in_long_pauses_and_not_in_short_ones() -> None:
    stage = Stage()
    stage.run(0.3)
    stage.speaker.say(utterance("a", 300, (0, 1000), (1400, 2000), (3000, 3500), (3800, 4000)))
    stage.run(7.0)
    start = stage.packets[0].at
    changes = [(round((due - start) * 1000), state) for due, state in stage.motion()[1:]]
    assert [state for _, state in changes] == ["gesture", "idle", "gesture", "idle"]
    for (at, state), label in zip(changes, (0, 2000, 3000, 4000), strict=True):
        assert label - (40 if state == "idle" else 0) <= at <= label + 120


def test_an_open_pause_is_waited_out() -> None:
    stage = Stage()
    stage.run(0.3)
    growing = utterance("a", 50, (0, 400), complete=False)
    stage.speaker.say(growing)
    stage.run(0.9)
    assert stage.motion()[-1][1] == "gesture"
    growing.add([b"x"] * 100, (Span(0, 400),), 3000, complete=False)
    stage.run(1.0)
    entered, state = stage.motion()[-1]
    assert state == "idle"
    # It became known after half of the pause that it is a long one.
    assert entered - stage.packets[0].at < 1.2


def test_a_stream_that_runs_dry_goes_on_where_it_was_and_rests_meanwhile() -> None:
    stage = Stage()
    stage.run(0.3)
    stream = utterance("a", 10, complete=False)
    stream.add([], (Span(0, None),), 200, complete=False)
    stage.speaker.say(stream)
    stage.run(0.5)
    assert len(stage.packets) == 10
    assert stage.speaker.due() is None
    stage.run(1.0)
    assert stage.motion()[-1][1] == "idle"
    stream.add([b"x"], (Span(0, None),), 220, complete=False)
    assert stage.speaker.due() is None, "less than the prebuffer"
    stream.add([b"y"] * 9, (Span(0, 400),), 400, complete=True)
    stage.run(1.0)
    assert len(stage.packets) == 20
    assert stage.packets[10].first
    assert stage.names() == ["+a", "-a"]
    assert "gesture" in [state for due, state in stage.motion() if due > stage.packets[10].at]


def test_an_interrupt_ends_everything_at_once_and_the_avatar_rests() -> None:
    stage = Stage()
    stage.run(0.3)
    for name in "abc":
        stage.speaker.say(utterance(name, 100, (0, 2000)))
    stage.run(1.0)
    sent = len(stage.packets)
    stage.speaker.interrupt()
    stage.run(1.0)
    assert len(stage.packets) == sent
    assert stage.names() == ["+a", "!a", "!b", "!c"]
    ended = stage.events[1]
    assert isinstance(ended, Ended)
    assert ended.position_ms == sent * 20
    assert ended.at == pytest.approx(stage.packets[-1].at + SLOT)
    assert [e.at for e in stage.events[2:] if isinstance(e, Ended)] == [None, None]
    due, state = stage.motion()[-1]
    assert (state, due) == ("idle", pytest.approx(1.32, abs=0.06))


def test_what_was_cut_off_in_a_gap_ended_with_its_last_packet() -> None:
    stage = Stage()
    stage.speaker.say(utterance("a", 5, complete=False))
    stage.run(0.3)
    # Silence is sent meanwhile.
    stage.speaker.hold(stage.now + SLOT)
    stage.speaker.interrupt()
    ended = stage.events[-1]
    assert isinstance(ended, Ended)
    assert ended.at == pytest.approx(stage.packets[-1].at + SLOT)


def test_one_utterance_of_several_can_be_dropped() -> None:
    stage = Stage()
    a, b, c = (utterance(name, 20) for name in "abc")
    for each in (a, b, c):
        stage.speaker.say(each)
    stage.run(0.1)
    stage.speaker.drop(b)
    stage.speaker.drop(a)
    stage.speaker.drop(a)
    stage.run(1.0)
    assert stage.names() == ["+a", "!b", "!a", "+c", "-c"]


def test_the_gesture_goes_on_from_one_utterance_to_the_next() -> None:
    stage = Stage()
    stage.run(0.3)
    stage.speaker.say(utterance("a", 50, (0, 900)))
    stage.speaker.say(utterance("b", 50, (200, 900)))
    stage.run(3.0)
    assert [state for _, state in stage.motion()] == ["idle", "gesture", "idle"]


def test_what_is_still_being_made_moves_nothing() -> None:
    stage = Stage()
    stage.run(0.3)
    stage.speaker.say(utterance("a", 60, (0, 900)))
    stage.run(1.25)
    empty = utterance("b", 0, complete=False)
    stage.speaker.say(empty)
    stage.run(0.3)
    assert stage.motion()[-1][1] == "idle"
    empty.add([b"x"] * 50, (Span(0, 900),), 1000, complete=True)
    stage.run(3.0)
    assert [state for _, state in stage.motion()] == ["idle", "gesture", "idle", "gesture", "idle"]


def test_a_state_that_the_user_asked_for_is_left_alone() -> None:
    stage = Stage()
    stage.player.request("gesture")
    stage.run(2.0)
    assert [state for _, state in stage.motion()][-1] == "gesture"


def test_an_avatar_without_the_speaking_state_only_speaks() -> None:
    events: list[Started | Ended] = []
    speaker = Speaker(600, events.append)
    player = Player(CutWalk(bare_pack({"idle": [50]}, {}), 1), Fraction(25), 0.0)
    speaker.move(player)
    speaker.say(utterance("a", 2, (0, 40)))
    packet = speaker.advance(1.0)
    assert packet is not None
    assert packet.at == 1.0
    speaker.follow(1.0)
    assert player.state == "idle"


def test_a_machine_that_slept_goes_on_without_a_burst() -> None:
    stage = Stage()
    stage.speaker.say(utterance("a", 100))
    stage.run(0.1)
    sent = len(stage.packets)
    stage.now += 5.0
    stage.run(0.1)
    assert len(stage.packets) - sent <= 6
    assert stage.packets[sent].at >= 5.0


def test_no_drift_over_an_hour() -> None:
    speaker = Speaker(600, lambda event: None)
    packets = 3600 * 50
    speaker.say(utterance("a", packets))
    times = []
    for _ in range(packets):
        due = speaker.due()
        assert due is not None
        packet = speaker.advance(due)
        assert packet is not None
        times.append(packet.at)
    assert times[-1] - times[0] == pytest.approx(3600 - SLOT, abs=1e-6)


class Speaking(RuleBasedStateMachine):
    """Whatever is asked for in whatever order, every utterance is accounted for."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage()
        self.said: list[Utterance] = []
        self.open: list[Utterance] = []

    @rule(packets=st.integers(0, 30), voiced=st.booleans(), complete=st.booleans())
    def say(self, packets: int, voiced: bool, complete: bool) -> None:
        spans = [(40, packets * 20)] if voiced and packets > 2 else []
        made = utterance(f"u{len(self.said)}", packets, *spans, complete=complete)
        self.said.append(made)
        if not complete:
            self.open.append(made)
        self.stage.speaker.say(made)

    @rule(packets=st.integers(0, 20), complete=st.booleans())
    def grow(self, packets: int, complete: bool) -> None:
        if self.open:
            made = self.open[0]
            made.add([b"more"] * packets, made.spans, made.duration_ms + packets * 20, complete)
            if complete:
                self.open.pop(0)

    @rule(seconds=st.floats(0.001, 1.5))
    def wait(self, seconds: float) -> None:
        self.stage.run(seconds, 0.005)

    @rule()
    def interrupt(self) -> None:
        self.stage.speaker.interrupt()
        assert self.stage.speaker.current is None
        assert self.stage.speaker.waiting == ()
        self.open.clear()

    @rule(which=st.integers(0, 5))
    def drop(self, which: int) -> None:
        if which < len(self.said):
            made = self.said[-1 - which]
            self.stage.speaker.drop(made)
            self.open = [other for other in self.open if other is not made]

    @invariant()
    def every_utterance_ends_at_most_once_and_starts_before(self) -> None:
        names = self.stage.names()
        assert len(names) == len(set(names))
        for name in names:
            if name[0] == "-":
                assert names.index("+" + name[1:]) < names.index(name)
        ended = {name[1:] for name in names if name[0] in "-!"}
        speaker = self.stage.speaker
        alive = {u.id for u in speaker.waiting} | (
            {speaker.current.id} if speaker.current else set()
        )
        assert ended | alive == {u.id for u in self.said}
        assert not ended & alive

    @invariant()
    def packets_never_overlap(self) -> None:
        for before, after in itertools.pairwise(self.stage.packets):
            assert after.at - before.at >= SLOT - 1e-6

    def teardown(self) -> None:
        for made in self.open:
            made.add([], made.spans, made.duration_ms, complete=True)
        self.stage.run(sum(u.duration_ms for u in self.said) / 1000 + 1.0, 0.005)
        assert {name[1:] for name in self.stage.names() if name[0] in "-!"} == {
            u.id for u in self.said
        }
        assert self.stage.player.state == "idle"


Speaking.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestSpeaking = Speaking.TestCase
