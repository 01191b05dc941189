"""Histograms of a comparison: baseline, debiased and target by class, with intervals."""

import plotly.graph_objects as go

from fairdemo import measure
from fairdemo.attributes import CLASSES
from fairdemo.comparison import Comparison, attribute_measures

INK = "#7a808c"  # lines; the theme colours the text, since no one grey is readable on both white and near-black
BASELINE, DEBIASED, TARGET = "#9aa1ad", "#2A788E", "#E69F00"


def histogram(comparison: Comparison | None, attribute: str) -> go.Figure:
    """Shares of an attribute's classes among the found faces, whiskers for 95 % intervals, a line for the target."""
    classes = list(CLASSES[attribute][1:] if attribute == "age" else CLASSES[attribute])
    figure = go.Figure()
    for side, colour, pattern in (("baseline", BASELINE, "/"), ("debiased", DEBIASED, "")):
        counts = comparison.counts(side)[attribute] if comparison else dict.fromkeys(CLASSES[attribute], 0)
        n = sum(counts.values())
        shares = [counts[c] / n if n else 0 for c in classes]
        ends = [measure.interval(counts[c], n) if n else (0, 0) for c in classes]
        figure.add_bar(name=side, x=classes, y=shares, marker=dict(color=colour, pattern=dict(shape=pattern, fgcolor="white", size=5, solidity=0.25)),
                       error_y=dict(type="data", symmetric=False, array=[h - s for (_, h), s in zip(ends, shares)], arrayminus=[s - low for (low, _), s in zip(ends, shares)],
                                    color=INK, thickness=1.3, width=4),
                       customdata=[[counts[c], n, low, high] for c, (low, high) in zip(classes, ends)],
                       hovertemplate="%{x}, " + side + ": %{customdata[0]} of %{customdata[1]} faces, %{y:.0%} (95 % interval %{customdata[2]:.0%} to %{customdata[3]:.0%})<extra></extra>")
    wanted = comparison.target.get(attribute) if comparison else None
    if wanted and set(wanted) >= set(classes):
        figure.add_scatter(name="target", x=classes, y=[wanted[c] for c in classes], mode="markers",
                           marker=dict(symbol="line-ew", size=34, color=TARGET, line=dict(width=3, color=TARGET)), hovertemplate="%{x}, target: %{y:.0%}<extra></extra>")
    figure.update_layout(title=dict(text=f"{attribute.capitalize()}, as perceived by the classifier", font=dict(size=14), x=0.02, y=0.97, yanchor="top"), barmode="group", bargap=0.28, height=320,
                         margin=dict(l=44, r=8, t=40, b=70), paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font=dict(color=INK, size=12),
                         legend=dict(orientation="h", x=0.5, xanchor="center", y=-0.30, yanchor="top", font=dict(size=12)), hoverlabel=dict(align="left"), dragmode=False)
    figure.update_yaxes(range=[0, 1], tickformat=".0%", gridcolor="rgba(128,128,128,.22)", zerolinecolor="rgba(128,128,128,.5)")
    figure.update_xaxes(tickangle=0 if len(classes) < 6 else -30)
    return figure


def words(comparison: Comparison) -> str:
    """What the counts say, one Markdown line an attribute, each number with its count and interval."""
    sides = {side: comparison.counts(side) for side in ("baseline", "debiased")}
    summary = comparison.summary()["bias"]

    def women(side: str) -> str:
        found = attribute_measures(comparison, side, "gender")
        row = found["classes"]["Female"]
        low, high = row["interval"]
        text = f"{row['count']} of {found['n']}, {row['share']:.0%} (interval {low:.0%} to {high:.0%}"
        return text + (f"; with the classifier's errors taken out {row['corrected']:.0%})" if "corrected" in row else ")")

    wanted = comparison.target.get("gender", {}).get("Female")
    lines = [f"**Women:** baseline {women('baseline')}; debiased {women('debiased')}" + (f"; wanted {wanted:.0%}." if wanted is not None else "; no target set.")]
    for attribute in CLASSES:
        lines.append(f"**bias(P) for {attribute}:** {summary['baseline'][attribute]:.2f} before, {summary['debiased'][attribute]:.2f} after (0 is balance).")
    missing = {side: sides[side]["no_face"] for side in sides}
    lines.append(f"**No face found:** {missing['baseline']} baseline, {missing['debiased']} debiased, of {len(comparison.pairs)} pairs. "
                 "Labels are as perceived by the classifier; every person is generated.")
    return "\n\n".join(lines)
