"""Opens a downloaded comparison without any model."""

from pathlib import Path

import gradio as gr

from fairdemo.stats.attributes import CLASSES
from fairdemo.ui import share
from fairdemo.ui.compare_tab import numbers_of
from fairdemo.ui.face_wall import wall
from fairdemo.ui.text import label, language_of, say


def opened(path: str | None, request: gr.Request) -> list:
    """Walls, charts and words of a zip; a notice says why one can't be opened."""
    language = language_of(request)
    if path is None:
        return [gr.skip()] * 7 + [gr.Column(visible=False)]
    try:
        comparison = share.unpack(Path(path))
    except ValueError as error:
        raise gr.Error(str(error), title=say(language, "check_input"), print_exception=False) from None
    n = len(comparison.pairs)
    return [
        wall(comparison, "baseline", n, language),
        wall(comparison, "debiased", n, language),
        *numbers_of(comparison, False, language),
        gr.Column(visible=True),
    ]


def saved_tab() -> None:
    file = gr.File(label=label("open_file"), file_types=[".zip"], elem_id="saved-file")
    gr.Markdown(label("open_info"))
    with gr.Column(visible=False, elem_id="saved") as area:
        with gr.Row(equal_height=False):
            walls = [gr.HTML("", min_height=200, apply_default_css=False) for _ in range(2)]
        with gr.Row():
            plots = [gr.Plot(show_label=False, min_width=280) for _ in CLASSES]
        words, table = (gr.HTML("", apply_default_css=False) for _ in range(2))
    file.change(
        opened, file, [*walls, *plots, words, table, area], show_progress="hidden", api_visibility="private"
    )
