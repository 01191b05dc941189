"""Signed distances and noise: the small functions from which a portrait's kernel is built.

Smooth unions follow the quadratic form in common use; noise is value noise on a hashed integer lattice.
"""

import functools
import math

from numba import njit

fast = functools.partial(njit, fastmath=True, cache=True, nogil=True, error_model="numpy")()


@fast
def smooth_min(a, b, k):
    """Union whose seam is rounded over a width k."""
    h = k - abs(a - b)
    return min(a, b) if h <= 0.0 else min(a, b) - h * h / k * 0.25


@fast
def smooth_max(a, b, k):
    """Intersection whose seam is rounded over a width k."""
    h = k - abs(a - b)
    return max(a, b) if h <= 0.0 else max(a, b) + h * h / k * 0.25


@fast
def ellipsoid(x, y, z, rx, ry, rz):
    """First-order distance to an ellipsoid at the origin with the given radii."""
    ax = x / rx
    ay = y / ry
    az = z / rz
    k0 = math.sqrt(ax * ax + ay * ay + az * az)
    bx = ax / rx
    by = ay / ry
    bz = az / rz
    return k0 * (k0 - 1.0) / (math.sqrt(bx * bx + by * by + bz * bz) + 1e-6)


@fast
def capsule(px, py, pz, ax, ay, az, bx, by, bz, r1, r2):
    """Distance to the segment a-b whose radius goes from r1 to r2."""
    dx = bx - ax
    dy = by - ay
    dz = bz - az
    ex = px - ax
    ey = py - ay
    ez = pz - az
    h = min(1.0, max(0.0, (ex * dx + ey * dy + ez * dz) / (dx * dx + dy * dy + dz * dz)))
    qx = ex - dx * h
    qy = ey - dy * h
    qz = ez - dz * h
    return math.sqrt(qx * qx + qy * qy + qz * qz) - (r1 + (r2 - r1) * h)


@fast
def step(a, b, x):
    """Smooth step from 0 at a to 1 at b; a may be larger than b."""
    t = min(1.0, max(0.0, (x - a) / (b - a)))
    return t * t * (3.0 - 2.0 * t)


@fast
def lattice(i, j, k):
    """A random number in [0, 1] for each point of a grid."""
    n = (i * 374761393 + j * 668265263 + k * 1274126177) & 0xFFFFFFFF
    n = ((n ^ (n >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((n ^ (n >> 16)) & 0xFFFF) / 65535.0


@fast
def noise(x, y, z):
    """Value noise in [-1, 1] that changes over a length of 1."""
    fx = math.floor(x)
    fy = math.floor(y)
    fz = math.floor(z)
    i = int(fx)
    j = int(fy)
    k = int(fz)
    x -= fx
    y -= fy
    z -= fz
    x = x * x * (3 - 2 * x)
    y = y * y * (3 - 2 * y)
    z = z * z * (3 - 2 * z)
    a = lattice(i, j, k) * (1 - x) + lattice(i + 1, j, k) * x
    b = lattice(i, j + 1, k) * (1 - x) + lattice(i + 1, j + 1, k) * x
    c = lattice(i, j, k + 1) * (1 - x) + lattice(i + 1, j, k + 1) * x
    d = lattice(i, j + 1, k + 1) * (1 - x) + lattice(i + 1, j + 1, k + 1) * x
    return ((a * (1 - y) + b * y) * (1 - z) + (c * (1 - y) + d * y) * z) * 2 - 1
