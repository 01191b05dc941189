"""The Audit tab: a study's findings as a map of prompts and groups. A click on a cell of the map shows its
faces, drawn again from their seeds, and the rows behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import gradio as gr

from fairdemo import places
from fairdemo.audit import report, summary
from fairdemo.audit.findings import CONTROL
from fairdemo.audit.painter import MOST, Painter
from fairdemo.audit.published import PUBLISHED
from fairdemo.audit.study import BASELINE, PROFILE, Asked, Origin
from fairdemo.audit.summary import Summary
from fairdemo.models.gpu import SILENT, Watch
from fairdemo.models.sampling import Cancelled, Sample
from fairdemo.pairs import Drawn
from fairdemo.report.table import harmless
from fairdemo.stats.attributes import RACES
from fairdemo.ui.face_wall import Box, Chip, box, chip
from fairdemo.ui.language import label, language_of, say
from fairdemo.ui.limits import drawing
from fairdemo.ui.offered import studio
from fairdemo.ui.pictures import address
from fairdemo.ui.studio_events import Values, told
from fairdemo.ui.studio_view import PLAIN
from fairdemo.ui.templates import render
from fairdemo.ui.visits import running

OPENING = "professions"  # the audit that a visitor finds
AT_ONCE = 12  # faces that a click shows
SHOWN = ["slot", "source", "race", "gender", "age"]  # of a row, beside the faces
KEPT = ["prompt", "origin", "seed", *SHOWN, "subject"]  # of a row, in a file
# A click on a cell, marked as the one whose faces are shown.
PICK = """element.addEventListener("click", (event) => {
  const cell = event.target.closest("button[data-group]");
  if (!cell) return;
  element.querySelectorAll(".picked").forEach((one) => one.classList.remove("picked"));
  cell.classList.add("picked");
  if (matchMedia("(max-width: 1130px)").matches)
    element.closest("[id$=-cells]").querySelector("[id$=-behind]").scrollIntoView({ behavior: "smooth" });
  trigger("select", { prompt: cell.dataset.prompt, group: cell.dataset.group });
});"""


@dataclass(frozen=True)
class Behind:
    """What is behind a cell of a map: its prompt, origin and group, and the first of its rows that is
    shown."""

    own: Summary
    origin: Origin
    asked: Asked
    group: str
    first: int

    @cached_property
    def rows(self) -> Any:
        """All of its rows."""
        return self.own.cell(self.origin.name, self.asked.prompt, self.group)


@dataclass(frozen=True)
class Face:
    """A face of a cell as it is drawn again, and what drew it."""

    picture: str
    chip: Chip | None
    box: Box | None
    slot: int
    source: str
    wrote: str  # the prompt as its source saw it, where that was changed


@lru_cache(8)
def opened(name: str, shelf: str = summary.AUDITS) -> Summary:
    """A summary that is offered; ValueError for any other, since a browser may ask for anything."""
    offered = summary.offered(shelf)
    if name not in offered:
        raise ValueError(f"{shelf} {str(name)[:60]!r} is unknown; offered are {', '.join(offered)}")
    return summary.opened(offered[name])


def behind(own: Summary, origin: str, cell: Any, first: int) -> Behind:
    """What is behind a cell, {"prompt": …, "group": …} from a browser; ValueError names what isn't there."""
    prompt, group = (cell.get(k) if isinstance(cell, dict) else None for k in ("prompt", "group"))
    origins = {o.name: o for o in own.study.origins}
    asked = {a.prompt: a for a in own.study.asked}
    asked = {c.prompt: asked.get(c.prompt) or Asked(c.prompt, c.listed, 0, c.images) for c in own.found.cells}
    for what, value, known in (
        ("origin", origin, origins),
        ("prompt", prompt, asked),
        ("group", group, report.GROUPS),
    ):
        if value not in known:
            raise ValueError(f"{what} {str(value)[:80]!r} isn't in this audit")
    return Behind(own, origins[origin], asked[str(prompt)], str(group), first)


def drawn_again(of: Behind, language: str, watch: Watch = SILENT) -> list[Face]:
    """Up to `AT_ONCE` faces of a cell from its rows' seeds; ValueError if that can't be done here."""
    if of.origin.kind != PROFILE:
        raise ValueError(f"images of {of.origin.name} weren't kept, and no profile of ours draws them")
    rows = of.rows.iloc[of.first : of.first + AT_ONCE]
    artist = studio(of.origin.model).artist
    setting, slots = Painter(of.own.study).plan(of.origin, of.asked)
    wanted = [Sample(int(slot), slots[int(slot) % MOST]) for slot in rows.slot]
    if any(one.source.label != source for one, source in zip(wanted, rows.source)):
        raise ValueError(f"{of.origin.name} draws by other sources now than in this audit; run it again")
    texts = [artist.written(of.asked.prompt, one.source) for one in wanted]
    drawn = {one: image for new in artist.draw(setting, wanted, watch) for one, image in new.items()}
    return [
        face(drawn[one], one, "" if text == of.asked.prompt else text, language)
        for one, text in zip(wanted, texts)
    ]


def face(drawn: Drawn, sample: Sample, wrote: str, language: str) -> Face:
    """A drawn image as the panel shows it."""
    found = drawn.faces[0] if drawn.faces else None
    return Face(
        address(drawn),
        chip(found, language) if found else None,
        box(found, drawn.image.width) if found else None,
        sample.slot,
        sample.source.label,
        wrote,
    )


def panel(of: Behind, language: str, faces_of: Callable[[Behind, str], list[Face]] = drawn_again) -> str:
    """The faces behind a cell, and the rows; where faces can't be had it says why."""
    faces, why = [], ""
    try:
        faces = faces_of(of, language)
    except ValueError as error:
        why = str(error)
    rows = of.rows
    cell = next(c for c in of.own.found.cells if (c.prompt, c.origin) == (of.asked.prompt, of.origin.name))
    share = {"women": cell.women, "from 40": cell.old, **cell.races}[of.group]
    return render(
        "audit_faces.html",
        language,
        of=of,
        share=report.percent(share),
        faces=faces,
        why=why,
        numbers=other_numbers(of, language) if faces else "",
        last=min(of.first + AT_ONCE, len(rows)),
        n=len(rows),
        columns=SHOWN,
        rows=rows.iloc[of.first : of.first + AT_ONCE][SHOWN].values.tolist(),
    )


def other_numbers(of: Behind, language: str) -> str:
    """What to say if a cell's faces were computed in other numbers than they are here."""
    if of.origin.kind != PROFILE or "dtype" not in of.rows:
        return ""
    own = studio(of.origin.model).artist.dtype
    theirs = sorted({str(name) for name in of.rows["dtype"].dropna()} - {own})
    return say(language, "audit_numbers", theirs=", ".join(theirs), own=own) if theirs else ""


def filed(of: Behind) -> str:
    """A file of all rows behind a cell, whose texts no spreadsheet takes for formulas."""
    table = of.rows[KEPT].map(lambda v: harmless(v) if isinstance(v, str) else v)
    return str(places.passing_text("rows.csv", table.to_csv(index=False)))


@lru_cache(4)
def paged(name: str) -> str:
    """An audit's whole report, made once."""
    own = opened(name)
    return report.page(own.study, own.found)


def overview(own: Summary, language: str) -> str:
    """What was found, in sentences."""
    said = report.part("said", report.sentences(own.study, own.found))
    return render("audit_overview.html", language, found=own.found, said=said)


def mapped(own: Summary, origin: str, language: str) -> str:
    """The map of one origin; ValueError if it isn't in the audit."""
    one = next((m for m in report.maps(own.found) if m.origin == origin), None)
    if one is None:
        raise ValueError(f"origin {str(origin)[:80]!r} isn't in this audit")
    control = [c for c in own.found.cells if c.origin == origin and c.listed == CONTROL]
    maps = [report.part("map", m, report.GROUPS, own.found.discoveries, True) for m in maps_of(one, control)]
    return render("audit_map.html", language, maps=maps, legend=report.part("legend", own.study))


def maps_of(one: report.Map, control: list) -> list[report.Map]:
    """An origin's map, and that of its control prompts if it has some."""
    return [m for m in (one, report.Map(one.origin, control)) if m.rows]


def more(own: Summary, origin: str, language: str) -> str:
    """What else was found: methods side by side, and beside what is known."""
    found = own.found
    beside = [
        (report.caption(b), report.part("beside", b, report.dots(b)))
        for b in found.beside
        if b.origin == origin
    ]
    parts = {
        "methods": report.part("methods", found, own.study, report.front(found)),
        "front": report.part("front", report.drawn(found)) if len(found.by_origin) > 1 else "",
        "spread": report.part("spread", found),
        "together": report.part("together", found),
        "alike": report.part("alike", found, RACES, report.wide(own.study)),
        "control": report.part("control", found) if found.control else "",
        "worst": report.part("worst", report.worst(own.study, found)),
        "corrected": report.part("corrected", found, RACES) if any(found.corrected.values()) else "",
        "published": report.part("published", PUBLISHED),
    }
    return render("audit_more.html", language, origin=origin, beside=beside, parts=parts)


def origins_of(own: Summary) -> list[str]:
    """An audit's origins, the baseline first."""
    plain = {o.name for o in own.study.origins if o.method == BASELINE}
    return sorted((b.origin for b in own.found.by_origin), key=lambda name: name not in plain)


@dataclass(frozen=True)
class Screen:
    """The tab's components."""

    audit: gr.Dropdown
    origin: gr.Dropdown
    report: gr.DownloadButton
    overview: gr.HTML
    map: gr.HTML
    faces: gr.HTML
    further: gr.Button
    rows: gr.DownloadButton
    more: gr.HTML
    cell: gr.State  # what was clicked, and the first of its faces that is shown


def screen() -> Screen:
    """Builds the components inside a `gr.Blocks`; they are filled when the tab is opened."""
    names = list(summary.offered())
    with gr.Row(elem_id="audit-ask", equal_height=True):
        first = OPENING if OPENING in names else names[0]
        audit = gr.Dropdown(names, value=first, label=label("audit"), scale=1, elem_id="audit-name")
        origin = gr.Dropdown([], label=label("audit_origin"), scale=2, elem_id="audit-origin")
        whole = gr.DownloadButton(
            label("audit_report"), scale=0, min_width=200, size="sm", elem_id="audit-report"
        )
    summed = gr.HTML("", elem_id="audit-overview", elem_classes="audit", **PLAIN)
    with gr.Row(elem_id="audit-cells", equal_height=False):
        with gr.Column(scale=3, min_width=0):
            map_ = gr.HTML("", elem_id="audit-map", elem_classes="audit", js_on_load=PICK, **PLAIN)
        with gr.Column(scale=2, min_width=0, elem_id="audit-behind"):
            faces = gr.HTML(render("audit_none.html"), elem_id="audit-faces", **PLAIN)
            small: dict[str, Any] = {"visible": False, "scale": 0, "min_width": 140, "size": "sm"}
            with gr.Row(elem_id="audit-further"):
                further = gr.Button(label("audit_further"), **small)
                rows = gr.DownloadButton(label("audit_rows"), **small)
    rest = gr.HTML("", elem_id="audit-more", elem_classes="audit", **PLAIN)
    return Screen(audit, origin, whole, summed, map_, faces, further, rows, rest, gr.State(None))


def unpicked(s: Any, template: str, language: str) -> Values:
    """What a tab shows while no cell is picked."""
    return {
        s.faces: render(template, language),
        s.further: gr.Button(visible=False),
        s.rows: gr.DownloadButton(visible=False),
        s.cell: None,
    }


def beneath(s: Any, of: Behind, clicked: Any, faces: str) -> Values:
    """What a tab shows of a picked cell, and where its next faces begin."""
    n, next_ = len(of.rows), of.first + AT_ONCE
    return {
        s.faces: faces,
        s.further: gr.Button(visible=n > AT_ONCE),
        s.rows: gr.DownloadButton(value=filed(of), visible=n > 0),
        s.cell: (clicked, next_ if next_ < n else 0),
    }


class Events:
    """What happens on the tab."""

    def __init__(self, screen: Screen):
        self.screen = screen

    def filled(self, name: str, request: gr.Request) -> Values:
        """All of an audit."""
        s, language = self.screen, language_of(request)
        with told(request):
            own = opened(name)
            names = origins_of(own)
            return {
                s.origin: gr.Dropdown(names, value=names[0]),
                s.report: str(places.passing_text("report.html", paged(name))),
                s.overview: overview(own, language),
                **self.of_origin(own, names[0], language),
            }

    def chosen(self, name: str, origin: str, request: gr.Request) -> Values:
        """Another origin."""
        with told(request):
            return self.of_origin(opened(name), origin, language_of(request))

    def of_origin(self, own: Summary, origin: str, language: str) -> Values:
        """What belongs to an origin; no cell is picked yet."""
        s = self.screen
        return {
            s.map: mapped(own, origin, language),
            s.more: more(own, origin, language),
            **unpicked(s, "audit_none.html", language),
        }

    def picked(self, name: str, origin: str, request: gr.Request, event: gr.EventData) -> Values:
        """A click on a cell."""
        return self.shown(name, origin, (event._data, 0), request)

    def turned(self, name: str, origin: str, cell: Any, request: gr.Request) -> Values:
        """The next faces of the same cell, then the first again."""
        return self.shown(name, origin, cell, request) if cell else {self.screen.cell: None}

    def shown(self, name: str, origin: str, cell: Any, request: gr.Request) -> Values:
        """The faces behind a cell, from the first that is to be shown on."""
        s, (clicked, first) = self.screen, cell
        with told(request):
            of = behind(opened(name), origin, clicked, first)
            with running(request.session_hash, "faces") as cancel, drawing(request, AT_ONCE, cancel) as spent:
                watch = Watch(cancel=cancel, spent=spent)
                try:
                    faces = panel(of, language_of(request), partial(drawn_again, watch=watch))
                except Cancelled:
                    raise ValueError(spent.ended or "stopped") from None
            return beneath(s, of, clicked, faces)


def audit_tab(tab: gr.Tab) -> None:
    """Builds the tab inside a `gr.Blocks`, and ties it to what happens."""
    s = screen()
    on = Events(s)
    hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    faces = [s.faces, s.further, s.rows, s.cell]
    whole = [s.map, s.more, *faces]
    gr.on([tab.select, s.audit.input], on.filled, s.audit, [s.origin, s.report, s.overview, *whole], **hidden)
    s.origin.input(on.chosen, [s.audit, s.origin], whole, **hidden)
    draws: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model", "api_visibility": "private"}
    draws |= {"show_progress": "full", "show_progress_on": s.faces}
    s.map.select(on.picked, [s.audit, s.origin], faces, trigger_mode="always_last", **draws)
    s.further.click(on.turned, [s.audit, s.origin, s.cell], faces, **draws)
