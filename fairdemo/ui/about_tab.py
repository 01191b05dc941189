"""What the labels mean, what the embedded world is, where it falls short, and what it rests on."""

import gradio as gr

from fairdemo.models.catalog import catalog
from fairdemo.models.profiles import PROFILES
from fairdemo.places import SHIPPED
from fairdemo.ui.language import label


def about_tab() -> None:
    """Builds the tab inside a `gr.Blocks`."""
    gr.Button(label("tour"), elem_id="show-tour", size="sm", scale=0)
    for key in ("about_labels", "about_world", "about_papers", "about_licenses"):
        gr.Markdown(label(key))
    with gr.Accordion(label("card"), open=False):
        gr.Markdown((SHIPPED / "assets" / "README.md").read_text(encoding="utf-8"))
    rows = [
        [a.name, a.base, " ".join(a.cell), a.weight, a.license, a.source]
        for base in dict.fromkeys(p.adapters for p in PROFILES.values())
        for a in catalog(base)
    ]
    gr.Dataframe(
        rows,
        headers=["adapter", "for", "draws", "weight", "license", "source"],
        interactive=False,
        label=label("adapters"),
        wrap=True,
    )
