"""What the counts say, in words and in a table of race and gender together. Every number comes with its
count and interval."""

import html
from collections import Counter
from typing import Any

from fairdemo.comparison import SIDES, Comparison
from fairdemo.stats import measure
from fairdemo.stats.attributes import GENDERS, RACES
from fairdemo.ui.text import WORDS, say


def info(language: str, key: str) -> str:
    """An "i" that opens two sentences on what a number is, with the source."""
    return (
        f'<button type="button" class="info" popovertarget="{key}"'
        f' aria-label="{say(language, "what_is_this")}">i</button>'
    )


def explanations(language: str) -> str:
    """What the "i"s open, once for the page."""
    return "".join(
        f'<div popover id="{key}" class="explained">{html.escape(say(language, key))}</div>'
        for key in WORDS["en"]
        if key.startswith("info_")
    )


def findings(comparison: Comparison, found: dict[str, Any], language: str) -> str:
    """One card an attribute, then what else was counted; `found` is what `comparison.measures` gives."""
    if not comparison.pairs:
        return ""
    cards = "".join(card(comparison, found, attribute, language) for attribute in ("gender", "race", "age"))
    n = len(comparison.pairs)
    notes = [
        say(language, "no_face", before=found["baseline"]["no_face"], after=found["debiased"]["no_face"], n=n)
    ]
    if comparison.subject:
        notes.append(
            say(
                language,
                "kept",
                subject=comparison.subject,
                before=found["baseline"]["subject_kept"]["count"],
                after=found["debiased"]["subject_kept"]["count"],
                n=n,
            )
            + info(language, "info_kept")
        )
    faces = found["debiased"]["gender"]["n"]
    low, high = measure.interval(round(faces / 2), faces)
    notes.append(say(language, "know", n=faces, half=50 * (high - low), need=measure.images_for_width(0.1)))
    notes.append(say(language, "labels"))
    return (
        f'<div class="findings">{cards}</div><ul'
        f' class="notes">{"".join(f"<li>{note}</li>" for note in notes)}</ul>'
    )


def card(comparison: Comparison, found: dict[str, Any], attribute: str, language: str) -> str:
    """The class that matters most in words, bias(P), the distance to the target, and whether the change is
    more than chance."""
    rows = {side: found[side][attribute]["classes"] for side in SIDES}
    name = (
        "Female"
        if attribute == "gender"
        else max(rows["baseline"], key=lambda c: rows["baseline"][c]["count"])
    )
    lines = []
    for side, word in zip(SIDES, ("before", "after")):
        row, n = rows[side][name], found[side][attribute]["n"]
        text = say(
            language,
            "of",
            count=row["count"],
            n=n,
            share=row["share"],
            low=row["interval"][0],
            high=row["interval"][1],
        )
        fixed = ""
        if "corrected" in row:
            low, high = row["corrected_interval"]
            fixed = f"<small>{say(language, 'corrected_of', share=row['corrected'], low=low, high=high)}{info(language, 'info_corrected')}</small>"
        lines.append(f"<p><b>{say(language, word)}</b> {text} {fixed}</p>")
    wanted = comparison.target.get(attribute, {}).get(name)
    title = (say(language, "women") if attribute == "gender" else name) + (
        f" <small>{say(language, 'wanted_share', share=wanted)}</small>" if wanted is not None else ""
    )
    both = [
        say(
            language,
            "bias",
            before=found["baseline"][attribute]["bias"],
            after=found["debiased"][attribute]["bias"],
        )
        + info(language, "info_bias")
    ]
    if all("to_target" in found[side][attribute] for side in SIDES):
        before, after = (found[side][attribute]["to_target"]["total_variation"] for side in SIDES)
        both.append(say(language, "distance", before=before, after=after) + info(language, "info_distance"))
    if attribute in found["twins"]:
        p = found["twins"][attribute]["p"]
        both.append(
            say(
                language,
                "enough" if p < 0.05 else "not_enough",
                n=found["twins"]["n"],
                p="< 0.001" if p < 0.001 else f"= {p:.3f}",
            )
            + info(language, "info_p")
        )
    aside = "".join(f"<li>{line}</li>" for line in both)
    return (
        "<section"
        f' class="card"><h4>{title}{info(language, "info_interval")}</h4>{"".join(lines)}<ul>{aside}</ul></section>'
    )


def cells(comparison: Comparison, language: str) -> str:
    """Race and gender together, before and after: a table whose shade follows the share."""
    if not comparison.pairs:
        return ""
    sides = []
    for side in SIDES:
        faces = comparison.faces(side)
        counts = Counter((f.race, f.gender) for f in faces)
        top = max([*counts.values(), 1])
        head = "".join(f"<th scope='col'>{g}</th>" for g in GENDERS)
        body = "".join(
            f"<tr><th scope='row'>{r}</th>"
            + "".join(shade(counts[r, g], top, len(faces)) for g in GENDERS)
            + "</tr>"
            for r in RACES
        )
        sides.append(
            f"<table><caption>{say(language, side)},"
            f" {len(faces)}</caption><tr><td></td>{head}</tr>{body}</table>"
        )
    return (
        '<section class="cells"'
        f' aria-label="{say(language, "cells")}"><h4>{say(language, "cells")}</h4><div>{"".join(sides)}</div></section>'
    )


def shade(count: int, top: int, n: int) -> str:
    low, high = measure.interval(count, n)
    return (
        f'<td style="--share:{count / top:.2f}" title="{count} of {n}, {low:.0%} to {high:.0%}">{count}</td>'
    )
