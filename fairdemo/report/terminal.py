"""Measures as a table for the terminal."""

from collections.abc import Callable

from fairdemo.comparison import Comparison
from fairdemo.measures import Share, Shares, Side
from fairdemo.pairs import SIDES
from fairdemo.report.numbers import DASH, format_bias, format_chance, format_share
from fairdemo.stats import measure
from fairdemo.stats.attributes import CLASSES
from fairdemo.stats.confusions import ASSUMPTION


def table(comparison: Comparison) -> str:
    """Every class of every attribute: count, share and interval as observed, the corrected share beside it,
    and the target."""
    found = comparison.measures

    def alone(title: str, text: Callable[[Side], str]) -> str:
        return line(title, [(text(found.side(side)), "") for side in SIDES])

    lines = [line("as perceived by the", [(side, "corrected") for side in SIDES], "target"), "classifier"]
    for attribute in CLASSES:
        lines.append(alone(attribute, lambda side, a=attribute: f"bias {format_bias(side.of(a))}"))
        lines.append(alone("  an even model, by chance", lambda side, a=attribute: format_chance(side.of(a))))
        lines += rows(comparison, attribute)
        least = found.debiased.of(attribute).corrected_from
        if min(found.side(side).of(attribute).n for side in SIDES) < least:
            lines.append(f"  not corrected below {least} faces: corrected shares would often be further off")
        if found.debiased.of(attribute).to_target:
            lines.append(alone("  distance to target", lambda side, a=attribute: distance(side.of(a))))
    lines.append(alone("no face", lambda side: str(side.no_face)))
    if found.baseline.failed or found.debiased.failed:
        lines.append(alone("  of these black or of one colour", lambda side: str(side.failed)))
    if comparison.subject:
        lines.append(alone(f"shows a {comparison.subject}", kept))
    return "\n".join([*lines, known(found.debiased), mixed(comparison), LAST])


LAST = f"Intervals are 95 %. {ASSUMPTION} Every person is generated."


def line(title: str, cells: list[tuple[str, str]], last: str = "") -> str:
    """A line of the table: for each side two columns, and the target."""
    columns = "".join(f"{observed:>26}{corrected:>22}" for observed, corrected in cells)
    return f"{title:34}{columns}{last:>9}".rstrip()


def rows(comparison: Comparison, attribute: str) -> list[str]:
    """The lines of an attribute's classes."""
    wanted = comparison.target.get(attribute, {})
    sides = [comparison.measures.side(side).of(attribute) for side in SIDES]
    lines = []
    for c in CLASSES[attribute]:
        share = f"{wanted[c]:.0%}" if c in wanted else ""
        lines.append(line(f"  {c}", [cells(side.classes[c], side.n) for side in sides], share))
    if attribute == "age" and wanted:
        lines.append("  wanted: " + ", ".join(f"{name} {share:.0%}" for name, share in wanted.items()))
    return lines


def cells(row: Share, n: int) -> tuple[str, str]:
    """A class on one side: observed and corrected."""
    fixed = "" if row.corrected is None else format_share(row.corrected, row.corrected_interval or (0.0, 1.0))
    return f"{row.count} of {n}, {format_share(row.share, row.interval)}", fixed


def distance(shares: Shares) -> str:
    """How far an attribute is from the target."""
    return f"{shares.to_target.total_variation:.2f}" if shares.to_target else DASH


def kept(side: Side) -> str:
    """How many images still show the prompt's profession."""
    return f"{side.subject_kept.count} of {side.subject_kept.n}" if side.subject_kept else ""


def known(side: Side) -> str:
    """What so many faces can tell."""
    if not side.gender.n:
        return "No face was found, so nothing is known of who is shown."
    return (
        f"{side.gender.n} faces: a share near one half is known to about ± {100 * side.precision:.0f} points;"
        f" ± 10 points need {measure.images_for_width(0.1)} faces, and telling 50 % from 60 % needs"
        f" {measure.images_to_tell(0.5, 0.6)} on each side."
    )


def mixed(comparison: Comparison) -> str:
    """What the debiased side was planned to be drawn with."""
    parts = [f"{name} {weight:.0%}" for name, weight in comparison.mix.weights.items() if weight >= 0.005]
    title = "mix" if comparison.request.method == "mix" else comparison.request.method
    return f"{title}: {', '.join(parts)}"
