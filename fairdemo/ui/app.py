"""The page: tabs, theme, and serving it."""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import gradio as gr

import fairdemo
from fairdemo import memory, places
from fairdemo.audit import report, summary
from fairdemo.console import print_whatever
from fairdemo.ending import sigterm_is_ctrl_c
from fairdemo.models import gpu
from fairdemo.studio.live import LIVES, MODEL
from fairdemo.ui import pictures, reach, wall_file
from fairdemo.ui.about_tab import about_tab
from fairdemo.ui.api import Blocks, endpoints
from fairdemo.ui.audit_tab import audit_tab
from fairdemo.ui.class_routes import ROUTES as CLASS
from fairdemo.ui.class_tab import class_tab
from fairdemo.ui.data_tab import data_tab
from fairdemo.ui.door import LARGEST_FILE, before
from fairdemo.ui.health import ROUTES as HEALTH
from fairdemo.ui.language import I18N, label
from fairdemo.ui.log import failed, log
from fairdemo.ui.methods_tab import methods_tab
from fairdemo.ui.offered import EXAMPLE, default, studio
from fairdemo.ui.operator import operator
from fairdemo.ui.port import read_port
from fairdemo.ui.saved_tab import saved_tab
from fairdemo.ui.studio_events import wire
from fairdemo.ui.studio_view import screen
from fairdemo.ui.templates import render
from fairdemo.ui.visits import AT_ONCE, RUNNING, left

HERE = Path(__file__).parent
TIDIED, PASSES = 60.0, 7200.0  # seconds between looks at files and memory, and for which a file stays
LAST, CLOSES = 2.5, 1.5  # seconds that a program which is to end gives what runs, and open pages
# Seconds that a connection may rest: where a browser or proxy expects more, a request on it would fail.
KEPT_OPEN = 75
HEAD_START = 2.0  # seconds in which the first page has the processor to itself
THEME = gr.themes.Soft(
    primary_hue="teal",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
    block_title_background_fill="none",
    block_title_background_fill_dark="none",
    block_title_text_color="*body_text_color",
    block_title_text_color_dark="*body_text_color",
    block_title_padding="0",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_label_text_color="*body_text_color",
    checkbox_label_text_color="*body_text_color",
)


def page() -> gr.Blocks:
    """The whole page."""
    title = "fairdemo: who does an image model draw?"
    with Blocks(title=title, fill_width=True, analytics_enabled=False, delete_cache=(3600, 7200)) as blocks:
        gr.HTML(render("brand.html"), elem_id="brand", apply_default_css=False)
        with gr.Tab(label("tab_studio"), id="studio"):
            wire(screen(), blocks)
        with gr.Tab(label("tab_methods"), id="methods"):
            methods_tab()
        if summary.offered():
            with gr.Tab(label("tab_audit"), id="audit") as audit:
                audit_tab(audit)
        if summary.offered(summary.DATA_SETS):
            with gr.Tab(label("tab_data"), id="data") as data:
                data_tab(data)
        with gr.Tab(label("tab_class"), id="class") as lesson:
            class_tab(lesson)
        with gr.Tab(label("tab_saved"), id="saved"):
            saved_tab()
        with gr.Tab(label("tab_about"), id="about"):
            about_tab()
        endpoints()
        blocks.unload(left)
    return blocks


def warm() -> None:
    """Loads the default model and lets it draw a little, so that the first visitor's first drawing takes no
    longer than later ones; whoever opens the page as soon as it is there comes first."""
    time.sleep(HEAD_START)
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    try:
        artist = studio(default()).artist
        artist.load()
        if not gpu.ZERO:  # there a GPU is lent for visitors' drawings alone
            artist.warm(EXAMPLE)
    except ValueError as error:  # a visitor who draws is told the same, and can choose another model
        print(f"fairdemo: {error}", file=sys.stderr)
    except Exception as error:  # whatever it is, the page is there, and says it to whoever draws
        failed(error)
        print(f"fairdemo: the model isn't ready: {type(error).__name__}: {error}", file=sys.stderr)
    # What is loaded stays: walking through all of it would stop a moving slider for half a second.
    gc.collect()
    gc.freeze()


def head() -> str:
    """Our style and script. Gradio would put a prefix before the selectors of a style that it is given, and
    states of the whole page, such as Present, are classes of its root."""
    names = ("theme.css", "fallbacks.js", "page.js", "arena.js")
    style, *scripts = ((HERE / name).read_text(encoding="utf-8") for name in names)
    return f"<style>{report.style()}{style}</style>" + "".join(
        f"<script>{script}</script>" for script in scripts
    )


def tidies() -> None:
    """Keeps visitors' files within their quota and age, and memory to what is used, as long as the program
    runs."""
    while True:
        try:
            places.tidy(places.passing(), operator().quota_gb * 1e9, PASSES)
        except OSError as error:
            failed(error)
        memory.give_back()
        time.sleep(TIDIED)


def quiet() -> None:
    """Ends what is drawn, at its next step, and waits for the model a little: a program that ends while torch
    computes is aborted."""
    for cancels in list(RUNNING.values()):
        for cancel in cancels:
            cancel.set()
    for live in list(LIVES.values()):
        live.turns.touch()
    with suppress(TimeoutError):
        MODEL.do(lambda: None, LAST)


def launch(profile: str | None = None, started: Callable[[int], None] = lambda port: None) -> None:
    """Serves the page, with `profile` or what FAIRDEMO_PROFILE says as its default; the model is loaded
    while the browser opens. `started` is told the port once the page is there. ValueError if the port that
    was asked for is in use."""
    if profile is not None:
        os.environ["FAIRDEMO_PROFILE"] = ",".join(filter(None, (profile, os.environ.get("FAIRDEMO_PROFILE"))))
    sigterm_is_ctrl_c()
    print_whatever()
    own, port = operator(), read_port()
    os.environ["GRADIO_TEMP_DIR"] = str(places.passing())
    # Gradio would make a table of all events so far at each event, for a page of its own that nobody opens.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
    sys.setswitchinterval(0.0005)  # a page mustn't wait for Python threads that load and draw
    threading.Thread(target=warm, daemon=True).start()
    threading.Thread(target=tidies, daemon=True, name="tidies").start()
    blocks = page().queue(default_concurrency_limit=4, max_size=400)
    try:
        blocks.launch(
            prevent_thread_lock=True,
            server_port=port,  # this one or none: a proxy or a firewall counts on it
            max_threads=2 * AT_ONCE,  # whoever waits for images holds one
            theme=THEME,
            head=head(),
            i18n=I18N,
            footer_links=["gradio", "settings"],
            max_file_size=LARGEST_FILE,
            # Tools call the server without its password.
            mcp_server=own.api == own.mcp == "on" and not own.password,
            ssr_mode=False,  # Node's pages would pass by the door
            share=reach.shared(),  # and not because a notebook is somewhere
            app_kwargs={
                "routes": [*pictures.ROUTES, *wall_file.ROUTES, *CLASS, *HEALTH],
                "middleware": before(),
            },
        )
        assert blocks.server is not None
        blocks.server.config.timeout_keep_alive = KEPT_OPEN
        log("started", version=fairdemo.__version__, profile=default(), port=blocks.server_port)
        started(blocks.server_port)
        while True:
            time.sleep(1)
    except OSError as error:
        if blocks.is_running or port is None:
            raise
        raise ValueError(f"port {port} can't be used, another program may have it; name another") from error
    except KeyboardInterrupt:  # also while it starts
        quiet()
        log("stopped")
    # What still runs, or a page that is open, is waited for no longer; what is on the disk is whole.
    guard = threading.Timer(CLOSES, os._exit, [0])
    guard.daemon = True
    guard.start()
    blocks.close(verbose=False)
