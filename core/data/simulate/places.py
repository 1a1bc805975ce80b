"""The empty place of a view: ground, walls and hedges, every pixel coloured by where its ray ends."""

import math
from functools import lru_cache

import cv2
import numpy as np

from core.data.simulate.world import HEIGHT, OVER, VIEWS, WIDTH, Array, Colour, Picture, View


def _value_noise(x: Array, y: Array, seed: int, octaves: int = 3) -> Array:
    """Smooth noise in [-1, 1] over coordinates in cells; each octave is twice as fine and half as strong."""
    total = np.zeros(x.shape)
    weight = 1.0
    table = np.random.default_rng((seed, 99)).uniform(-1, 1, (64, 64)).astype(np.float32)
    table[63], table[:, 63] = table[0], table[:, 0]  # the pattern repeats every 63 cells without a seam
    table[63, 63] = table[0, 0]
    for _ in range(octaves):
        total += weight * cv2.remap(
            table, np.mod(x, 63).astype(np.float32), np.mod(y, 63).astype(np.float32), cv2.INTER_LINEAR
        )
        x, y, weight = x * 2.03 + 7.1, y * 2.03 + 3.7, weight / 2
    return total / 1.75


def _paint(base: Colour, shade: Array) -> Array:
    return np.array(base) * (1 + shade)[..., None]


def _slabs(s: Array, side: Array) -> Array:
    joint = (np.mod(s, 2.6) < 0.05) | (np.mod(side + 1.3, 2.6) < 0.05)
    stain = 0.05 * _value_noise(s * 0.5, side * 0.5, 3) + 0.025 * _value_noise(s * 4, side * 4, 4)
    return _paint((176, 171, 162), stain - 0.22 * joint)


def _asphalt(s: Array, side: Array) -> Array:
    stain = 0.08 * _value_noise(s * 0.4, side * 0.8, 5) + 0.05 * _value_noise(s * 6, side * 6, 6)
    line = (abs(abs(side) - 2.15) < 0.05) * 0.35
    return _paint((122, 121, 124), stain + line)


def _bricks(s: Array, side: Array) -> Array:
    row = np.floor(side / 0.3)
    column = np.floor(s / 0.6 + 0.5 * np.mod(row, 2))
    tone = np.mod(np.sin(row * 12.9898 + column * 78.233) * 43758.5453, 1.0)
    joint = (np.mod(side, 0.3) < 0.035) | (np.mod(s / 0.6 + 0.5 * np.mod(row, 2), 1.0) < 0.05)
    # arrows on the ground show the way
    u, v = np.mod(s, 6.0) - 3.0, abs(side)
    arrow = ((v < 0.12) & (abs(u) < 0.8)) | ((u > 0.3) & (u < 1.3) & (v < (1.3 - u) * 0.55))
    shade = 0.1 * (tone - 0.5) - 0.14 * joint + 0.05 * _value_noise(s * 0.4, side * 0.4, 7)
    return np.where(arrow[..., None], _paint((214, 206, 190), 0.5 * shade), _paint((168, 128, 108), shade))


def _grass(x: Array, y: Array) -> Array:
    shade = 0.16 * _value_noise(x * 0.7, y * 0.7, 8) + 0.12 * _value_noise(x * 5, y * 3, 9)
    return _paint((104, 128, 72), shade)


def _backdrop(view: View, x: Array, z: Array) -> Array:
    """The wall at the end of the view, by metres across and up: a hedge in front of a building."""
    if view.name == "path":
        wall = _paint((150, 138, 124), 0.05 * _value_noise(x, z, 10) - 0.10 * (np.mod(z, 0.45) < 0.06))
        window = (np.mod(x + 1.2, 4.4) < 1.7) & (z > 4.6) & (z < 7.0)
        wall = np.where(window[..., None], _paint((70, 82, 96), 0.2 * _value_noise(x, z * 0.3, 11)), wall)
        middle = view.origin[0] + view.wall / math.tan(view.angle)
        arch = (abs(x - middle) < 2.5) & (z < 3.0 + 0.9 * np.sqrt(np.clip(1 - ((x - middle) / 2.5) ** 2, 0, 1)))
        hedge = (z < 1.5 + 0.25 * _value_noise(x * 2, z, 12)) & ~arch
        wall = np.where(arch[..., None], np.array((22.0, 22.0, 26.0)), wall)
        return np.where(hedge[..., None], _paint((58, 84, 46), 0.35 * _value_noise(x * 4, z * 4, 13)), wall)
    if view.name == "plaza":
        wall = _paint((158, 150, 142), 0.04 * _value_noise(x, z, 14))
        window = (np.mod(x, 3.6) < 2.1) & (z > 1.9) & (z < 3.9)
        wall = np.where(window[..., None], _paint((84, 98, 112), 0.25 * _value_noise(x * 0.7, z * 0.4, 15)), wall)
        hedge = z < 1.25 + 0.3 * _value_noise(x * 1.3, z, 16)
        return np.where(hedge[..., None], _paint((62, 88, 48), 0.35 * _value_noise(x * 4, z * 4, 17)), wall)
    wall = _paint((120, 110, 104), 0.05 * _value_noise(x, z, 18) - 0.12 * (np.mod(z, 0.4) < 0.05))
    hedge = z < 1.6 + 0.5 * _value_noise(x * 0.8, z * 0.3, 19)
    return np.where(hedge[..., None], _paint((52, 78, 50), 0.4 * _value_noise(x * 3, z * 3, 20)), wall)


@lru_cache(maxsize=len(VIEWS))
def ground(view: View) -> Picture:
    """The empty place at canvas size, (OVER * HEIGHT, OVER * WIDTH, 3), red first: each pixel's ray meets the ground or
    the wall, and is coloured by where."""
    fine = OVER * 2
    row, column = np.mgrid[0 : HEIGHT * fine, 0 : WIDTH * fine] + 0.5
    right, down = (column / fine - WIDTH / 2) / view.camera.focal, (row / fine - HEIGHT / 2) / view.camera.focal
    cos, sin = math.cos(view.camera.tilt), math.sin(view.camera.tilt)
    ahead, fall = cos - down * sin, sin + down * cos  # the ray's y, and how far it sinks, per metre of depth
    reach = np.where(fall > 1e-6, view.camera.height / np.maximum(fall, 1e-6), np.inf)
    at_wall = view.wall / ahead
    hits = reach < at_wall
    reach = np.where(hits, reach, 0.0)
    x, y = right * reach, ahead * reach
    along, across = math.cos(view.angle), math.sin(view.angle)
    dx, dy = x - view.origin[0], y - view.origin[1]
    s, side = dx * along + dy * across, -dx * across + dy * along
    surface = {"plaza": _slabs, "path": _asphalt, "gate": _bricks}[view.name]
    edge = abs(side) - view.half_width - 0.35
    floor = np.where((edge < 0)[..., None], surface(s, side), _grass(x, y))
    curb = (edge > -0.12) & (edge < 0.06)
    floor = np.where(curb[..., None], _paint((198, 194, 186), 0.04 * _value_noise(s, side, 21)), floor)
    wall = _backdrop(view, right * at_wall, view.camera.height - fall * at_wall)
    # the foot of the wall is darker, and everything loses a little contrast with distance
    picture = np.where(hits[..., None], floor, wall)
    near_wall = np.where(hits, np.exp(-(view.wall - y) / 0.7), 0.0)
    picture = picture * (1 - 0.35 * near_wall)[..., None]
    haze = np.clip((np.where(hits, y, view.wall) - 12) / 90, 0, 0.25)[..., None]
    picture = picture * (1 - haze) + 170 * haze
    small = cv2.resize(picture.astype(np.float32), (WIDTH * OVER, HEIGHT * OVER), interpolation=cv2.INTER_AREA)
    place = np.clip(small, 0, 255).astype(np.uint8)
    place.setflags(write=False)
    return place
