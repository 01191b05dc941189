"""What stands behind a person: soft, out-of-focus places, one per kind, tinted by one colour."""

import math

from fairdemo.world.field import fast, noise, step

KINDS = (
    "plain",
    "clinic",
    "shelves",
    "board",
    "tiles",
    "field",
    "foliage",
    "skyline",
    "curtain",
    "bricks",
    "screens",
    "wood",
    "spotlight",
    "sky",
    "blots",
    "scaffold",
    "window",
    "mirror",
)
(
    PLAIN,
    CLINIC,
    SHELVES,
    BOARD,
    TILES,
    FIELD,
    FOLIAGE,
    SKYLINE,
    CURTAIN,
    BRICKS,
    SCREENS,
    WOOD,
    SPOTLIGHT,
    SKY,
    BLOTS,
    SCAFFOLD,
    WINDOW,
    MIRROR,
) = range(18)


@fast
def band(x, period, width, soft):
    """1 on stripes of `width` every `period`, with edges `soft` wide."""
    t = abs(x / period - math.floor(x / period) - 0.5) * period
    return step(width * 0.5 + soft, width * 0.5 - soft, t)


@fast
def paint(u, v, s, out):
    """Linear RGB at (u, v) in [-1, 1], v pointing down, into `out`."""
    kind = s.backdrop_kind
    m = 1.0
    r = s.wall_r
    g = s.wall_g
    b = s.wall_b
    if kind == CLINIC:
        m = 1.0 - 0.10 * band(u + 0.2, 0.9, 0.06, 0.03)
        panel = step(0.30, 0.24, abs(u - 0.80)) * step(0.26, 0.20, abs(v + 0.62))
        r += 0.20 * panel
        g += 0.22 * panel
        b += 0.22 * panel
    elif kind == SHELVES:
        book = noise(math.floor(u * 11) * 1.7, math.floor((v + 1) * 2.6) * 3.1, 5.0)
        tone = 0.75 + 0.55 * book
        plank = band(v + 0.02, 0.385, 0.06, 0.02)
        gap = 0.35 * band(u * 11, 1.0, 0.12, 0.08)
        m = (tone * (1 - gap)) * (1 - plank) + 0.40 * plank
        r *= 1 + 0.5 * math.sin(book * 9)
        b *= 1 + 0.4 * math.cos(book * 7)
    elif kind == BOARD:
        chalk = step(0.45, 0.6, noise(u * 9, v * 14, 2.0)) * step(0.9, 0.8, abs(u)) * 0.16
        frame = step(0.84, 0.88, -v)
        r += chalk + 0.25 * frame
        g += chalk + 0.14 * frame
        b += chalk + 0.05 * frame
    elif kind == TILES:
        m = 1.0 - 0.28 * max(band(u, 0.28, 0.03, 0.02), band(v, 0.28, 0.03, 0.02))
    elif kind == FIELD:
        ground = step(0.02, 0.12, v + 0.04 * math.sin(u * 3))
        r = 0.42 * (1 - ground) + r * ground * (0.85 + 0.25 * math.sin(v * 60))
        g = 0.62 * (1 - ground) + g * ground * (0.85 + 0.25 * math.sin(v * 60))
        b = 0.85 * (1 - ground) + b * ground
    elif kind == FOLIAGE:
        m = 0.80 + 0.55 * noise(u * 6, v * 6, 3.0) + 0.25 * noise(u * 13, v * 13, 8.0)
    elif kind == SKYLINE:
        h = 0.15 + 0.45 * noise(math.floor(u * 5) * 2.3, 1.0, 4.0)
        tower = step(-0.02, 0.02, v + h)
        lit = band(u, 0.1, 0.05, 0.015) * band(v, 0.13, 0.06, 0.015) * tower
        m = 1.0 - 0.55 * tower
        r += 0.30 * lit
        g += 0.24 * lit
        b += 0.10 * lit
    elif kind == CURTAIN:
        m = 0.80 + 0.28 * math.sin(u * 17 + 0.5 * math.sin(v * 3))
    elif kind == BRICKS:
        row = math.floor(v / 0.2)
        m = 1.0 - 0.35 * max(band(v, 0.2, 0.03, 0.015), band(u + 0.2 * (row % 2), 0.4, 0.03, 0.015))
        m *= 0.92 + 0.14 * noise(math.floor(u / 0.4 + 0.5 * (row % 2)) * 3.0, row * 5.0, 1.0)
    elif kind == SCREENS:
        row = math.floor((v + 1) * 9)
        length = 0.35 + 0.45 * noise(row * 2.1, 3.0, 7.0)
        line = (
            band(v + 1.0, 1 / 9, 0.045, 0.015)
            * step(length, length - 0.06, abs(u) - 0.35)
            * step(0.38, 0.45, abs(u))
        )
        g += 0.34 * line
        b += 0.20 * line
        r += 0.06 * line
    elif kind == WOOD:
        m = 0.85 + 0.16 * noise(u * 2.2, v * 18, 1.0) - 0.25 * band(u, 0.55, 0.03, 0.02)
    elif kind == SPOTLIGHT:
        beam = math.exp(-(((u - 0.25 * (v + 1)) / 0.30) ** 2)) + math.exp(
            -(((u + 0.6 + 0.25 * (v + 1)) / 0.25) ** 2)
        )
        m = 0.35 + 1.2 * beam * step(1.2, -1.0, v)
    elif kind == SKY:
        cloud = step(0.05, 0.5, noise(u * 2.2, v * 4.0, 6.0)) * 0.35
        r += cloud
        g += cloud
        b += cloud * 0.7
    elif kind == BLOTS:
        a = noise(u * 3.5, v * 3.5, 2.0)
        r *= 1 + 0.9 * a
        g *= 1 + 0.9 * noise(u * 3.5 + 7, v * 3.5, 2.0)
        b *= 1 + 0.9 * noise(u * 3.5, v * 3.5 + 7, 2.0)
    elif kind == SCAFFOLD:
        m = 1.0 - 0.45 * max(
            band(u + 0.28, 0.62, 0.06, 0.015),
            max(band(v, 0.55, 0.05, 0.015), 0.8 * band(u + v, 0.62, 0.04, 0.015)),
        )
    elif kind == WINDOW:
        pane = step(0.62, 0.56, abs(abs(u) - 0.72) * 2.2) * step(0.55, 0.50, abs(v + 0.35))
        r += 0.35 * pane
        g += 0.40 * pane
        b += 0.45 * pane
    elif kind == MIRROR:
        d = math.sqrt(u * u + (v + 0.15) ** 2)
        bulbs = step(0.05, 0.03, abs(d - 0.95)) * (0.5 + 0.5 * math.sin(math.atan2(v + 0.15, u) * 16))
        r += 0.6 * bulbs
        g += 0.5 * bulbs
        b += 0.35 * bulbs
    cx = u + 0.25 * s.light_x
    fall = 0.55 + 0.55 * math.exp(-(cx * cx + (v - 0.05) ** 2) * 0.9)
    out[0] = max(0.0, r * m * fall)
    out[1] = max(0.0, g * m * fall)
    out[2] = max(0.0, b * m * fall)
