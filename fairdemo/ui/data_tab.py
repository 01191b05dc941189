"""The Training data tab: who is in a captioned set, and what a model makes of it. A click on a cell of the
map shows its images: drawn people again from their seeds, photographs blurred."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gradio as gr
import numpy as np
from PIL import ImageFilter

from fairdemo import places
from fairdemo.audit import report, set_report, summary
from fairdemo.audit.set_report import OnModel
from fairdemo.audit.summary import DATA_SETS, Summary
from fairdemo.data import opening
from fairdemo.data.captioned import Captioned
from fairdemo.pairs import Drawn
from fairdemo.stats.attributes import RACES
from fairdemo.ui.audit_tab import (
    AT_ONCE,
    PICK,
    Behind,
    Face,
    behind,
    beneath,
    maps_of,
    opened,
    panel,
    unpicked,
)
from fairdemo.ui.face_wall import labelled
from fairdemo.ui.language import label, language_of
from fairdemo.ui.pictures import address
from fairdemo.ui.studio_events import Values, told
from fairdemo.ui.studio_view import PLAIN
from fairdemo.ui.templates import render

OPENING = "embedded"  # the set that a visitor finds
BLUR = 14  # an image's side over the blur's radius: no face can be recognised


class Pictures:
    """Images of sets as the page shows them, the latest kept."""

    def __init__(self, most: int):
        self.most, self.kept = most, OrderedDict[tuple[Captioned, int, bool], Drawn | None]()

    def of(self, asked: Captioned, slots: Sequence[int], blurred: bool) -> list[Drawn | None]:
        """Images by number, opened together; None where one isn't there any more."""
        missing = [s for s in slots if (asked, s, blurred) not in self.kept]
        for slot, item in zip(missing, opening.opened(asked).items(missing) if missing else []):
            image = item.image
            if image and blurred:
                image = image.filter(ImageFilter.GaussianBlur(max(image.size) / BLUR))
            self.kept[asked, slot, blurred] = Drawn(image, [], "", np.zeros(0)) if image else None
        found = [self.kept[asked, s, blurred] for s in slots]
        while len(self.kept) > self.most:
            self.kept.popitem(last=False)
        return found


PICTURES = Pictures(512)


def images_of(of: Behind, language: str, blurred: bool) -> list[Face]:
    """Up to `AT_ONCE` images of a cell from the set itself, but none that may show a child: by its
    caption, by its face, or by a smaller face beside it; ValueError if it can't be opened any more."""
    asked = of.own.study.set_of(of.origin)
    rows = of.rows.iloc[of.first : of.first + AT_ONCE]
    rows = rows[~rows.child.astype(bool) & (rows.faces == 1)]
    drawn = PICTURES.of(asked, [int(s) for s in rows.slot], blurred and not opening.drawn(asked))
    return [
        Face(
            address(one),
            labelled(row.race, row.gender, row.age, False, language),
            None,
            int(row.slot),
            row.source,
            "",
        )
        for row, one in zip(rows.itertuples(), drawn)
        if one
    ]


@lru_cache(8)
def beside(name: str, audit: str) -> OnModel:
    """A set beside a model's audit."""
    own = opened(name, DATA_SETS)
    return set_report.on_model(own.found, own.study, opened(audit))


@lru_cache(4)
def paged(name: str, audit: str) -> str:
    """A set's whole report, made once."""
    own = opened(name, DATA_SETS)
    bridges = [beside(name, audit)] if audit else []
    assert own.in_set is not None
    return set_report.page(own.study, own.found, own.in_set, bridges)


def overview(own: Summary, bridge: OnModel | None, language: str) -> str:
    """What was found, in sentences."""
    assert own.in_set is not None
    women = bridge.women if bridge else ()
    said = [*set_report.sentences(own.in_set, women), *report.sentences(own.study, own.found)]
    return render(
        "data_overview.html",
        language,
        in_set=own.in_set,
        people=set_report.people(own.study),
        said=report.part("said", said),
    )


def bridged(bridge: OnModel | None, language: str) -> str:
    """The way from the data to the wish, and how the model carries shares over."""
    if bridge is None:
        return ""
    one, line = bridge.lines[0] if bridge.lines else (bridge.women[0], set_report.drawn(bridge.women[0]))
    return render(
        "data_bridge.html",
        language,
        story=set_report.part("story", bridge.story) if bridge.story else "",
        line=set_report.part("line", one, line),
        table=set_report.part("bridges", bridge.women),
        races=set_report.part("groups", bridge.races),
    )


def mapped(own: Summary, language: str) -> str:
    """The map of a set's prompts and groups."""
    maps = [
        report.part("map", m, report.GROUPS, own.found.discoveries, True)
        for one in report.maps(own.found)
        for m in maps_of(one, [])
    ]
    return render("audit_map.html", language, maps=maps, legend=report.part("legend", own.study))


def more(own: Summary, language: str) -> str:
    """What else was found."""
    assert own.in_set is not None
    found = own.found
    parts = set_report.parts(own.in_set) | {
        "alike": report.part("alike", found, RACES, {}),
        "spread": report.part("spread", found),
        "together": report.part("together", found),
    }
    return render("data_more.html", language, parts=parts)


@dataclass(frozen=True)
class Screen:
    """The tab's components."""

    data: gr.Dropdown
    audit: gr.Dropdown
    clear: gr.Checkbox
    report: gr.DownloadButton
    overview: gr.HTML
    bridge: gr.HTML
    map: gr.HTML
    faces: gr.HTML
    further: gr.Button
    rows: gr.DownloadButton
    more: gr.HTML
    cell: gr.State  # what was clicked, and the first of its images that is shown


def screen() -> Screen:
    """Builds the components inside a `gr.Blocks`; they are filled when the tab is opened."""
    names, small = list(summary.offered(DATA_SETS)), {"scale": 0, "min_width": 140, "size": "sm"}
    with gr.Row(elem_id="data-ask", equal_height=True):
        first = OPENING if OPENING in names else names[0]
        data = gr.Dropdown(names, value=first, label=label("data_set"), scale=1, elem_id="data-name")
        audit = gr.Dropdown([], label=label("data_audit"), scale=1, elem_id="data-audit")
        clear = gr.Checkbox(label=label("data_clear"), visible=False, scale=1, elem_id="data-clear")
        whole = gr.DownloadButton(
            label("audit_report"), scale=0, min_width=200, size="sm", elem_id="data-report"
        )
    summed = gr.HTML("", elem_id="data-overview", elem_classes="audit", **PLAIN)
    bridge = gr.HTML("", elem_id="data-bridge", elem_classes="audit", **PLAIN)
    with gr.Row(elem_id="data-cells", equal_height=False):
        with gr.Column(scale=3, min_width=0):
            map_ = gr.HTML("", elem_id="data-map", elem_classes="audit", js_on_load=PICK, **PLAIN)
        with gr.Column(scale=2, min_width=0, elem_id="data-behind"):
            faces = gr.HTML(render("data_none.html"), elem_id="data-faces", **PLAIN)
            with gr.Row(elem_id="data-further"):
                further = gr.Button(label("audit_further"), visible=False, **small)
                rows = gr.DownloadButton(label("audit_rows"), visible=False, **small)
    rest = gr.HTML("", elem_id="data-more", elem_classes="audit", **PLAIN)
    return Screen(data, audit, clear, whole, summed, bridge, map_, faces, further, rows, rest, gr.State(None))


class Events:
    """What happens on the tab."""

    def __init__(self, screen: Screen):
        self.screen = screen

    def filled(self, name: str, request: gr.Request) -> Values:
        """All of a set."""
        s, language = self.screen, language_of(request)
        with told(request):
            own = opened(name, DATA_SETS)
            audits = list(set_report.bridging())
            drawn = all(opening.drawn(d) for d in own.study.data)
            first = next(iter(audits), "")
            return {
                s.audit: gr.Dropdown(audits, value=first or None, visible=bool(audits)),
                s.clear: gr.Checkbox(value=False, visible=not drawn),
                s.map: mapped(own, language),
                s.more: more(own, language),
                **unpicked(s, "data_none.html", language),
                **self.of_audit(name, first, language),
            }

    def chosen(self, name: str, audit: str, request: gr.Request) -> Values:
        """Another audit to build the bridge to."""
        with told(request):
            return self.of_audit(name, audit, language_of(request))

    def of_audit(self, name: str, audit: str, language: str) -> Values:
        """What belongs to an audit, or to none."""
        s, bridge = self.screen, beside(name, audit) if audit else None
        return {
            s.overview: overview(opened(name, DATA_SETS), bridge, language),
            s.bridge: bridged(bridge, language),
            s.report: str(places.passing_text("report.html", paged(name, audit))),
        }

    def picked(self, name: str, clear: bool, request: gr.Request, event: gr.EventData) -> Values:
        """A click on a cell."""
        return self.shown(name, clear, (event._data, 0), request)

    def turned(self, name: str, clear: bool, cell: Any, request: gr.Request) -> Values:
        """The next images of the same cell, then the first again."""
        return self.shown(name, clear, cell, request) if cell else {self.screen.cell: None}

    def shown(self, name: str, clear: bool, cell: Any, request: gr.Request) -> Values:
        """The images behind a cell, from the first that is to be shown on."""
        s, (clicked, first) = self.screen, cell
        with told(request):
            own = opened(name, DATA_SETS)
            of = behind(own, own.study.origins[0].name, clicked, first)
            faces = panel(of, language_of(request), lambda o, lang: images_of(o, lang, not clear))
            return beneath(s, of, clicked, faces)


def data_tab(tab: gr.Tab) -> None:
    """Builds the tab inside a `gr.Blocks`, and ties it to what happens."""
    s = screen()
    on = Events(s)
    hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    faces = [s.faces, s.further, s.rows, s.cell]
    of_audit = [s.overview, s.bridge, s.report]
    whole = [s.audit, s.clear, s.map, s.more, *faces, *of_audit]
    gr.on([tab.select, s.data.input], on.filled, s.data, whole, **hidden)
    s.audit.input(on.chosen, [s.data, s.audit], of_audit, **hidden)
    shows: dict[str, Any] = {
        "show_progress": "full",
        "show_progress_on": s.faces,
        "api_visibility": "private",
    }
    s.map.select(on.picked, [s.data, s.clear], faces, trigger_mode="always_last", **shows)
    gr.on([s.further.click, s.clear.input], on.turned, [s.data, s.clear, s.cell], faces, **shows)
