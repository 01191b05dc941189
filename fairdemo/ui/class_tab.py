"""The Class tab: the teacher's page in the app's own. It is a page of its own so that it works without
Gradio, as the phones' does."""

import gradio as gr

from fairdemo.ui.language import language_of
from fairdemo.ui.studio_view import PLAIN
from fairdemo.ui.templates import render


def class_tab(blocks: gr.Tab) -> None:
    """Builds the tab; the teacher's page is fetched once somebody opens it."""
    page = gr.HTML("", elem_id="class-page", **PLAIN)

    def opened(request: gr.Request) -> str:
        """The teacher's page, in the visitor's language."""
        language = language_of(request)
        return render("class_tab.html", language, lang=language)

    blocks.select(opened, None, page, show_progress="hidden", api_visibility="private")
