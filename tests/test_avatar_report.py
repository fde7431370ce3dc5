"""Reports: figures, drawings and film strips on one page that needs nothing else."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from engine.avatar.compiling import Compiler
from engine.avatar.finding import compiled_pair, find_spec
from engine.avatar.measures import measure, natural_steps, repetitions
from engine.avatar.pack import Pack
from engine.avatar.preview import random_changes
from engine.avatar.report import write_report
from engine.avatar.report_plots import GRADES, graph_plot, sharpness_plot
from engine.avatar.report_words import verdict
from engine.avatar.spec import AvatarSpec
from engine.avatar.strips import BESIDE, sample_jumps, strips, worst_jumps
from engine.avatar.written import OutputNotWritten
from engine.errors import AvatarNotFound
from engine.motion.graph import JumpKind, MotionGraph, MotionSettings
from engine.settings import AvatarSettings
from tests import chromium
from tests.fakes import spec
from tests.swaying_avatar import Packs, compiled

SECONDS = 10.0
_VOID = {"meta", "img", "input", "br", "link"}


class _Page(HTMLParser):
    """Checks that elements are closed in order, and remembers what the page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str, name: str) -> int:
        return sum(
            t == tag and name in (attributes.get("class") or "").split()
            for t, attributes in self.tags
        )


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Packs:
    return compiled(tmp_path_factory.mktemp("avatar"))


@pytest.fixture(scope="module")
def report(packs: Packs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("report") / "anna.html"
    progress: list[float] = []
    files = write_report(
        "Anna & <Co>", packs.graph, packs.plain, target, SECONDS, 2, progress.append
    )
    assert files == [target, target.with_name("anna.mp4"), target.with_name("anna-cuts.mp4")]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    return target


@pytest.fixture(scope="module")
def page(report: Path) -> _Page:
    parsed = _Page()
    parsed.feed(report.read_text(encoding="utf-8"))
    parsed.close()
    assert parsed.open == []
    return parsed


def _graph(packs: Packs) -> MotionGraph:
    assert packs.graph.graph is not None
    return packs.graph.graph.graph


def test_the_page_needs_nothing_but_itself_and_its_films(report: Path, page: _Page) -> None:
    text = report.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|\$[a-z{]", text)
    sources = [
        value
        for _, attributes in page.tags
        for name in ("src", "href", "poster")
        if (value := attributes.get(name)) is not None
    ]
    films = [source for source in sources if not source.startswith("data:image/jpeg;base64,")]
    assert films == ["anna.mp4", "anna-cuts.mp4"]
    assert all((report.parent / film).stat().st_size > 10_000 for film in films)
    assert {path.name for path in report.parent.iterdir()} == {report.name, *films}
    assert len(text) < 4_000_000


def test_the_page_says_what_to_record_again(packs: Packs, page: _Page) -> None:
    graph = _graph(packs)
    assert graph.warnings
    assert all(warning in page.text for warning in graph.warnings)
    assert "Anna & <Co>" in page.text
    assert "What to record again" in page.text


def test_the_page_shows_every_jump_and_its_strips(packs: Packs, page: _Page) -> None:
    graph = _graph(packs)
    expected = worst_jumps(graph) + sample_jumps(graph)
    assert len(worst_jumps(graph)) == 12
    assert page.count("article", "strip") == len(expected)
    assert page.count("figure", "made") == sum(jump.length for jump in expected)
    assert page.count("path", "jump") == len(graph.jumps)
    rows = sum(page.count("tr", f"grade-{grade}") for grade in GRADES)
    assert rows == len(graph.jumps)


def test_the_same_packs_give_the_same_page(packs: Packs, report: Path, tmp_path: Path) -> None:
    again = tmp_path / "anna.html"
    write_report("Anna & <Co>", packs.graph, packs.plain, again, SECONDS, 2)
    assert again.read_bytes() == report.read_bytes()


def test_strips_lead_from_the_exit_over_the_bridge_to_the_entry(packs: Packs) -> None:
    assert packs.graph.graph is not None
    jumps = worst_jumps(_graph(packs), 3) + sample_jumps(_graph(packs), 3)
    found = list(strips(packs.graph, packs.graph.graph, jumps))
    assert [strip.jump for strip in found] == jumps
    for strip in found:
        jump = strip.jump
        places = [(picture.clip, picture.picture) for picture in strip.pictures]
        made = places.index((None, 0))
        assert places[made - 1] == (jump.source, jump.exit)
        assert places[made : made + jump.length] == [(None, n) for n in range(jump.length)]
        assert places[made + jump.length] == (jump.target, jump.entry)
        assert len(places) <= jump.length + 2 * (BESIDE + 1)
        uris = [picture.uri for picture in strip.pictures]
        assert all(uri.startswith("data:image/jpeg;base64,") for uri in uris)
        assert len(set(uris)) > jump.length


def test_samples_show_each_way_once(packs: Packs) -> None:
    graph = _graph(packs)
    ways = {
        (jump.kind, graph.clips[jump.source].group, graph.clips[jump.target].group)
        for jump in graph.jumps
    }
    samples = sample_jumps(graph)
    assert len(samples) == len(ways)
    assert {jump.kind for jump in samples} == {JumpKind.LOOP, JumpKind.TRANSITION}


def test_the_graph_hides_what_hard_cuts_show(packs: Packs) -> None:
    natural = natural_steps(_graph(packs))
    changes = random_changes(packs.graph, SECONDS, 2)
    hidden, cuts = (
        measure(pack, natural, SECONDS, 2, changes) for pack in (packs.graph, packs.plain)
    )
    assert len(hidden.steps) == len(hidden.states) == 250
    assert len(cuts.seams) >= 250 // 48
    assert hidden.ratio(100) < 0.6 * cuts.ratio(100)
    assert hidden.ratio(95) <= hidden.ratio(100)
    assert cuts.waits
    assert max(cuts.waits) <= 2
    assert max(hidden.waits) <= 3 + 5
    assert repetitions(packs.graph, 2) < repetitions(packs.plain, 2)
    for seam in hidden.seams + cuts.seams:
        assert seam.step == hidden.steps[seam.number] or seam.step == cuts.steps[seam.number]


def test_the_verdict_follows_the_jumps(packs: Packs) -> None:
    graph = _graph(packs)
    changes = random_changes(packs.graph, SECONDS, 2)
    played = measure(packs.graph, natural_steps(graph), SECONDS, 2, changes)
    smooth = replace(played, seams=tuple(replace(seam, step=0.0) for seam in played.seams))
    hidden = replace(graph, jumps=tuple(replace(j, cost=0.2, trust=0.9) for j in graph.jumps))
    seen = replace(graph, jumps=tuple(replace(j, cost=9.0, trust=0.2) for j in graph.jumps))
    few = replace(graph, jumps=hidden.jumps[10:] + seen.jumps[: len(graph.jumps) // 8])
    assert verdict(hidden, smooth).level == "good"
    assert verdict(few, smooth).level == "fair"
    assert verdict(seen, smooth).level == "rough"
    torn = replace(played, seams=tuple(replace(s, step=9 * s.natural_step) for s in played.seams))
    assert verdict(hidden, torn).level == "rough"


def test_drawings_of_an_avatar_without_jumps(packs: Packs) -> None:
    bare = replace(_graph(packs), jumps=())
    for drawing in (graph_plot(bare, 25.0), sharpness_plot((), 0.8)):
        parsed = _Page()
        parsed.feed(drawing)
        assert parsed.open == []
        assert parsed.count("path", "jump") == 0


def test_what_cannot_be_reported_is_said(packs: Packs, tmp_path: Path) -> None:
    for name in ("x.pdf", "none/x.html"):
        with pytest.raises(OutputNotWritten):
            write_report("x", packs.graph, packs.plain, tmp_path / name)
    with pytest.raises(ValueError, match="motion graph"):
        write_report("x", packs.plain, packs.plain, tmp_path / "x.html")
    assert list(tmp_path.iterdir()) == []


def test_an_avatar_is_found_by_its_folder(tmp_path: Path) -> None:
    for name in ("idle.mp4", "gesture.mp4"):
        (tmp_path / "anna").mkdir(exist_ok=True)
        (tmp_path / "anna" / name).touch()
    settings = AvatarSettings(folder=tmp_path)
    assert find_spec("anna", settings).id == "anna"
    for wrong in ("bert", "../anna", "."):
        with pytest.raises(AvatarNotFound, match="There are: anna"):
            find_spec(wrong, settings)


class _Compiler(Compiler):
    """Has the packs already."""

    def __init__(self, packs: Packs) -> None:
        super().__init__(Path("unused"), MotionSettings(), None)
        self._packs = packs

    async def plain(self, spec: AvatarSpec, on_progress: Callable[[float], None]) -> Pack:
        on_progress(1.0)
        return self._packs.plain

    async def graph(self, spec: AvatarSpec, on_progress: Callable[[float], None]) -> Pack:
        on_progress(0.5)
        return self._packs.graph


async def test_both_packs_come_with_one_progress(packs: Packs) -> None:
    progress: list[float] = []
    found = await compiled_pair(spec({"idle": []}), _Compiler(packs), progress.append)
    assert found == (packs.graph, packs.plain)
    assert progress == pytest.approx([0.2, 0.6, 1.0])


@pytest.mark.browser
def test_a_browser_shows_the_page(report: Path) -> None:
    chromium.require()
    with chromium.chromium() as driver:
        driver.get(report.as_uri())
        assert driver.get_log("browser") == []
        facts = driver.execute_async_script(
            """
            const done = arguments[0];
            const films = [...document.querySelectorAll('video')];
            const visible = (selector) =>
              [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility()).length;
            document.querySelector('#show-loop').click();
            const filtered = [visible('tr.kind-loop'), visible('tr.kind-transition')];
            Promise.all(films.map((film) => film.readyState ? 0 :
              new Promise((go) => film.addEventListener('loadedmetadata', go)))).then(() => done({
                seconds: films.map((film) => film.duration),
                broken: [...document.images].filter((image) => !image.naturalWidth).length,
                wide: document.documentElement.scrollWidth > innerWidth,
                filtered,
            }));
            """
        )
    assert facts["seconds"] == [pytest.approx(SECONDS)] * 2
    assert facts["broken"] == 0
    assert not facts["wide"]
    assert facts["filtered"][0] > 0
    assert facts["filtered"][1] == 0
