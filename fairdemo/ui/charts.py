"""Histograms of a comparison: baseline, debiased and target by class, with intervals. `page.js` lights up
the faces behind a bar."""

from typing import Any

import plotly.graph_objects as go

from fairdemo.comparison import Comparison
from fairdemo.stats.attributes import AGE_BANDS, CLASSES
from fairdemo.ui.text import say

INK = (  # lines; the theme colours the text, since no one grey is readable on both white and near-black
    "#7a808c"
)
BASELINE, DEBIASED, TARGET = "#9aa1ad", "#2A788E", "#E69F00"


def histogram(
    comparison: Comparison, measured: dict[str, Any], attribute: str, corrected: bool, language: str
) -> go.Figure:
    """Shares of an attribute's classes among the found faces, observed or `corrected` for the classifier's
    errors, whiskers for 95 % intervals, a line for the target. `measured` is what `comparison.measures`
    gives."""
    classes = list(CLASSES[attribute][1:] if attribute == "age" else CLASSES[attribute])
    figure = go.Figure()
    for side, colour in (("baseline", BASELINE), ("debiased", DEBIASED)):
        found = measured[side][attribute]
        n, rows = found["n"], [found["classes"][c] for c in classes]
        corrected = corrected and all("corrected" in row for row in rows)
        shares = [row["corrected" if corrected else "share"] for row in rows]
        ends = [row["corrected_interval" if corrected else "interval"] if n else (0, 0) for row in rows]
        figure.add_bar(
            name=say(language, side),
            meta=side,
            x=classes,
            y=shares,
            marker=dict(color=colour, line=dict(color=INK, width=1)),
            error_y=dict(
                type="data",
                symmetric=False,
                array=[h - s for (_, h), s in zip(ends, shares)],
                arrayminus=[s - low for (low, _), s in zip(ends, shares)],
                color=INK,
                thickness=1.3,
                width=4,
            ),
            customdata=[[row["count"], n, low, high] for row, (low, high) in zip(rows, ends)],
            hovertemplate="%{x}, "
            + say(language, side)
            + ": "
            + say(language, "bar_corrected" if corrected else "bar")
            + "<extra></extra>",
        )
    wanted = comparison.target.get(attribute)
    if wanted and set(wanted) >= set(classes):
        figure.add_scatter(
            name=say(language, "target"),
            x=classes,
            y=[wanted[c] for c in classes],
            mode="markers",
            marker=dict(symbol="line-ew", size=34, color=TARGET, line=dict(width=3, color=TARGET)),
            hovertemplate="%{x}, " + say(language, "target") + ": %{y:.0%}<extra></extra>",
        )
    elif wanted:  # ages are wished for in bands: a bracket over each band's groups
        for band, groups in AGE_BANDS.items():
            places = [classes.index(g) for g in groups if g in classes]
            figure.add_shape(
                type="line",
                x0=min(places) - 0.42,
                x1=max(places) + 0.42,
                y0=0.92,
                y1=0.92,
                line=dict(width=3, color=TARGET),
            )
            figure.add_annotation(
                x=(min(places) + max(places)) / 2,
                y=0.92,
                yanchor="bottom",
                showarrow=False,
                text=f"{say(language, 'target')} {wanted[band]:.0%}",
                font=dict(size=11),
            )
    figure.update_layout(
        title=dict(
            text=say(
                language, "chart_corrected" if corrected else "chart", attribute=say(language, attribute)
            ),
            font=dict(size=14),
            x=0.02,
            y=0.97,
            yanchor="top",
        ),
        barmode="group",
        bargap=0.28,
        height=320,
        margin=dict(l=44, r=8, t=40, b=70),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font=dict(color=INK, size=12),
        legend=dict(orientation="h", x=0.5, xanchor="center", y=-0.30, yanchor="top", font=dict(size=12)),
        hoverlabel=dict(align="left"),
        dragmode=False,
    )
    figure.update_yaxes(
        range=[0, 1],
        tickformat=".0%",
        gridcolor="rgba(128,128,128,.22)",
        zerolinecolor="rgba(128,128,128,.5)",
    )
    figure.update_xaxes(tickangle=0 if len(classes) < 6 else -30)
    return figure
