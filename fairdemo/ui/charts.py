"""Histograms of a comparison: baseline, debiased and target by class, with intervals. `page.js` lights up
the faces behind a bar."""

from functools import partial
from typing import Any

import plotly.graph_objects as go

from fairdemo.comparison import Comparison
from fairdemo.measures import Shares
from fairdemo.pairs import SIDES
from fairdemo.stats.attributes import AGE_BANDS, CLASSES
from fairdemo.ui.language import say

# Of lines; the theme colours the text, since no one grey is readable on both white and near-black.
INK = "#7a808c"
COLOURS = {"baseline": "#9aa1ad", "debiased": "#2A788E"}
TARGET = "#E69F00"


def histogram(comparison: Comparison, attribute: str, corrected: bool, language: str) -> go.Figure:
    """Shares of an attribute's classes among the found faces, observed or `corrected` for the classifier's
    errors, whiskers for 95 % intervals, a line for the target."""
    classes = [c for c in CLASSES[attribute] if c != "0-19"]
    sides = {side: comparison.measures.side(side).of(attribute) for side in SIDES}
    known = all(found.classes[c].corrected is not None for found in sides.values() for c in classes)
    few = any(found.n < found.corrected_from for found in sides.values())
    key = "chart_corrected" if corrected and known else "chart_uncorrected" if corrected and few else "chart"
    corrected = corrected and known
    figure = go.Figure()
    for side, found in sides.items():
        figure.add_bar(meta=side, **bars(found, classes, corrected), **looks(side, corrected, language))
    wanted = comparison.target.get(attribute, {})
    if wanted and set(wanted) >= set(classes):
        figure.add_scatter(**marks(classes, wanted, language))
    elif wanted:
        brackets(figure, classes, wanted, language)
    title = say(language, key, attribute=say(language, attribute))
    dress(figure, title, many=len(classes) >= 6)
    return figure


def bars(found: Shares, classes: list[str], corrected: bool) -> dict:
    """Heights, whiskers, and what pointing at a bar says."""
    rows = [found.classes[c] for c in classes]
    shares = [(row.corrected if corrected else row.share) or 0.0 if found.n else 0.0 for row in rows]
    ends = [(row.corrected_interval if corrected else row.interval) or (0.0, 1.0) for row in rows]
    if not found.n:
        ends = [(0.0, 0.0)] * len(rows)
    whiskers = {
        "array": [high - share for (_, high), share in zip(ends, shares)],
        "arrayminus": [share - low for (low, _), share in zip(ends, shares)],
    }
    return {
        "x": classes,
        "y": shares,
        "error_y": dict(type="data", symmetric=False, color=INK, thickness=1.3, width=4, **whiskers),
        "customdata": [[row.count, found.n, low, high] for row, (low, high) in zip(rows, ends)],
    }


def looks(side: str, corrected: bool, language: str) -> dict:
    """A side's name, colour and hover text."""
    told = say(language, "bar_corrected" if corrected else "bar")
    return {
        "name": say(language, side),
        "marker": dict(color=COLOURS[side], line=dict(color=INK, width=1)),
        "hovertemplate": f"%{{x}}, {say(language, side)}: {told}<extra></extra>",
    }


def marks(classes: list[str], wanted: dict[str, float], language: str) -> dict:
    """A line for each class's wanted share."""
    target = say(language, "target")
    return {
        "name": target,
        "x": classes,
        "y": [wanted[c] for c in classes],
        "mode": "markers",
        "marker": dict(symbol="line-ew", size=34, color=TARGET, line=dict(width=3, color=TARGET)),
        "hovertemplate": f"%{{x}}, {target}: %{{y:.0%}}<extra></extra>",
    }


def brackets(figure: go.Figure, classes: list[str], wanted: dict[str, float], language: str) -> None:
    """Ages are wished for in bands: a bracket over each band's groups."""
    line = dict(width=3, color=TARGET)
    for band, groups in AGE_BANDS.items():
        places = [classes.index(g) for g in groups if g in classes]
        first, last = min(places), max(places)
        figure.add_shape(type="line", x0=first - 0.42, x1=last + 0.42, y0=0.92, y1=0.92, line=line)
        text = f"{say(language, 'target')} {wanted[band]:.0%}"
        note = partial(figure.add_annotation, y=0.92, yanchor="bottom", showarrow=False, font=dict(size=11))
        note(x=(first + last) / 2, text=text)


def dress(figure: go.Figure, title: str, many: bool) -> None:
    """Title, axes and legend; labels of many classes are turned."""
    clear = "rgba(0,0,0,0)"
    figure.update_layout(
        title=dict(text=title, font=dict(size=14), x=0.02, y=0.97, yanchor="top"),
        barmode="group",
        bargap=0.28,
        height=320,
        margin=dict(l=44, r=8, t=40, b=70),
        paper_bgcolor=clear,
        plot_bgcolor=clear,
        font=dict(color=INK, size=12),
        legend=dict(orientation="h", x=0.5, xanchor="center", y=-0.30, yanchor="top", font=dict(size=12)),
        hoverlabel=dict(align="left"),
        dragmode=False,
    )
    grid: dict[str, Any] = dict(gridcolor="rgba(128,128,128,.22)", zerolinecolor="rgba(128,128,128,.5)")
    figure.update_yaxes(range=[0, 1], tickformat=".0%", **grid)
    figure.update_xaxes(tickangle=-30 if many else 0)
