"""Draws a person: a ray-marched head and shoulders whose every trait is a named parameter.

Two records go in: `Person` (who it is, what they wear) and a seed, from which come the pose, the light and
the expression of this one photograph (`View`). So the same person with two seeds is the same identity,
photographed twice. No photograph of a human being is involved anywhere.

The head is a signed distance field in a frame where the eyes lie at y = 0, the chin near y = -0.95, the
crown near y = 1.0, x points right and z to the camera. Helpers that the kernel calls for each sample are in
lower case and jitted; colours inside the kernel are linear RGB."""

import math
from dataclasses import dataclass, fields

import numpy as np
from numba import njit

from fairdemo.world import backdrop
from fairdemo.world.colour import encode, lab_to_linear, linear
from fairdemo.world.field import capsule, ellipsoid, fast, noise, smooth_max, smooth_min, step

HAIR_STYLES = (
    "bald",
    "buzz",
    "short",
    "side part",
    "short coily",
    "afro",
    "curly",
    "wavy",
    "straight",
    "bob",
    "bun",
    "locs",
)
GARMENTS = (
    "tee",
    "shirt",
    "suit",
    "coat",
    "scrubs",
    "hi-vis",
    "chef",
    "apron",
    "hoodie",
    "robe",
    "uniform",
    "camouflage",
    "plaid",
    "fire coat",
    "waistcoat",
    "cardigan",
    "sequins",
    "smock",
    "blouse",
    "overall",
)
HEADWEAR = (
    "none",
    "toque",
    "hard hat",
    "cap",
    "peaked cap",
    "straw hat",
    "beret",
    "surgical cap",
    "headset",
    "fire helmet",
    "headscarf",
)
NECKWEAR = ("none", "tie", "bow tie", "stethoscope", "neck scarf", "jabot", "lanyard", "necklace")

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Person:
    """Who is drawn. Lengths are relative to the standard head (1.0), shares lie in [0, 1], colours are sRGB
    0-255."""

    age: float = 35.0  # years, 18 to 90
    face_width: float = 1.0
    face_height: float = 1.0
    jaw_width: float = 1.0
    chin_width: float = 1.0
    chin_length: float = 0.0
    cheekbone: float = 1.0
    fullness: float = 0.3  # soft tissue of cheeks and lower face
    nose_width: float = 1.0
    nose_length: float = 1.0
    nose_projection: float = 0.0
    nose_bridge: float = 0.0  # height of the bridge: -1 low to 1 high
    nose_tip: float = 0.0  # -1 upturned to 1 drooping
    eye_spacing: float = 0.285
    eye_size: float = 1.05
    eye_opening: float = 0.075
    eye_tilt: float = 0.04
    eyelid_fold: float = 1.0  # 0 single lid, 1 clear crease
    eyelid_hood: float = 0.0  # skin of the brow resting on the lid
    brow_thickness: float = 1.0
    brow_height: float = 0.185
    brow_arch: float = 1.0
    brow_tilt: float = 0.0
    lip_fullness: float = 1.0
    lip_width: float = 1.0
    ear_size: float = 1.0
    asymmetry: float = 0.0  # -1 to 1
    neck: float = 0.32
    shoulders: float = 1.0

    skin_lightness: float = 62.0  # CIELAB L*
    skin_redness: float = 11.0  # CIELAB a*
    skin_yellowness: float = 17.0  # CIELAB b*
    blush: float = 0.6
    freckles: float = 0.0
    lipstick: float = 0.0
    lashes: float = 0.4
    iris: Colour = (84, 56, 36)

    hair: str = "short"
    hair_colour: Colour = (86, 56, 36)
    hair_volume: float = 0.5
    hair_length: float = 0.5
    hair_part: float = 0.0  # -1 left, 1 right
    grey: float = 0.0
    recession: float = 0.0
    beard: float = 0.0
    moustache: float = 0.0
    stubble: float = 0.0

    glasses: bool = False
    glasses_colour: Colour = (30, 26, 26)
    glasses_width: float = 0.19
    glasses_height: float = 0.15
    earrings: bool = False
    garment: str = "tee"
    garment_colour: Colour = (70, 90, 120)
    accent_colour: Colour = (230, 232, 235)
    neckwear: str = "none"
    neckwear_colour: Colour = (150, 40, 48)
    headwear: str = "none"
    headwear_colour: Colour = (240, 240, 240)
    backdrop: str = "plain"
    backdrop_colour: Colour = (190, 200, 206)


@dataclass(frozen=True)
class View:
    """One photograph of a person: angles in radians, light as a direction, expression."""

    yaw: float
    pitch: float
    roll: float
    gaze: float
    smile: float
    mouth_open: float
    light_x: float
    light_y: float
    key: float
    fill: float
    rim: float
    warmth: float
    texture: float  # offset of every noise, so that no two skins or cloths are the same


def view(seed: int) -> View:
    """The photograph that `seed` takes: nearly frontal, as "looking at the camera, closeup headshot facing
    forward" asks."""
    rng = np.random.default_rng([seed, 0x5EED])

    def normal(mean: float, deviation: float, low: float, high: float) -> float:
        return float(np.clip(rng.normal(mean, deviation), low, high))

    return View(
        yaw=normal(0, 0.075, -0.2, 0.2),
        pitch=normal(0, 0.03, -0.08, 0.08),
        roll=normal(0, 0.02, -0.05, 0.05),
        gaze=normal(0, 0.004, -0.012, 0.012),
        smile=normal(0.55, 0.3, -0.1, 1.1),
        mouth_open=float(rng.random() < 0.35) * rng.uniform(0.5, 1.1),
        light_x=float(rng.choice([-1, 1])) * rng.uniform(0.3, 0.7),
        light_y=rng.uniform(0.35, 0.7),
        key=rng.uniform(0.88, 1.0),
        fill=rng.uniform(0.8, 1.0),
        rim=rng.uniform(0.2, 0.5),
        warmth=rng.uniform(0.0, 1.0),
        texture=rng.uniform(0, 100),
    )


# ------------------------------------------------------------------ what the kernel reads

_DERIVED = (
    "wear",
    "head_x",
    "head_y",
    "head_z",
    "light_z",
    "zoom",
    "centre",
    "hair_on",
    "buzz",
    "top",
    "side",
    "back",
    "hair_low",
    "hairline",
    "window",
    "peak",
    "sweep",
    "quiff",
    "curl",
    "curl_frequency",
    "fall",
    "fall_width",
    "wave",
    "strand",
    "bun",
    "ridge",
    "shine",
    "fringe",
    "garment_kind",
    "neckwear_kind",
    "headwear_kind",
    "backdrop_kind",
    "bridge_y",
)
_COLOURS = (
    "skin",
    "lip",
    "hair_tint",
    "beard_tint",
    "brow_tint",
    "iris_tint",
    "glasses_tint",
    "cloth",
    "accent",
    "neck_tint",
    "hat",
    "wall",
)
_NUMBERS = [f.name for f in fields(Person) if f.type in (float, bool, "float", "bool")]
SCENE = np.dtype(
    [
        (name, np.float64)
        for name in (
            *_NUMBERS,
            *(f.name for f in fields(View)),
            *_DERIVED,
            *(f"{c}_{k}" for c in _COLOURS for k in "rgb"),
        )
    ]
)

# style -> thickness at top, side, back, where it ends; unlisted fields keep the value of `_HAIR_DEFAULT`.
_HAIR_DEFAULT = dict(
    hair_on=1,
    buzz=0,
    top=0.09,
    side=0.035,
    back=0.08,
    hair_low=-0.12,
    hairline=0.57,
    window=0.62,
    peak=0,
    sweep=0,
    quiff=0,
    curl=0,
    curl_frequency=5,
    fall=0,
    fall_width=1,
    wave=0,
    strand=1,
    bun=0,
    ridge=0,
    shine=0.17,
    fringe=0,
)


def _hair(person: Person) -> dict[str, float]:
    v, length, part = person.hair_volume, person.hair_length, person.hair_part
    fringe = person.hair in ("straight", "bob") and v > 0.72
    shapes = {
        "bald": dict(hair_on=0),
        "buzz": dict(hair_on=0, buzz=0.74, hairline=0.56),
        "short": dict(
            top=0.08 + 0.10 * v,
            side=0.025 + 0.025 * v,
            curl=0.018,
            curl_frequency=9,
            hairline=0.67,
            window=0.655,
            shine=0.10,
            quiff=0.5 * v * (v > 0.5),
        ),
        "side part": dict(
            top=0.07 + 0.05 * v,
            side=0.025 + 0.025 * v,
            curl=0.010,
            curl_frequency=7,
            hairline=0.66,
            shine=0.12,
            sweep=0.5 * part,
            window=0.64,
            quiff=0.15 + 0.35 * v,
        ),
        "short coily": dict(
            top=0.08 + 0.10 * v,
            side=0.03 + 0.04 * v,
            curl=0.022,
            curl_frequency=18,
            strand=0,
            shine=0.035,
            hairline=0.60,
            window=0.64,
        ),
        "afro": dict(
            top=0.22 + 0.18 * v,
            side=0.20 + 0.16 * v,
            back=0.2,
            hair_low=-0.40,
            curl=0.045,
            curl_frequency=12,
            strand=0,
            shine=0.035,
            window=0.58,
        ),
        "curly": dict(
            top=0.14 + 0.08 * v,
            side=0.12 + 0.08 * v,
            back=0.15,
            hair_low=-0.40,
            fall=0.2 + 0.4 * length,
            fall_width=1.04 + 0.08 * v,
            curl=0.060,
            curl_frequency=8,
            strand=0.1,
            shine=0.08,
            hairline=0.51,
        ),
        "wavy": dict(
            top=0.10 + 0.04 * v,
            side=0.07 + 0.04 * v,
            fall=0.6 + 0.5 * length,
            fall_width=1.0 + 0.06 * v,
            wave=1,
            curl=0.02,
            curl_frequency=4,
            hairline=0.53,
            peak=0.08,
        ),
        "straight": dict(
            top=0.08 + 0.03 * v,
            side=0.05 + 0.03 * v,
            fall=0.6 + 0.5 * length,
            fall_width=0.96,
            hairline=0.33 if fringe else 0.52,
            peak=0.0 if fringe else 0.10,
            fringe=fringe,
        ),
        "bob": dict(
            top=0.09 + 0.04 * v,
            side=0.08 + 0.04 * v,
            fall=0.26 + 0.15 * length,
            fall_width=1.06,
            hairline=0.33 if fringe else 0.53,
            peak=0.0 if fringe else 0.07,
            sweep=0.0 if fringe else 0.5 * part,
            fringe=fringe,
        ),
        "bun": dict(top=0.06, side=0.025, back=0.05, hair_low=-0.2, bun=0.85 + 0.25 * v, hairline=0.64),
        "locs": dict(
            top=0.09,
            side=0.07,
            fall=0.4 + 0.6 * length,
            fall_width=1.02,
            ridge=0.05,
            strand=0.2,
            shine=0.07,
            hairline=0.57,
        ),
    }
    shape = {**_HAIR_DEFAULT, **shapes[person.hair]}
    shape["hairline"] += 0.10 * person.recession
    if person.headwear == "headscarf":
        shape.update(hair_on=0, buzz=0)
    return shape


def scene(person: Person, photograph: View) -> tuple[np.record, np.ndarray]:
    """The numbers the kernel reads: one record of `SCENE` and the head's rotation (3, 3)."""
    s = np.zeros(1, SCENE)[0]
    for source in (person, photograph):
        for f in fields(source):
            if f.name in (SCENE.names or ()):
                s[f.name] = getattr(source, f.name)
    for name, value in _hair(person).items():
        s[name] = value
    s["wear"] = wear = min(max((person.age - 20) / 50, 0), 1.25)
    s["lip_fullness"] = person.lip_fullness * (1 - 0.30 * wear)
    s["eye_opening"] = person.eye_opening * (1 - 0.12 * wear)
    s["eyelid_hood"] = min(person.eyelid_hood + 0.55 * wear * wear, 1.4)
    s["brow_height"] = person.brow_height - 0.014 * wear
    s["bridge_y"] = -0.30 * person.nose_length

    def tint(name: str, rgb) -> None:
        s[f"{name}_r"], s[f"{name}_g"], s[f"{name}_b"] = rgb

    skin = lab_to_linear(person.skin_lightness, person.skin_redness, person.skin_yellowness)
    lip = skin * (0.80, 0.50, 0.50) + (0.03, 0.0, 0.004)
    lip = lip * (1 - person.lipstick) + person.lipstick * (linear((172, 44, 62)) * 0.6 + lip * 0.35)
    hair = np.array(person.hair_colour, float)
    grey = person.grey
    tint("skin", skin)
    tint("lip", lip)
    tint("hair_tint", linear(hair * (1 - grey) + np.array([190, 188, 186]) * grey))
    tint("beard_tint", linear(hair * (1 - 0.95 * grey) + np.array([186, 184, 182]) * 0.95 * grey))
    tint(
        "brow_tint",
        linear(np.minimum(hair * 0.62, 90) * (1 - 0.6 * grey) + np.array([140, 138, 136]) * 0.6 * grey),
    )
    tint("iris_tint", linear(person.iris))
    tint("glasses_tint", linear(person.glasses_colour))
    tint("cloth", linear(person.garment_colour))
    tint("accent", linear(person.accent_colour))
    tint("neck_tint", linear(person.neckwear_colour))
    tint("hat", linear(person.headwear_colour))
    tint("wall", linear(person.backdrop_colour))
    s["garment_kind"] = GARMENTS.index(person.garment)
    s["neckwear_kind"] = NECKWEAR.index(person.neckwear)
    s["headwear_kind"] = HEADWEAR.index(person.headwear)
    s["backdrop_kind"] = backdrop.KINDS.index(person.backdrop)
    s["light_z"] = 0.85
    norm = math.sqrt(photograph.light_x**2 + photograph.light_y**2 + 0.85**2)
    for axis in "xyz":
        s[f"light_{axis}"] /= norm
    s["zoom"], s["centre"] = 1.30, -0.13
    cy, sy = math.cos(photograph.yaw), math.sin(photograph.yaw)
    cp, sp = math.cos(photograph.pitch), math.sin(photograph.pitch)
    cr, sr = math.cos(photograph.roll), math.sin(photograph.roll)
    turn = (
        np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    )
    return s, np.ascontiguousarray(turn)


# ------------------------------------------------------------------ shape: signed distances

TOQUE, HARD_HAT, CAP, PEAKED, STRAW, BERET, SURGICAL, HEADSET, FIRE, HEADSCARF = range(1, 11)


@fast
def beard_mask(x, y, z, s):
    """Where a beard grows, 0 to 1."""
    ax = abs(x)
    q = max(0.0, (ax - 0.20) / 0.42)
    top = (
        -0.535 + 0.62 * min(q * q, 1.0) + 0.03 * step(0.3, 0.1, ax) + 0.030 * noise(ax * 9, y * 9, s.texture)
    )
    m = 1.0 - step(top - 0.10, top + 0.06, y)
    m *= step(-0.12, 0.14, z) * step(0.655, 0.60, ax)
    m *= 1.0 - (1.0 - step(0.06, 0.16, ax)) * step(-0.74, -0.70, y) * 0.6  # the gap below the lip
    return m * step(0.75, 1.15, (x / 0.24) ** 2 + ((y + 0.555) / 0.105) ** 2)


@fast
def moustache_mask(x, y, z):
    """Where a moustache grows, 0 to 1."""
    ax = abs(x)
    d = abs(y + 0.445 + 0.10 * step(0.05, 0.27, ax)) / (0.052 - 0.02 * step(0.1, 0.27, ax))
    return (1.0 - step(0.35, 1.45, d)) * (1.0 - step(0.19, 0.29, ax)) * (1.0 if z > 0 else 0.0)


@fast
def mouth_y(x, ax, y, s):
    """Height above the line between the lips, which a smile bends and asymmetry tilts."""
    return y + 0.56 - s.smile * 1.75 * ax * ax - 0.05 * s.asymmetry * x


@fast
def head_distance(x0, y0, z, s):
    """Signed distance to the head."""
    x = x0 / s.face_width
    y = y0 / s.face_height
    ax = abs(x)
    bound = math.sqrt(x * x + (y + 0.02) ** 2 + z * z) - 1.22
    if bound > 0.25:
        return bound
    w = s.wear
    d = ellipsoid(x, y - 0.28, z + 0.12, 0.665, 0.71, 0.80)
    d = smooth_min(d, ellipsoid(x, y + 0.10, z - 0.06, 0.595, 0.78, 0.63), 0.18)
    d = smooth_min(d, ellipsoid(x, y + 0.50, z - 0.08, 0.475 * s.jaw_width, 0.42, 0.50), 0.22)
    d = smooth_min(d, ellipsoid(x, y + 0.80 + s.chin_length, z - 0.47, 0.17 * s.chin_width, 0.13, 0.13), 0.20)
    c = s.cheekbone
    d = smooth_min(
        d,
        ellipsoid(
            ax - 0.34,
            y + 0.23 - 0.02 * s.smile + 0.03 * w,
            z - 0.40 - 0.02 * s.smile,
            0.20 * c,
            0.18 * c,
            0.20 * c,
        ),
        0.16,
    )
    f = s.fullness
    if d < 0.3:
        d = smooth_min(
            d,
            ellipsoid(ax - 0.25, y + 0.46, z - 0.30, 0.17 + 0.13 * f, 0.19 + 0.05 * f, 0.19 + 0.07 * f),
            0.18,
        )
        if w > 0.3:  # jowls hang beside the chin
            d = smooth_min(
                d, ellipsoid(ax - 0.29, y + 0.70, z - 0.28, 0.05 + 0.09 * w, 0.06 + 0.07 * w, 0.14), 0.12
            )
    ear = ellipsoid(ax - 0.695 - 0.25 * (z + 0.12), y + 0.06, z + 0.10, 0.055, 0.20 * s.ear_size, 0.125)
    if ear < 0.15 and s.headwear_kind != HEADSCARF:
        ear = smooth_max(
            ear, -ellipsoid(ax - 0.765 - 0.25 * (z + 0.12), y + 0.05, z + 0.07, 0.05, 0.13, 0.07), 0.03
        )
        d = smooth_min(d, ear, 0.06)
    if z > 0.2 and d < 0.4:
        d = smooth_min(d, capsule(ax, y, z, 0.03, 0.15, 0.60, 0.36, 0.15, 0.505, 0.078, 0.07), 0.18)
        e = s.eye_spacing
        d = smooth_max(d, -ellipsoid(ax - e, y, z - 0.80, 0.18, 0.105, 0.185), 0.17)
        d = smooth_min(d, ellipsoid(ax - e, y, z - 0.445, 0.165 * s.eye_size, 0.15 * s.eye_size, 0.165), 0.05)
        if s.eyelid_hood > 0.05:
            d = smooth_min(
                d,
                ellipsoid(
                    ax - e - 0.05,
                    y - 0.125,
                    z - 0.53,
                    0.13,
                    0.04 + 0.012 * s.eyelid_hood,
                    0.06 + 0.012 * s.eyelid_hood,
                ),
                0.05,
            )
        if w > 0.25:  # bags below the eyes, folds from nose to mouth
            d = smooth_min(d, ellipsoid(ax - e, y + 0.15, z - 0.53, 0.11, 0.045, 0.05 + 0.025 * w), 0.04)
            d = smooth_max(
                d, -capsule(ax, y, z, 0.155, -0.32, 0.70, 0.27, -0.60, 0.60, 0.030 * w, 0.026 * w), 0.05
            )
        nw = s.nose_width
        ty = s.bridge_y
        tip = ty - 0.035 * s.nose_tip
        out = 0.73 + s.nose_projection
        nose = capsule(
            x,
            y,
            z,
            0.0,
            0.10,
            0.615 + 0.035 * s.nose_bridge,
            0.0,
            tip + 0.02,
            out,
            0.055 + 0.012 * nw,
            0.060 + 0.022 * nw,
        )
        if s.nose_bridge > 0.1:  # a dorsal hump
            nose = smooth_min(
                nose, ellipsoid(x, y + 0.06, z - 0.69 - 0.02 * s.nose_bridge, 0.05, 0.10, 0.05), 0.05
            )
        nose = smooth_min(
            nose,
            ellipsoid(x, y - tip, z - 0.765 - s.nose_projection, 0.085 * (0.5 + 0.5 * nw), 0.08, 0.085),
            0.06,
        )
        nose = smooth_min(
            nose,
            ellipsoid(
                ax - 0.100 * nw,
                y - ty + 0.03,
                z - 0.665 - s.nose_projection * 0.6,
                0.065 * (0.6 + 0.4 * nw),
                0.062,
                0.085,
            ),
            0.055,
        )
        nose = smooth_max(
            nose,
            -ellipsoid(
                ax - 0.058 * nw, y - ty + 0.098, z - 0.74 - s.nose_projection * 0.8, 0.034 * nw, 0.030, 0.05
            ),
            0.02,
        )
        d = smooth_min(d, nose, 0.075)
        lw = s.lip_width
        lf = s.lip_fullness
        d = smooth_min(d, ellipsoid(x, y + 0.56, z - 0.47, 0.26 * lw, 0.17, 0.17), 0.12)
        my = mouth_y(x, ax, y, s)
        upper = ellipsoid(ax - 0.055, my - 0.026 * lf, z - 0.628, 0.115 * lw, 0.034 * lf, 0.055)
        upper = smooth_min(
            upper, ellipsoid(ax - 0.11 * lw, my - 0.008 * lf, z - 0.600, 0.10 * lw, 0.024 * lf, 0.05), 0.04
        )
        lower = ellipsoid(x, my + 0.044 * lf + 0.020 * s.mouth_open, z - 0.615, 0.145 * lw, 0.045 * lf, 0.07)
        d = smooth_min(d, min(upper, lower), 0.022)
        d = smooth_max(d, -ellipsoid(x, y + 0.45, z - 0.72, 0.022, 0.06, 0.045), 0.05)
    if d < 0.08:
        if s.beard > 0.02:
            m = beard_mask(x, y, z, s) * s.beard
            if m > 0.01:
                d -= m * m * (0.045 + 0.014 * noise(x * 16, y * 12, z * 16))
        if s.moustache > 0.02 and z > 0.3:
            d -= moustache_mask(x, y, z) * s.moustache * (0.016 + 0.006 * noise(x * 22, y * 14, z * 20))
    return d * 0.93


@fast
def face_window(x, y, z, s):
    """The opening of the hair over the face: negative inside."""
    ax = abs(x)
    q = (ax - 0.36) / 0.17
    line = s.hairline + s.recession * (0.05 + 0.24 * math.exp(-q * q))
    if s.peak != 0.0:
        q = (x - s.hair_part * 0.16) / 0.13
        line += s.peak * math.exp(-q * q)
    return ellipsoid(x - s.sweep * 0.16, y + 0.25, z - 0.80, s.window, line + 0.25, 0.78 + 0.10 * s.recession)


@fast
def headscarf_distance(x, y, z, s):
    """Signed distance to a headscarf."""
    ax = abs(x)
    d = ellipsoid(x, y - 0.26, z + 0.14, 0.76, 0.77, 0.86)
    d = smooth_min(d, ellipsoid(x, y + 0.45, z + 0.05, 0.60, 0.62, 0.62), 0.25)
    d = smooth_min(d, capsule(x, y, z, 0.0, -0.75, -0.05, 0.0, -1.45, -0.1, 0.48, 0.78), 0.3)
    d = smooth_max(d, -ellipsoid(x, y + 0.14, z - 0.78, 0.535, 0.80, 0.80), 0.06)
    if d < 0.1:
        fold = math.sin(13 * y + 7 * ax - 5 * z + 2.5 * math.sin(3.5 * x + s.texture))
        d -= 0.022 * fold * step(-0.2, -0.9, y) + 0.006 * math.sin(22 * (y - 0.3 * ax) + 6 * z) * step(
            0.2, 0.5, ax
        ) * step(-0.9, -0.2, y)
    return d * 0.9


@fast
def hair_distance(x0, y0, z, s, fine):
    """Signed distance to the hair; `fine` adds its strands."""
    if s.hair_on < 0.5:
        return 10.0
    x = x0 / s.face_width
    y = y0 / s.face_height
    ax = abs(x)
    d = ellipsoid(x, y - 0.29, z + 0.14, 0.69 + s.side, 0.71 + s.top, 0.80 + s.back)
    if d > 1.2:
        return d - 0.5
    angle = math.atan2(x - s.hair_part * 0.18, z + 0.25)
    if s.fall < 0.05:
        d = smooth_max(d, (s.hair_low - y) - 0.55 * max(0.0, -(z + 0.05)), 0.10)
    else:
        bottom = -0.25 - s.fall
        if fine and d < 0.5:  # ends are cut in uneven locks
            bottom += 0.07 * noise(angle * 7, 1.0, s.texture) + 0.05 * noise(angle * 19, 2.0, s.texture)
        mid = (0.45 + bottom) * 0.5
        half = (0.45 - bottom) * 0.5 + 0.12
        w = s.fall_width * (1.0 - 0.10 * step(-0.3, -1.0, y))
        bend = s.wave * 0.05 * math.sin(y * 9.0 + z * 2.0 + ax * 2)
        locks = ellipsoid(ax - 0.50 * w - bend, y - mid, z + 0.12, 0.23 * w, half, 0.40)
        behind = ellipsoid(x, y - mid, z + 0.42, 0.64 * w, half, 0.36)
        d = smooth_min(d, smooth_min(locks, behind, 0.2), 0.22)
    opening = face_window(x, y, z, s)
    if fine and s.strand > 0.05 and d < 0.25:  # a feathered hairline: locks of unequal reach
        opening += 0.035 * noise(angle * 15, y * 2.0, s.texture + 4) + (0.03 + 0.03 * s.fringe) * noise(
            angle * 33, y, s.texture + 8
        )
    d = smooth_max(d, -opening, 0.07)
    if s.quiff > 0.02:
        d = smooth_min(
            d,
            ellipsoid(
                x + 0.06 * s.hair_part,
                y - 0.84 - 0.08 * s.quiff - 0.10 * s.hair_part * x,
                z - 0.26,
                0.48,
                0.20 + 0.05 * s.quiff,
                0.36,
            ),
            0.20,
        )
    if s.bun > 0.02:
        d = smooth_min(d, ellipsoid(x, y - 1.03, z + 0.22, 0.27 * s.bun, 0.24 * s.bun, 0.27 * s.bun), 0.05)
    if s.strand > 0.5 and s.fall > 0.05 and s.fringe < 0.5 and d < 0.2:  # the parting
        q = (x - s.hair_part * 0.22) / 0.035
        d += 0.035 * math.exp(-q * q) * step(0.55, 0.85, y) * step(-0.5, 0.1, z)
    if fine and d < 0.20:
        if s.curl > 0.001:
            f = s.curl_frequency
            n = noise(x * f + s.texture, y * f, z * f)
            if s.curl > 0.02:
                n = 0.65 * n + 0.35 * noise(x * f * 2.1, y * f * 2.1 + s.texture, z * f * 2.1)
            d -= s.curl * n
        if s.ridge > 0.001:
            d -= s.ridge * abs(math.sin(angle * 11.0 + 0.5 * math.sin(y * 3)))
        elif s.strand > 0.05:  # locks lie in clumps, clumps in strands
            lift = s.wave * 0.8 * math.sin(y * 8)
            clump = noise(angle * 6 + lift + 0.4 * y, y * 0.7, s.texture)
            d -= s.strand * (
                0.026 * clump
                + 0.014 * noise(angle * 15 + lift, y * 0.9, s.texture + 3)
                + 0.006 * noise(angle * 37 + 2 * lift, y * 1.5, s.texture + 6)
            )
    if s.headwear_kind > 0.5 and s.headwear_kind != HEADSET:  # a hat presses the hair down
        d = smooth_max(d, y - 0.50 - 0.10 * z, 0.05)
    return d * 0.85


@fast
def hat_distance(x0, y0, z, s):
    """Signed distance to what is worn on the head."""
    kind = s.headwear_kind
    if kind < 0.5:
        return 10.0
    x = x0 / s.face_width
    y = y0 / s.face_height
    if y < -0.75 and kind != HEADSCARF:
        return 0.3 - (y + 0.75)
    ax = abs(x)
    if kind == HEADSCARF:
        return headscarf_distance(x, y, z, s)
    if kind == HEADSET:
        ring = math.sqrt(x * x + (y - 0.30) ** 2) - 0.86
        d = math.sqrt(ring * ring + (z + 0.02) ** 2) - 0.045
        d = smooth_max(d, -(y - 0.0), 0.02)
        d = min(d, ellipsoid(ax - 0.80, y + 0.05, z + 0.02, 0.09, 0.20, 0.18))
        d = min(d, capsule(x, y, z, 0.78, -0.15, 0.1, 0.40, -0.66, 0.72, 0.020, 0.020))
        return min(d, ellipsoid(x - 0.36, y + 0.67, z - 0.74, 0.07, 0.045, 0.05)) * 0.9
    slope = y - 0.42 - 0.10 * z  # height over the hat's rim
    if kind == TOQUE:
        band = smooth_max(ellipsoid(x, y - 0.5, z + 0.12, 0.75, 1.6, 0.90), max(-slope, slope - 0.34), 0.04)
        puff = ellipsoid(x, y - 1.06, z + 0.12, 0.90, 0.38, 0.98)
        puff -= 0.025 * math.sin(math.atan2(x, z + 0.12) * 14) * step(1.3, 0.7, y)
        return min(band, puff) * 0.85
    dome = smooth_max(ellipsoid(x, y - 0.34, z + 0.12, 0.76, 0.74, 0.90), -slope, 0.04)
    if kind == HARD_HAT or kind == FIRE:
        ridge = 0.045 * math.exp(-((x / 0.09) ** 2)) + (
            0.03 * math.exp(-(((ax - 0.32) / 0.06) ** 2)) if kind == HARD_HAT else 0.0
        )
        dome -= ridge * step(0.5, 0.8, y)
        wide = 0.10 if kind == HARD_HAT else 0.17
        brim = max(ellipsoid(x, slope, z + 0.02, 0.78 + wide, 0.05, 0.98 + wide), -1.0)
        return min(dome, brim) * 0.85
    if kind == CAP:
        visor = ellipsoid(x, slope + 0.05 - 0.12 * (z - 0.85) + 0.20 * x * x, z - 0.80, 0.50, 0.045, 0.40)
        return min(dome, visor) * 0.8
    if kind == PEAKED:
        band = smooth_max(ellipsoid(x, y - 0.4, z + 0.12, 0.75, 1.2, 0.89), max(-slope, slope - 0.22), 0.03)
        crown = ellipsoid(x, y - 0.86 - 0.08 * z, z + 0.06, 0.98, 0.22, 1.06)
        visor = ellipsoid(x, slope + 0.06 - 0.10 * (z - 0.85) + 0.25 * x * x, z - 0.78, 0.48, 0.04, 0.36)
        return min(min(band, crown), visor) * 0.8
    if kind == STRAW:
        brim = ellipsoid(x, slope - 0.05 * ax + 0.01 * math.sin(9 * x + 4 * z), z + 0.05, 1.28, 0.06, 1.3)
        return min(dome, brim) * 0.8
    if kind == BERET:
        flat = ellipsoid(x - 0.16, y - 0.80 - 0.14 * x, z + 0.10, 0.88, 0.30, 0.90)
        return smooth_min(smooth_max(dome, slope - 0.2, 0.05), flat, 0.05) * 0.85
    return (dome - 0.012 * noise(x * 7, y * 7, z * 7 + s.texture)) * 0.85  # surgical cap


@fast
def cloth_edge(x, y, z, s):
    """Positive below the neckline, where cloth covers the skin; each garment has its own neckline."""
    ax = abs(x)
    k = s.garment_kind
    line = -1.06 - 0.10 * (z + 0.2)
    if z > -0.2:
        if k == 4:  # scrubs: a V
            line -= 0.24 * max(0.0, 1.0 - ax / 0.30)
        elif k == 16 or k == 18 or k == 15:  # sequins, blouse, cardigan: a wide round neck
            line -= 0.16 * max(0.0, 1.0 - (x / 0.46) ** 2)
        elif k == 0 or k == 7 or k == 17 or k == 19:
            line -= 0.08 * max(0.0, 1.0 - (x / 0.42) ** 2)
        else:
            line += 0.05
    return line - y


@fast
def body_distance(x, y, z, s):
    """Signed distance to neck, shoulders and clothes."""
    if y > -0.35:
        return max(0.25, y + 0.45)
    ax = abs(x)
    nr = s.neck
    sw = s.shoulders
    d = capsule(x, y, z, 0.0, -0.5, -0.16, 0.0, -1.5, -0.22, nr, nr * 1.08)
    shoulders = capsule(ax, y, z, 0.0, -1.38, -0.22, 0.94 * sw, -1.52, -0.22, 0.34, 0.30)
    shoulders = smooth_min(shoulders, ellipsoid(x, y + 2.0, z + 0.15, 0.97 * sw, 0.9, 0.54), 0.25)
    d = smooth_min(d, shoulders, 0.32)
    d = smooth_min(d, capsule(ax, y, z, 0.22, -0.70, -0.05, 0.05, -1.26, 0.08, 0.05, 0.05), 0.14)
    c = cloth_edge(x, y, z, s)
    if c > 0:
        d -= 0.03 * step(0.0, 0.03, c)
    k = s.garment_kind
    if k == 8 and d < 0.4:  # the hood lies round the neck
        ring = math.sqrt(x * x + (z + 0.28) ** 2) - (nr + 0.20)
        d = smooth_min(d, math.sqrt(ring * ring + (y + 1.08 + 0.22 * z) ** 2) - 0.12, 0.06)
    elif (
        k == 1 or k == 2 or k == 3 or k == 6 or k == 10 or k == 12 or k == 14 or k == 13
    ) and d < 0.3:  # a collar
        ring = math.sqrt(x * x + (z + 0.20) ** 2) - (nr + 0.06)
        d = smooth_min(d, math.sqrt(ring * ring + (y + 1.04 + 0.35 * (z + 0.2)) ** 2) - 0.055, 0.03)
    if s.neckwear_kind == 4 and d < 0.3:  # a scarf knotted at the neck
        ring = math.sqrt(x * x + (z + 0.18) ** 2) - (nr + 0.03)
        d = smooth_min(d, math.sqrt(ring * ring + (y + 1.04 + 0.3 * (z + 0.2)) ** 2) - 0.09, 0.03)
    return d * 0.95


@fast
def worn_distance(x0, y0, z, s):
    """Glasses and earrings."""
    if s.glasses < 0.5 and s.earrings < 0.5:
        return 10.0
    x = x0 / s.face_width
    y = y0 / s.face_height
    ax = abs(x)
    ring = 10.0
    if s.earrings > 0.5:
        ring = ellipsoid(ax - 0.70, y + 0.31, z + 0.03, 0.034, 0.040, 0.034)
        if s.glasses < 0.5:
            return ring * 0.9
    e = s.eye_spacing + 0.012
    zz = z - 0.735 + 0.30 * max(0.0, ax - 0.12) ** 1.5
    rx = s.glasses_width
    r = 0.09
    qx = abs(ax - e) - (rx - r)
    qy = abs(y + 0.015) - (s.glasses_height - r)
    q = math.sqrt(max(qx, 0.0) ** 2 + max(qy, 0.0) ** 2) + min(max(qx, qy), 0.0) - r
    d = math.sqrt(q * q + zz * zz) - 0.0165
    d = min(d, capsule(ax, y, z, 0.0, 0.045, 0.765, max(0.01, e - rx), 0.03, 0.74, 0.018, 0.018))
    d = min(d, capsule(ax, y, z, e + rx, 0.04, 0.66, 0.74, 0.04, -0.1, 0.017, 0.017))
    return min(d, ring) * 0.85


@fast
def to_head(x, y, z, turn):
    """The head turns about the top of the neck; the body stays."""
    py = y + 0.55
    pz = z + 0.15
    return (
        turn[0, 0] * x + turn[1, 0] * py + turn[2, 0] * pz,
        turn[0, 1] * x + turn[1, 1] * py + turn[2, 1] * pz - 0.55,
        turn[0, 2] * x + turn[1, 2] * py + turn[2, 2] * pz - 0.15,
    )


@fast
def distance(x, y, z, s, turn, fine):
    """Signed distance to the whole figure, its head turned."""
    hx, hy, hz = to_head(x, y, z, turn)
    d = smooth_min(head_distance(hx, hy, hz, s), body_distance(x, y, z, s), 0.10)
    d = min(d, hair_distance(hx, hy, hz, s, fine))
    d = min(d, hat_distance(hx, hy, hz, s))
    return min(d, worn_distance(hx, hy, hz, s))


# ------------------------------------------------------------------ colour: what lies on the surface


@fast
def mix(a, b, t):
    """Between a and b, by t from 0 to 1."""
    return a + (b - a) * t


@fast
def paint_lips(r, g, b, gloss, shine, ax, x, y, z, s):
    """The skin's colour, gloss and shine with the lips painted on."""
    lw = 0.215 * s.lip_width
    lf = s.lip_fullness
    up = ax / lw
    if up >= 1.1 or z <= 0.3:
        return r, g, b, gloss, shine
    yy = mouth_y(x, ax, y, s)
    k = max(0.0, 1 - up * up)
    top = 0.062 * lf * k**0.75 * (1.0 - 0.16 * math.exp(-((ax / 0.035) ** 2)))
    bottom = -(0.088 * lf + 0.022 * s.mouth_open) * k**0.65
    m = step(-0.012, 0.012, top - yy) * step(-0.014, 0.014, yy - bottom) * step(1.02, 0.93, up)
    shade = 0.86 if yy > 0 else 1.0
    r = mix(r, s.lip_r * shade, m)
    g = mix(g, s.lip_g * (0.82 / 0.86) * shade if yy > 0 else s.lip_g, m)
    b = mix(b, s.lip_b * shade, m)
    gloss += 0.14 * m
    shine += 16 * m
    mo = s.mouth_open
    closed = 1.0
    if mo > 0.02 and up < 0.95:  # teeth
        u = up / 0.86
        low = -0.052 * mo * max(0.0, 1 - u * u) ** 0.7 + 0.004
        t = step(-0.006, 0.006, 0.006 - yy) * step(-0.006, 0.006, yy - low) * step(1.0, 0.9, u)
        if t > 0.001:
            v = (0.80 - 0.30 * step(0.3, 1.0, u)) * (0.78 + 0.22 * step(0.006, -0.012, yy))
            r = mix(r, 0.86 * v, t)
            g = mix(g, 0.80 * v, t)
            b = mix(b, 0.74 * v, t)
            gloss *= 1 - 0.8 * t
        line = math.exp(-(((yy - low) / 0.009) ** 2)) * step(1.0, 0.85, u) * 0.55
        r *= 1 - line * 0.85
        g *= 1 - line
        b *= 1 - line
        closed = 1 - 0.75 * step(0.02, 0.3, mo) * step(1.0, 0.85, u)
    line = math.exp(-((yy / 0.011) ** 2)) * step(1.08, 0.95, up) * 0.80 * closed
    under = math.exp(-((yy - bottom + 0.035) ** 2 / 0.0006)) * step(0.9, 0.3, up) * 0.22
    dark = (1 - line * 0.9) * (1 - under)
    return r * (1 - line * 0.85) * (1 - under * 0.7), g * dark, b * dark, gloss, shine


@fast
def paint_age(r, g, b, ax, x, y, s):
    """Lines where skin folds: nose to mouth, forehead, crow's feet, below the eyes, the corners of the
    mouth."""
    w = s.wear
    e = s.eye_spacing
    dark = 0.0
    t = -0.27 - y
    if -0.02 < t < 0.42:
        at = 0.072 * s.nose_width + 0.085 + 0.36 * t - 0.25 * t * t
        dark += math.exp(-((ax - at) ** 2 / 0.0010)) * step(-0.02, 0.05, t) * step(0.42, 0.22, t) * w * 0.60
    if 0.22 < y < 0.62:
        wave = math.sin((y + 0.03 * math.cos(x * 6) + 0.01 * noise(x * 5, 1.0, s.texture)) * 58.0)
        dark += (
            step(0.55, 1.0, wave)
            * step(0.45, 0.2, ax)
            * step(0.26, 0.32, y)
            * step(0.60, 0.52, y)
            * max(0.0, w - 0.25)
            * 0.46
        )
    side = ax - e - 0.15 * s.eye_size
    if 0 < side < 0.16:
        dark += (
            step(0.4, 1.0, math.sin((y + 0.01) / (side + 0.05) * 9.0 + 1.0))
            * step(0.0, 0.03, side)
            * step(0.16, 0.08, side)
            * max(0.0, w - 0.2)
            * 0.6
            * step(0.09, 0.06, abs(y))
        )
    u = ax - e
    dark += math.exp(-((y + 0.135 - 3.3 * u * u) ** 2 / 0.0007)) * math.exp(-u * u / 0.014) * w * 0.42
    if w > 0.4 and -0.86 < y < -0.58:
        dark += (
            math.exp(-((ax - 0.215 * s.lip_width - 0.02) ** 2 / 0.0007))
            * step(-0.86, -0.75, y)
            * step(-0.56, -0.62, y)
            * (w - 0.4)
            * 0.7
        )
    dark = min(dark, 0.75)
    return r * (1 - dark * 0.7), g * (1 - dark), b * (1 - dark)


@fast
def paint_eye(r, g, b, ax, x, y, s):
    """Lid, white, iris, lashes. Also returns the catch-light's strength and how much of the pixel is open
    eye."""
    side = 1.0 if x > 0 else -1.0
    width = 0.150 * s.eye_size
    u0 = ax - s.eye_spacing
    v = y - s.eye_tilt * u0 - 0.010 * s.asymmetry * side
    u = u0 / width
    open_ = 0.0
    catch = 0.0
    if abs(u) >= 1.35 or abs(v) >= 0.22:
        return r, g, b, catch, open_
    h = s.eye_opening * s.eye_size
    k = max(0.0, 1 - u * u)
    hood = s.eyelid_hood
    single = 1.0 - s.eyelid_fold
    upper = (
        h
        * k**0.62
        * (1.0 - 0.10 * u)
        * (1.0 - 0.22 * hood * step(-0.2, 0.9, u))
        * (1.0 - 0.16 * single * step(0.1, -0.9, u))
    )
    lower = -h * 0.62 * k**0.80 * (1.0 + 0.15 * u)
    open_ = step(-0.008, 0.008, upper - v) * step(-0.008, 0.008, v - lower) * step(1.0, 0.97, abs(u))
    arc = h * max(0.0, 1 - (u * 0.88) ** 2) ** 0.55 + 0.032 * (1.0 - 0.55 * min(hood, 1.0))
    crease = math.exp(-((v - arc) ** 2 / 0.00022)) * step(1.15, 0.85, abs(u)) * 0.42 * s.eyelid_fold
    line = math.exp(-((v - lower + 0.008) ** 2 / 0.00010)) * step(1.05, 0.8, abs(u)) * 0.35
    dark = (1 - crease) * (1 - line)
    r *= (1 - crease * 0.7) * (1 - line * 0.7)
    g *= dark
    b *= dark
    if open_ > 0.001:
        pink = step(-0.72, -1.0, u) * s.eyelid_fold
        wr = 0.80 - 0.10 * pink
        wg = 0.765 - 0.36 * pink
        wb = 0.74 - 0.36 * pink
        iu = u0 - s.gaze * side
        iv = v - 0.004
        radius = 0.075 * s.eye_size**0.7
        rr = math.sqrt(iu * iu + iv * iv) / radius
        m = step(1.06, 0.92, rr)
        tone = (0.72 - 0.50 * step(0.70, 1.0, rr)) * (
            1.0 + 0.9 * step(0.3, -1.0, iv / radius) * step(0.4, 0.6, rr)
        )
        tone *= 1 - 0.95 * step(0.52, 0.40, rr)
        lid = 1.0 - 0.52 * step(0.05, 0.0, upper - v)
        r = mix(r, mix(wr, s.iris_tint_r * tone, m) * lid, open_)
        g = mix(g, mix(wg, s.iris_tint_g * tone, m) * lid, open_)
        b = mix(b, mix(wb, s.iris_tint_b * tone, m) * lid, open_)
        cu = iu * side - 0.026 * (1 if s.light_x > 0 else -1)
        cv = iv - 0.028
        catch = 0.95 * step(0.022, 0.012, math.sqrt(cu * cu + cv * cv)) * open_
    thick = (0.011 + 0.012 * s.lashes) * (0.75 + 0.45 * step(-0.6, 0.9, u))
    lash = 0.92 * step(thick * 1.5, thick * 0.5, abs(v - upper - thick * 0.35)) * step(1.10, 0.98, abs(u))
    return mix(r, 0.018, lash), mix(g, 0.012, lash), mix(b, 0.010, lash), catch, open_


@fast
def paint_skin(x, y, z, s, face, hair):
    """Skin at a point of the head: (r, g, b, gloss, shine, catch-light, open eye). `hair`: distance to the
    hair."""
    ax = abs(x)
    r = s.skin_r
    g = s.skin_g
    b = s.skin_b
    light = 0.3 * r + 0.6 * g + 0.1 * b
    gloss = 0.13 + 0.10 * (1 - min(1.0, light * 2.0))
    shine = 13.0
    catch = 0.0
    open_ = 0.0
    w = s.wear
    n = noise(x * 7 + s.texture, y * 7, z * 7) * 0.5 + noise(x * 15, y * 15 + s.texture, z * 15) * 0.3
    m = 1.0 + 0.035 * n * (1 + w)
    ear = 1 - 0.10 * step(0.66, 0.74, ax) * step(-0.45, -0.3, y) * step(0.3, 0.15, y)
    r *= m
    g *= m * (1 - 0.01 * n) * ear
    b *= m * ear
    if z > 0.0 and -1.1 < y < 0.9 and face:
        q = s.blush * (
            math.exp(-((ax - 0.36) ** 2 / 0.022 + (y + 0.24) ** 2 / 0.018))
            + 0.55 * math.exp(-(x * x + (y + 0.30) ** 2) / 0.012)
            + 0.25 * math.exp(-(x * x / 0.02 + (y + 0.85) ** 2 / 0.012))
        )
        r *= 1 + 0.05 * q
        g *= 1 - 0.22 * q
        b *= (1 - 0.20 * q) * (1 - 0.05 * math.exp(-((y - 0.42) ** 2 / 0.05)))
        if s.freckles > 0.05:
            q = (
                step(0.30, 0.55, noise(x * 42, y * 42, 3.3 + s.texture))
                * math.exp(-((ax - 0.22) ** 2 / 0.06 + (y + 0.18) ** 2 / 0.02))
                * s.freckles
            )
            r *= 1 - 0.22 * q
            g *= 1 - 0.36 * q
            b *= 1 - 0.42 * q
        u = ax - s.eye_spacing
        q = math.exp(-(u * u / 0.025 + (y + 0.01) ** 2 / 0.010)) * (0.14 + 0.12 * w)
        r *= 1 - q * 0.55
        g *= 1 - q * 0.85
        b *= 1 - q * 0.75
        if w > 0.05:
            r, g, b = paint_age(r, g, b, ax, x, y, s)
        r, g, b, gloss, shine = paint_lips(r, g, b, gloss, shine, ax, x, y, z, s)
        if z > 0.55:
            q = 0.85 * math.exp(
                -(
                    (ax - 0.058 * s.nose_width) ** 2 / (0.0010 * s.nose_width)
                    + (y - s.bridge_y + 0.088) ** 2 / 0.00038
                )
            )
            r *= 1 - q * 0.85
            g *= 1 - q
            b *= 1 - q
        if z > -0.3 and s.beard + s.moustache + s.stubble > 0.02:
            grain = 0.5 + 0.5 * noise(x * 38, y * 30, z * 34 + s.texture)
            here = beard_mask(x, y, z, s)
            lip = moustache_mask(x, y, z)
            q = max(here * s.beard, lip * s.moustache)
            q = min(1.0, q * q * (0.55 + 1.1 * grain) + 0.3 * q)
            q = max(q, max(here, lip) * s.stubble * (0.35 + 0.45 * grain))
            tone = 0.75 + 0.5 * grain
            r = mix(r, s.beard_tint_r * tone, q)
            g = mix(g, s.beard_tint_g * tone, q)
            b = mix(b, s.beard_tint_b * tone, q)
            gloss *= 1 - q * 0.8
        at = (ax - 0.11) / 0.37
        if -0.15 < at < 1.15:
            side = 1.0 if x > 0 else -1.0
            line = (
                s.brow_height
                + s.brow_tilt * (at - 0.5) * 0.1
                + s.brow_arch * (1 - (at - 0.62) ** 2 / 0.38) * 0.045
                - 0.032
                + 0.014 * s.asymmetry * side
            )
            thick = (
                s.brow_thickness
                * (0.036 - 0.020 * step(0.45, 1.05, at))
                * (0.75 + 0.25 * step(-0.1, 0.2, at))
            )
            q = step(1.25, 0.55, abs(y - line) / thick) * step(-0.12, 0.06, at) * step(1.08, 0.9, at)
            q *= 0.88 + 0.12 * noise(x * 60 + y * 40, y * 25, 0.0)
            r = mix(r, s.brow_tint_r, q)
            g = mix(g, s.brow_tint_g, q)
            b = mix(b, s.brow_tint_b, q)
            gloss *= 1 - q * 0.8
        if z > 0.25:
            r, g, b, catch, open_ = paint_eye(r, g, b, ax, x, y, s)
    q = 0.0
    if s.hair_on > 0.5 and y > -0.55 and face:  # single hairs at the hairline
        angle = math.atan2(x - s.hair_part * 0.18, z + 0.25)
        reach = 0.060 + 0.030 * noise(angle * 34, y * 3, s.texture) + 0.012 * noise(x * 30, y * 30, z * 30)
        q = step(reach, 0.0, hair) * 0.75
    if s.buzz > 0.02 and face and ax < 0.72:
        opening = face_window(x, y, z, s) + 0.015 * noise(x * 25, y * 25, z * 25)
        above_ear = (y + 0.10) + 0.6 * max(0.0, -(z + 0.05))
        q = max(
            q,
            step(-0.02, 0.10, opening)
            * step(-0.10, 0.10, above_ear)
            * s.buzz
            * (0.85 + 0.15 * noise(x * 40, y * 40, z * 40)),
        )
    return (
        mix(r, s.hair_tint_r, q),
        mix(g, s.hair_tint_g, q),
        mix(b, s.hair_tint_b, q),
        gloss * (1 - q),
        shine,
        catch,
        open_,
    )


@fast
def paint_cloth(x, y, z, s):
    """The garment's colour at a point of the body; front pieces (tie, buttons, stripes) only where z looks
    at the camera."""
    ax = abs(x)
    k = s.garment_kind
    n = 1 + noise(x * 60, y * 60, z * 10) * 0.04 + noise(x * 5 + s.texture, y * 3, z * 5) * 0.07
    r = s.cloth_r * n
    g = s.cloth_g * n
    b = s.cloth_b * n
    ar = s.accent_r
    ag = s.accent_g
    ab = s.accent_b
    q = 0.0  # share of the accent colour
    dark = 1.0
    front = z > -0.25
    if k == 2 or k == 3 or k == 14:  # suit, coat, waistcoat: a V of shirt between the lapels
        open_ = 0.11 + 0.55 * max(0.0, y + 1.42)
        if front:
            q = step(open_ + 0.012, open_ - 0.012, ax)
            dark -= 0.45 * math.exp(-(((ax - open_) / 0.016) ** 2))
            lapel = open_ + 0.16 + 0.25 * max(0.0, y + 1.42)
            dark -= (
                (0.30 if k != 3 else 0.16) * math.exp(-(((ax - lapel) / 0.014) ** 2)) * step(-1.42, -1.30, y)
            )
        if k == 14 and ax > 0.52:
            q = 1.0
    elif k == 4:  # scrubs: a trim along the V, a pocket line
        q = 0.55 * step(0.055, 0.035, cloth_edge(x, y, z, s))
    elif k == 5:  # hi-vis: two reflective bands over the shoulders, one across
        q = step(0.055, 0.04, abs(ax - 0.44))
        dark -= 0.4 * math.exp(-(((ax - 0.02) / 0.012) ** 2))
    elif k == 6:  # chef: double-breasted
        if front:
            dark -= 0.30 * math.exp(-(((x - 0.16) / 0.012) ** 2))
            button = math.sqrt((ax - 0.10) ** 2 + ((-y) % 0.13 - 0.065) ** 2)
            q = step(0.030, 0.020, button)
    elif k == 7:  # apron: a bib with straps over a shirt in the accent colour
        strap = step(0.065, 0.05, abs(ax - 0.27 - 0.10 * max(0.0, y + 1.3)))
        bib = step(0.33, 0.30, ax) * step(-1.22, -1.25, y)
        q = 1.0 - max(strap, bib)
    elif k == 8:  # hoodie: strings and a zip
        if front:
            q = max(step(0.020, 0.012, abs(ax - 0.12)) * step(-1.40, -1.36, y), 0.5 * step(0.014, 0.006, ax))
    elif k == 10:  # uniform: shoulder boards, buttons
        q = step(0.13, 0.11, abs(ax - 0.60)) * step(-1.55, -1.50, y)
        if front:
            q = max(q, step(0.030, 0.020, math.sqrt(x * x + ((-y) % 0.13 - 0.065) ** 2)))
    elif k == 11:  # camouflage
        q = step(0.02, 0.10, noise(x * 5 + s.texture, y * 5, 1.0)) * 0.8
        dark -= 0.45 * step(0.10, 0.20, noise(x * 6, y * 6 + s.texture, 4.0))
    elif k == 12:  # plaid
        q = 0.45 * (step(0.3, 0.5, math.sin(x * 22)) + step(0.3, 0.5, math.sin(y * 22)))
        dark -= 0.12 * step(0.9, 1.0, math.sin(x * 44)) + 0.12 * step(0.9, 1.0, math.sin(y * 44))
    elif k == 13:  # fire coat: bright bands
        q = max(step(0.055, 0.045, abs(y + 1.36)), step(0.04, 0.03, abs(ax - 0.50)))
        dark -= 0.3 * math.exp(-((x / 0.014) ** 2))
    elif k == 15:  # cardigan over a light top
        open_ = 0.14 + 0.30 * max(0.0, y + 1.42)
        if front:
            q = step(open_ + 0.014, open_ - 0.014, ax)
            dark -= 0.30 * math.exp(-(((ax - open_) / 0.018) ** 2))
    elif k == 16:  # sequins
        q = step(0.35, 0.6, noise(x * 28, y * 28, s.texture))
    elif k == 17:  # smock with blots of paint
        q = step(0.34, 0.40, noise(x * 7 + 3, y * 7, s.texture))
    elif k == 18:  # blouse: a soft pleat
        dark -= 0.10 * (0.5 + 0.5 * math.sin(x * 38)) * step(0.35, 0.2, ax)
    elif k == 19:  # overall: straps of the garment over a shirt in the accent colour
        strap = step(0.085, 0.07, abs(ax - 0.30))
        q = 1.0 - max(strap, step(-1.30, -1.33, y) * step(0.40, 0.37, ax))
    elif k == 9:  # robe: pleats
        dark -= 0.35 * step(0.2, 0.9, math.sin(ax * 34)) * step(0.10, 0.16, ax)
    elif k == 1:
        dark -= 0.16 * math.exp(-((x / 0.012) ** 2))
    r = mix(r, ar, q) * dark
    g = mix(g, ag, q) * dark
    b = mix(b, ab, q) * dark
    if cloth_edge(x, y, z, s) < 0.04:
        r *= 0.88
        g *= 0.88
        b *= 0.88
    worn = s.neckwear_kind
    m = 0.0
    if worn == 1 and front:  # tie
        wide = 0.050 + 0.10 * max(0.0, -1.12 - y) if y < -1.10 else 0.055
        m = step(wide + 0.010, wide - 0.004, ax) * step(-1.00, -1.03, y)
        m *= 1 - 0.22 * step(0.5, 0.8, math.sin((y + x) * 42))
    elif worn == 2 and front:  # bow tie
        m = step(0.19, 0.17, ax) * step(0.030 + 0.32 * ax, 0.015 + 0.30 * ax, abs(y + 1.10))
    elif worn == 3:  # stethoscope: two tubes meeting at the chest
        tube = abs(ax - 0.34 + 0.30 * max(0.0, -1.14 - y))
        m = step(0.036, 0.022, tube)
    elif worn == 4:  # neck scarf
        m = step(-1.19, -1.16, y) if ax < 0.46 else 0.0
        m = max(m, step(0.10, 0.08, abs(x - 0.12)) * step(-1.35, -1.30, y) if front else m)
    elif worn == 5 and front:  # jabot
        m = step(0.16, 0.14, ax) * (0.8 + 0.2 * math.sin(y * 50))
    elif worn == 6:  # lanyard
        m = step(0.030, 0.018, abs(ax - 0.30 + 0.55 * max(0.0, -1.12 - y)))
    elif worn == 7:  # necklace
        m = step(0.035, 0.022, abs(cloth_edge(x, y, z, s) - 0.05))
    return mix(r, s.neck_tint_r, m), mix(g, s.neck_tint_g, m), mix(b, s.neck_tint_b, m)


@fast
def paint_hair(x, y, z, s):
    """The hair's colour."""
    angle = math.atan2(x - s.hair_part * 0.18, z + 0.25)
    strand = s.strand
    lift = s.wave * 0.9 * math.sin(y * 8.0 + angle)
    lock = (
        0.24 * noise(angle * 9 + lift, y * 0.9, s.texture)
        + 0.22 * noise(angle * 19 + lift, y * 1.1, s.texture + 2)
        + 0.26 * noise(angle * 40 + lift * 2, y * 2.0, s.texture + 9)
    )
    frizz = 0.22 * noise(x * 30, y * 30, z * 30) + 0.12 * noise(x * 13, y * 13, z * 13)
    m = 1.0 + 1.1 * (strand * lock + (1 - strand) * frizz)
    if strand > 0.5:
        m *= 0.84 + 0.26 * step(0.95, -0.6, y)  # roots darker than tips
        q = (x - s.hair_part * 0.22) / 0.03
        m *= 1 - 0.35 * math.exp(-q * q) * step(0.6, 0.9, y) * (1 if s.fall > 0.05 else 0)
    return s.hair_tint_r * m, s.hair_tint_g * m, s.hair_tint_b * m


@fast
def paint_hat(x, y, z, s):
    """The colour of what is worn on the head."""
    kind = s.headwear_kind
    r = s.hat_r
    g = s.hat_g
    b = s.hat_b
    slope = y - 0.42 - 0.10 * z
    m = 1.0
    if kind == PEAKED:
        if slope < 0.0 and z > 0.5:
            return 0.02, 0.02, 0.022
        if z > 0.5 and (x / 0.10) ** 2 + ((slope - 0.14) / 0.10) ** 2 < 1.0:
            return 0.75, 0.55, 0.18
        if 0.0 < slope < 0.20:
            m = 0.55
    elif kind == FIRE or kind == HARD_HAT:
        if kind == FIRE and z > 0.4 and (x / 0.13) ** 2 + ((slope - 0.20) / 0.17) ** 2 < 1.0:
            return 0.80, 0.60, 0.16
    elif kind == STRAW:
        m = 0.85 + 0.15 * math.sin(y * 60) * math.sin(math.atan2(x, z) * 40)
        if 0.03 < slope < 0.18:
            return r * 0.30, g * 0.22, b * 0.18
    elif kind == HEADSET:
        m = 0.7 if abs(x) < 0.7 else 1.0
    elif kind == TOQUE:
        m = 0.96
    elif kind == CAP:
        m = 0.75 if slope < 0.0 else 1.0 - 0.25 * math.exp(-((x / 0.012) ** 2))
    return r * m, g * m, b * m


@fast
def shade(x, y, z, rx, ry, rz, s, turn, out):
    """Colour of the surface at (x, y, z) seen along (rx, ry, rz), into `out` (linear RGB)."""
    hx, hy, hz = to_head(x, y, z, turn)
    fx = hx / s.face_width
    fy = hy / s.face_height
    head = head_distance(hx, hy, hz, s)
    body = body_distance(x, y, z, s)
    hair = hair_distance(hx, hy, hz, s, True)
    hat = hat_distance(hx, hy, hz, s)
    worn = worn_distance(hx, hy, hz, s)
    nearest = min(min(min(head, body), hair), min(hat, worn))
    is_hair = hair == nearest
    e = 0.016 if is_hair else 0.006
    a = distance(x + e, y - e, z - e, s, turn, True)
    b_ = distance(x - e, y - e, z + e, s, turn, True)
    c = distance(x - e, y + e, z - e, s, turn, True)
    f = distance(x + e, y + e, z + e, s, turn, True)
    nx = a - b_ - c + f
    ny = -a - b_ + c + f
    nz = -a + b_ - c + f
    l = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    nx *= l
    ny *= l
    nz *= l
    lx = s.light_x
    ly = s.light_y
    lz = s.light_z
    near = 0.0
    weight = 1.0
    for i in range(3):  # ambient occlusion
        h = 0.05 + 0.14 * i
        near += max(0.0, h - distance(x + nx * h, y + ny * h, z + nz * h, s, turn, False)) * weight
        weight *= 0.6
    ao = max(0.0, 1.0 - 1.9 * near)
    lit = 1.0
    t = 0.05
    for i in range(9):  # soft shadow
        q = distance(x + nx * 0.02 + lx * t, y + ny * 0.02 + ly * t, z + nz * 0.02 + lz * t, s, turn, False)
        lit = min(lit, 0.5 + 0.5 * q * 5.5 / t)
        if lit < 0.0:
            break
        t += max(0.08, min(0.28, q))
        if t > 1.5:
            break
    lit = max(0.0, lit)
    lit = lit * lit * (3 - 2 * lit)
    gloss = 0.0
    shine = 20.0
    catch = 0.0
    open_ = 0.0
    under = 0.0  # light scattered under the skin
    if worn == nearest:
        gloss = 0.5
        shine = 40.0
        r, g, b = (s.glasses_tint_r, s.glasses_tint_g, s.glasses_tint_b) if fy > -0.2 else (0.62, 0.42, 0.16)
    elif hat == nearest:
        r, g, b = paint_hat(fx, fy, hz, s)
        kind = s.headwear_kind
        gloss = 0.35 if kind == HARD_HAT or kind == FIRE else 0.04
        shine = 30.0
    elif is_hair:
        r, g, b = paint_hair(fx, fy, hz, s)
        gloss = s.shine
        shine = 22.0
    elif body < head - 0.01 and (cloth_edge(x, y, z, s) > 0 or (y < -0.95 and s.neckwear_kind == 4)):
        r, g, b = paint_cloth(x, y, z, s)
        gloss = 0.30 if s.garment_kind == 16 else 0.02
    else:
        under = 1.0
        r, g, b, gloss, shine, catch, open_ = paint_skin(fx, fy, hz, s, head < body + 0.05, hair)
    ndl = nx * lx + ny * ly + nz * lz
    hxv = lx - rx
    hyv = ly - ry
    hzv = lz - rz
    l = 1.0 / math.sqrt(hxv * hxv + hyv * hyv + hzv * hzv)
    hxv *= l
    hyv *= l
    hzv *= l
    ndh = max(0.0, nx * hxv + ny * hyv + nz * hzv)
    ndv = max(0.0, -(nx * rx + ny * ry + nz * rz))
    wr = 0.3 if is_hair else 0.12 + 0.33 * under
    wg = 0.3 if is_hair else 0.12 + 0.12 * under
    wb = 0.3 if is_hair else 0.12 + 0.05 * under
    hemisphere = 0.5 + 0.5 * ny
    front = max(0.0, (-nx * lx * 0.7 + ny * 0.15 + nz * 0.75) * 0.8 + 0.2)
    warm_ao = ao + (1 - ao) * 0.30 * under
    ambient = (0.21 + 0.20 * hemisphere) * s.fill
    bounce = 0.30 * s.fill * front
    lit_r = lit * (1 - 0.25 * under) + 0.25 * under * math.sqrt(lit)
    light_r = s.key * max(0.0, (ndl + wr) / (1 + wr)) * lit_r * (1 + 0.05 * s.warmth) + (
        ambient + bounce
    ) * warm_ao * (1 - 0.02 * s.warmth)
    light_g = s.key * max(0.0, (ndl + wg) / (1 + wg)) * lit + (ambient + bounce) * ao
    light_b = s.key * max(0.0, (ndl + wb) / (1 + wb)) * lit * (1 - 0.07 * s.warmth) + (
        ambient + bounce
    ) * ao * (0.98 + 0.02 * s.warmth)
    edge = (1 - ndv) ** 3
    rim = s.rim * edge * max(0.0, 0.4 * ny - 0.72 * nx * lx + 0.25) * ao
    if is_hair:  # strands shine across their direction (Kajiya and Kay 1989)
        q = step(0.7, 0.0, hy)
        tx = (hx - s.hair_part * 0.18) * (1 - 0.7 * q)
        ty = (hy - 0.95) * (1 - q) - q
        tz = (hz + 0.25) * (1 - 0.7 * q)
        wx = turn[0, 0] * tx + turn[0, 1] * ty + turn[0, 2] * tz
        wy = turn[1, 0] * tx + turn[1, 1] * ty + turn[1, 2] * tz
        wz = turn[2, 0] * tx + turn[2, 1] * ty + turn[2, 2] * tz
        q = wx * nx + wy * ny + wz * nz
        wx -= q * nx
        wy -= q * ny
        wz -= q * nz
        l = 1.0 / math.sqrt(wx * wx + wy * wy + wz * wz + 1e-6)
        angle = math.atan2(fx - s.hair_part * 0.18, hz + 0.25)
        th = (wx * hxv + wy * hyv + wz * hzv) * l + 0.10 * noise(angle * 22, fy * 1.5, 2.0) - 0.08
        q = gloss * max(0.0, 1 - th * th) ** (shine * 1.4) * max(0.0, ndl * 0.8 + 0.2) * lit
        spec_r = q * (0.35 + 0.65 * min(1.0, r * 2.2))
        spec_g = q * (0.35 + 0.65 * min(1.0, g * 2.2))
        spec_b = q * (0.35 + 0.65 * min(1.0, b * 2.2))
    else:
        light = 0.3 * r + 0.6 * g + 0.1 * b
        q = gloss * ndh**shine * (0.3 + 0.7 * lit) * s.key * (1 - open_ * 0.85)
        q += 0.10 * under * edge * ao * s.key * max(0.0, ndl + 0.3) * (0.3 + light)
        spec_r = q
        spec_g = q * 0.96
        spec_b = q * 0.92
    out[0] = r * light_r + spec_r + rim * (0.25 + r) + catch
    out[1] = g * light_g + spec_g + rim * (0.25 + g) + catch
    out[2] = b * light_b + spec_b + rim * (0.25 + b) + catch


@njit(fastmath=True, cache=True, nogil=True, error_model="numpy")
def render(s, turn, size, image):
    """Marches rays through the scene in tiles of 8 x 8 (one cone finds where the tile's rays may start);
    fills `image`."""
    camera = 8.0
    tile = 8
    half = s.zoom
    cy = s.centre
    out = np.zeros(3)
    tiles = (size + tile - 1) // tile
    radius = 2 * half / size * tile * 0.5 * 1.4143 * 1.15
    for ty in range(tiles):
        for tx in range(tiles):
            dx = ((tx + 0.5) * tile / size * 2 - 1) * half
            dy = -((ty + 0.5) * tile / size * 2 - 1) * half
            l = 1.0 / math.sqrt(dx * dx + dy * dy + camera * camera)
            dx *= l
            dy *= l
            dz = -camera * l
            t = camera - 1.7
            hit = False
            for _ in range(40):
                d = distance(dx * t, cy + dy * t, camera + dz * t, s, turn, False)
                if d < radius + 0.06:
                    hit = True
                    break
                t += d - radius * 0.9 - 0.03
                if t > camera + 1.5:
                    break
            start = max(camera - 1.7, t - 0.05)
            for j in range(min(tile, size - ty * tile)):
                for i in range(min(tile, size - tx * tile)):
                    yi = ty * tile + j
                    xi = tx * tile + i
                    su = (xi + 0.5) / size * 2 - 1
                    sv = (yi + 0.5) / size * 2 - 1
                    dx = su * half
                    dy = -sv * half
                    l = 1.0 / math.sqrt(dx * dx + dy * dy + camera * camera)
                    dx *= l
                    dy *= l
                    dz = -camera * l
                    got = False
                    if hit:
                        t = start
                        for _ in range(60):
                            d = distance(dx * t, cy + dy * t, camera + dz * t, s, turn, True)
                            if d < 0.004:
                                got = True
                                break
                            t += d * 0.95
                            if t > camera + 1.2:
                                break
                    if got:
                        shade(dx * t, cy + dy * t, camera + dz * t, dx, dy, dz, s, turn, out)
                    else:
                        backdrop.paint(su, sv, s, out)
                    image[yi, xi, 0] = out[0]
                    image[yi, xi, 1] = out[1]
                    image[yi, xi, 2] = out[2]


def draw(person: Person, size: int = 128, seed: int = 0, supersample: float = 2.0) -> np.ndarray:
    """Draws `person` as photographed by `seed`: uint8 RGB (size, size, 3), the same for the same arguments.

    `supersample` is the number of rays per pixel and axis; 1 is fast and jagged.
    """
    record, turn = scene(person, view(seed))
    fine = round(size * supersample)
    image = np.zeros((fine, fine, 3))
    render(record, turn, fine, image)
    return encode(image, size)
