"""What a study comes to before anything is drawn: images, time and disk."""

import math
import time
from dataclasses import dataclass

from fairdemo.audit import painter
from fairdemo.audit.run import asked_of
from fairdemo.audit.study import BASELINE, PROFILE, Origin, Study
from fairdemo.stats.stopping import looks
from fairdemo.studio.studio import Studio

# Of 512 numbers and the labels; of a WebP of the embedded model's 256 px, in proportion to the pixels.
BYTES_A_ROW, BYTES_AN_IMAGE, AT_SIDE = 2_600, 9_000, 256


@dataclass(frozen=True)
class Part:
    """What an origin comes to at most."""

    origin: Origin
    prompts: int
    images: int
    seconds: float  # an image, on one device of this machine; nan: nobody knows
    side: int  # px


@dataclass(frozen=True)
class Planned:
    """What a study comes to at most."""

    parts: list[Part]
    looks: tuple[int, ...]  # after how many images a prompt may end; empty: fixed
    kept: bool  # whether images are

    @property
    def images(self) -> int:
        """Of all origins."""
        return sum(part.images for part in self.parts)

    @property
    def seconds(self) -> float:
        """On one device of this machine, of what is known."""
        return sum(part.images * part.seconds for part in self.parts if not math.isnan(part.seconds))

    @property
    def bytes(self) -> float:
        """On disk."""
        return sum(
            p.images * (BYTES_A_ROW + self.kept * BYTES_AN_IMAGE * (p.side / AT_SIDE) ** 2)
            for p in self.parts
        )


def of(study: Study) -> Planned:
    """What a study comes to; ValueError names what of it can't be drawn. Speed is measured on a few images
    in two steps."""
    painter.checked(study)
    parts, speed = [], {}
    for origin in study.origins:
        asked = asked_of(study, origin)
        key, mine = (origin.model, origin.guidance), origin.kind == PROFILE
        if key not in speed:
            speed[key] = seconds(origin) if mine else math.nan
        own = painter.live(origin.model if mine else study.reader)
        calls = called(origin) if mine else 1.0
        images = sum(a.images for a in asked)
        parts.append(Part(origin, len(asked), images, calls * speed[key], own.profile.shown))
    plan = tuple(look.n for look in looks(study.half_width)) if study.half_width else ()
    return Planned(parts, plan, study.keep)


def called(origin: Origin) -> float:
    """How many calls of the U-Net an origin's images cost against the baseline's."""
    if origin.method == BASELINE:
        return 1.0
    return max(m.calls for m in Studio(painter.live(origin.model)).asked(origin.method))


def seconds(origin: Origin) -> float:
    """About how long an image takes, from a few in two steps."""
    own = painter.live(origin.model)
    own.load()
    own.warm("a photo of a person")
    start = time.perf_counter()
    own.warm("a photo of a person")
    images = 2 * own.profile.first
    return (time.perf_counter() - start) / images * own.profile.steps / 2


def told(planned: Planned) -> str:
    """A plan in lines."""
    lines = [f"{'origin':44}{'prompts':>9}{'images':>10}{'seconds each':>14}"]
    for p in planned.parts:
        each = "?" if math.isnan(p.seconds) else f"{p.seconds:.2g}"
        lines.append(f"{p.origin.name:44}{p.prompts:>9,}{p.images:>10,}{each:>14}")
    most = "at most " if planned.looks else ""
    open_ = any(math.isnan(p.seconds) for p in planned.parts)
    lines.append(
        f"In all {most}{planned.images:,} images: about {most}{lasting(planned.seconds)} on one device"
        f"{', and what other models and folders take' if open_ else ''},"
        f" {planned.bytes / 1e6:,.0f} MB" + ("." if planned.kept else "; images aren't kept.")
    )
    if planned.looks:
        first, *middle, last = map(str, planned.looks)
        lines.append(f"A prompt may end after {', '.join([first, *middle])} images, and ends after {last}.")
    return "\n".join(lines)


def lasting(seconds_: float) -> str:
    """A time as people say it."""
    if seconds_ < 90:
        return f"{seconds_:.0f} seconds"
    return f"{seconds_ / 60:.0f} minutes" if seconds_ < 5400 else f"{seconds_ / 3600:.1f} hours"
