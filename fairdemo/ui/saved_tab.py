"""Opens a downloaded comparison without any model."""

from pathlib import Path

import gradio as gr

from fairdemo.pairs import SIDES
from fairdemo.report import archive
from fairdemo.stats.attributes import CLASSES
from fairdemo.ui import charts
from fairdemo.ui.face_wall import wall
from fairdemo.ui.findings import cells, findings
from fairdemo.ui.language import label, language_of
from fairdemo.ui.studio_events import Values, told
from fairdemo.ui.studio_view import PLAIN


def saved_tab() -> None:
    """Builds the tab inside a `gr.Blocks`."""
    file = gr.File(label=label("open_file"), file_types=[".zip"], elem_id="saved-file")
    gr.Markdown(label("open_info"))
    with gr.Column(visible=False, elem_id="saved") as area:
        with gr.Row(equal_height=False):
            walls = {side: gr.HTML("", min_height=200, **PLAIN) for side in SIDES}
        with gr.Row():
            plots = {a: gr.Plot(show_label=False, min_width=280) for a in CLASSES}
        words, table = (gr.HTML("", **PLAIN) for _ in range(2))
    held = gr.State(None, time_to_live=3600)  # as long as the page shows its pictures

    def opened(path: str | None, request: gr.Request) -> Values:
        """Walls, charts and words of a zip; a notice says why one can't be opened."""
        if path is None:
            return {area: gr.Column(visible=False)}
        language = language_of(request)
        with told(request):
            c = archive.unzipped(Path(path))
        return {
            **{walls[side]: wall(c, side, len(c.pairs), language, {}, {}) for side in SIDES},
            **{plots[a]: charts.histogram(c, a, False, language) for a in CLASSES},
            words: findings(c, language),
            table: cells(c, language),
            held: c,
            area: gr.Column(visible=True),
        }

    outputs = [*walls.values(), *plots.values(), words, table, held, area]
    file.change(opened, file, outputs, show_progress="hidden", api_visibility="private")
