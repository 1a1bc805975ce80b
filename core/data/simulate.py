r"""Simulated walkway video: three cameras, ordinary traffic, ten kinds of anomaly, with frame truth.

The world is a flat ground in metres, x to the right, y away from the camera, z up. A camera stands at (0, 0, h), looks
along y and is tilted down by the angle t; a point (x, y, z) lies in the picture at

    depth  = y cos t + (h - z) sin t
    column = W/2 + focal * x / depth
    row    = H/2 + focal * ((h - z) cos t - y sin t) / depth

Everything that moves is a list of tapered capsules and convex polygons in that world (limbs, wheels, boxes). They are
drawn far to near on twice the picture's size, above soft shadows (the same parts laid flat on the ground along the
sun's rays), then made small, blurred a little, given a slow change of light and sensor noise, and encoded as H.264.

Which evidence a kind of anomaly needs follows from the traffic that is ordinary, in every view and every clip:

- ordinary: walkers; now and then a dog that runs, so a fast object alone proves nothing; bicycles, service carts and
  boards at walking pace, so neither does their shape.
- both: a bicycle, a cart or a board *at speed*. The same shapes as the slow ones, the same speeds as the dogs'.
- motion: a runner is a walker's shape, faster than any dog; whoever walks against the stream of the one-way view
  looks like anyone else; loitering, a fight and thrown objects need people who stop, and ordinary people stop for two
  seconds at most.
- appearance: a van and a long panel, larger than anything ordinary, at a walker's speed.

Left out: faces, cloth, reflections, wind, rain, night, rolling shutter, camera shake, lens distortion, people who make
way for each other (they walk through one another), and crowds.
"""

import json
import math
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]
Colour = tuple[float | int, float | int, float | int]  # red, green, blue, 0 to 255
Random = np.random.Generator

WIDTH, HEIGHT, FPS = 320, 240, 12
OVER = 2  # drawn this many times larger, then averaged down
LICENCE = "made by this project, like its source: rendered by its own simulator, no real person or place is shown"
SPEED_WALK = (1.35, 0.14)  # metres a second: mean, standard deviation
SPEED_FAST = (2.6, 3.5)  # dogs, and wheels at speed: one range
SPEED_RUN = (4.4, 5.4)
DOGS, WHEELS = 50, 40  # seconds between two running dogs, and between two slow bicycles, carts or boards
PAUSE = (0.8, 2.0)  # seconds an ordinary walker may stop


@dataclass(frozen=True)
class Kind:
    """A kind of anomaly. `evidence` is "motion", "appearance" or "both"; `views` are where that is true."""

    evidence: str
    views: tuple[str, ...]
    what: str


ALL_VIEWS = ("plaza", "path", "gate")
KINDS: dict[str, Kind] = {
    "cyclist": Kind("both", ALL_VIEWS, "rides a bicycle at speed; at walking pace it is ordinary"),
    "cart": Kind("both", ALL_VIEWS, "drives a service cart at speed; at walking pace it is ordinary"),
    "skater": Kind("both", ALL_VIEWS, "rolls on a board at speed; at walking pace it is ordinary"),
    "runner": Kind("motion", ALL_VIEWS, "shape and posture of a walker, three to four times as fast"),
    "wrong way": Kind("motion", ("gate",), "an ordinary walker against the one-way stream"),
    "loitering": Kind("motion", ALL_VIEWS, "stands about for 8 to 14 seconds, with a few steps to and fro"),
    "fight": Kind("motion", ALL_VIEWS, "two walkers turn on each other with quick blows"),
    "thrown object": Kind("motion", ALL_VIEWS, "two people throw a ball across the walkway"),
    "van": Kind("appearance", ALL_VIEWS, "a van creeps along the walkway at walking pace"),
    "panel": Kind("appearance", ("plaza", "gate"), "two people carry a long board at walking pace"),
}


# --- camera and views -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Camera:
    """height in metres, tilt in radians below the horizon, focal length in pixels of the finished picture."""

    height: float
    tilt: float
    focal: float

    def project(self, points: Array) -> tuple[Array, Array]:
        """(n, 3) metres -> (n, 2) column and row in pixels of the finished picture, and (n,) depth in metres."""
        x, y, below = points[:, 0], points[:, 1], self.height - points[:, 2]
        depth = np.maximum(y * math.cos(self.tilt) + below * math.sin(self.tilt), 0.3)
        row = below * math.cos(self.tilt) - y * math.sin(self.tilt)
        return np.stack((WIDTH / 2 + self.focal * x / depth, HEIGHT / 2 + self.focal * row / depth), axis=1), depth


@dataclass(frozen=True)
class View:
    """A camera over a straight walkway.

    origin, angle   a point of the walkway's middle line (metres), and its direction in radians from x towards y
    ends            where walkers come in and go out, metres along the middle line; both out of sight
    stage           the part of it where people stop, well inside the picture
    half_width      metres from the middle line to the edge
    one_way         walkers go towards positive s only
    traffic         groups of walkers that come in, per second
    wall            metres to the wall that closes the picture
    tunnel          depth y at which people fade into a dark passage (none: they leave through the picture's edge)
    """

    name: str
    camera: Camera
    origin: tuple[float, float]
    angle: float
    ends: tuple[float, float]
    stage: tuple[float, float]
    half_width: float
    one_way: bool
    traffic: float
    wall: float
    tunnel: float | None = None
    posts: tuple[tuple[float, float], ...] = ()

    def place(self, s: Array | float, side: Array | float) -> Array:
        """Metres along and beside the middle line -> ground points (..., 2)."""
        along = np.array((math.cos(self.angle), math.sin(self.angle)))
        across = np.array((-math.sin(self.angle), math.cos(self.angle)))
        return np.array(self.origin) + np.multiply.outer(s, along) + np.multiply.outer(side, across)


VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        View(
            "plaza",
            Camera(7.0, math.radians(20), 410.0),
            (0.0, 17.0), 0.0, (-11.0, 11.0), (-4.5, 4.5), 3.4, False, 0.33, 27.0,
            posts=((-5.4, 12.6), (4.9, 21.3)),
        ),
        View(
            "path",
            Camera(5.4, math.radians(17), 330.0),
            (0.6, 0.0), math.radians(88), (4.0, 28.5), (9.5, 16.0), 2.3, False, 0.20, 28.5, 28.0,
            posts=((-3.4, 13.0), (4.2, 22.0)),
        ),
        View(
            "gate",
            Camera(6.4, math.radians(23), 380.0),
            (0.0, 15.0), math.radians(27), (-12.5, 15.5), (-3.2, 5.0), 2.5, True, 0.36, 31.0,
            posts=((-4.4, 16.6), (2.6, 11.8)),
        ),
    )
}  # fmt: skip


# --- parts: what is drawn ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A capsule between two points with two radii (metres), or, without radii, a flat convex polygon."""

    points: Array
    colour: Colour
    radii: tuple[float, float] | None = None


@dataclass(frozen=True)
class Pose:
    """Angles in radians, left then right; 0 hangs straight down and positive swings forward. seat: hip height in metres
    (None: the lower foot stands on the ground)."""

    hip: tuple[float, float] = (0.0, 0.0)
    knee: tuple[float, float] = (0.05, 0.05)
    shoulder: tuple[float, float] = (0.0, 0.0)
    elbow: tuple[float, float] = (0.2, 0.2)
    spread: float = 0.12
    lean: float = 0.03
    seat: float | None = None


@dataclass(frozen=True)
class Look:
    """What a person wears and how tall it is (metres)."""

    tall: float
    shirt: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    load: str  # "" | "backpack" | "bag" | "skirt"
    load_colour: Colour
    body: Colour  # of a vehicle, dog or board that goes with it


SHIRTS: tuple[Colour, ...] = (
    (196, 54, 48), (42, 74, 140), (232, 230, 224), (44, 46, 52), (74, 122, 84), (214, 168, 62), (128, 86, 140),
    (106, 148, 178), (150, 152, 156), (88, 60, 48), (220, 130, 120), (30, 96, 104),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = (
    (38, 46, 74), (30, 30, 34), (92, 84, 72), (64, 84, 120), (150, 138, 112), (56, 58, 60), (110, 112, 118),
)  # fmt: skip
SKIN: tuple[Colour, ...] = ((232, 190, 160), (204, 152, 116), (150, 104, 76), (104, 70, 52), (240, 206, 182))
HAIR: tuple[Colour, ...] = ((34, 26, 22), (84, 56, 36), (150, 116, 70), (24, 24, 26), (130, 126, 124))
BODIES: tuple[Colour, ...] = (
    (216, 216, 208), (196, 152, 46), (60, 100, 70), (72, 88, 128), (160, 50, 44), (60, 60, 64),
)  # fmt: skip


def dress(random: Random) -> Look:
    def one_of(colours: tuple[Colour, ...]) -> Colour:
        red, green, blue = colours[random.integers(len(colours))]
        shift = random.uniform(0.85, 1.12)
        return min(red * shift, 255.0), min(green * shift, 255.0), min(blue * shift, 255.0)

    load = str(random.choice(("", "", "backpack", "backpack", "bag", "skirt")))
    return Look(
        float(random.uniform(1.55, 1.9)),
        one_of(SHIRTS), one_of(TROUSERS), one_of(SKIN), one_of(HAIR), one_of(TROUSERS), load, one_of(SHIRTS),
        one_of(BODIES),
    )  # fmt: skip


def darker(colour: Colour, share: float) -> Colour:
    return colour[0] * share, colour[1] * share, colour[2] * share


class Frame:
    """A local frame on the ground: forward, left, up (metres) -> world."""

    def __init__(self, at: Array, heading: float, scale: float = 1.0) -> None:
        c, s = math.cos(heading) * scale, math.sin(heading) * scale
        self.turn = np.array(((c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, scale)))
        self.origin = np.array((at[0], at[1], at[2] if len(at) > 2 else 0.0))

    def __call__(self, points: object) -> Array:
        return np.asarray(points, dtype=np.float64) @ self.turn + self.origin

    def limb(self, a: object, b: object, ra: float, rb: float, colour: Colour) -> Part:
        scale = self.turn[2, 2]
        return Part(self((a, b)), colour, (ra * scale, rb * scale))

    def box(self, low: tuple[float, float, float], high: tuple[float, float, float], colour: Colour) -> list[Part]:
        """Six faces: the top brightest, front and back a little darker than the sides."""
        (f0, l0, z0), (f1, l1, z1) = low, high
        faces = (
            ((f0, l0, z1), (f1, l0, z1), (f1, l1, z1), (f0, l1, z1), 1.08),
            ((f0, l0, z0), (f1, l0, z0), (f1, l0, z1), (f0, l0, z1), 0.86),
            ((f0, l1, z0), (f1, l1, z0), (f1, l1, z1), (f0, l1, z1), 0.86),
            ((f1, l0, z0), (f1, l1, z0), (f1, l1, z1), (f1, l0, z1), 0.72),
            ((f0, l0, z0), (f0, l1, z0), (f0, l1, z1), (f0, l0, z1), 0.72),
        )
        return [Part(self(face[:4]), darker(colour, face[4])) for face in faces]

    def wheel(self, f: float, left: float, radius: float, colour: Colour, solid: bool) -> list[Part]:
        turn = np.linspace(0, 2 * np.pi, 13 if solid else 15)
        rim = np.stack((f + radius * np.cos(turn), np.full_like(turn, left), radius + radius * np.sin(turn)), axis=1)
        if solid:
            return [Part(self(rim[:-1]), colour)]
        return [self.limb(a, b, 0.028, 0.028, colour) for a, b in zip(rim[:-1], rim[1:], strict=True)]


def figure(at: Array, heading: float, pose: Pose, look: Look) -> list[Part]:
    """A person: legs of two segments, torso, arms of two segments, head, and what it carries."""
    thigh, shank, upper, fore = 0.44, 0.45, 0.29, 0.27
    hips = [np.array((0.0, side * 0.09, 0.0)) for side in (1, -1)]
    knees, ankles, toes = [], [], []
    for hip, swing, bend in zip(hips, pose.hip, pose.knee, strict=True):
        knee = hip + thigh * np.array((math.sin(swing), 0.0, -math.cos(swing)))
        ankle = knee + shank * np.array((math.sin(swing - bend), 0.0, -math.cos(swing - bend)))
        knees.append(knee)
        ankles.append(ankle)
        toes.append(ankle + np.array((0.16 * math.cos(swing - bend), 0.0, 0.16 * math.sin(swing - bend))))
    ground = Frame(at, heading, look.tall / 1.75)
    rise = 0.05 - min(a[2] for a in ankles) if pose.seat is None else pose.seat / ground.turn[2, 2]
    up = np.array((math.sin(pose.lean), 0.0, math.cos(pose.lean)))
    root = np.array((0.0, 0.0, rise))
    chest, neck, head = root + 0.44 * up, root + 0.55 * up, root + 0.70 * up + np.array((0.02, 0.0, 0.0))

    parts = []
    for i, shade in ((0, 1.0), (1, 0.88)):
        hip, knee, ankle, toe = hips[i] + root, knees[i] + root, ankles[i] + root, toes[i] + root
        lower = look.skin if look.load == "skirt" else look.trousers
        parts += [
            ground.limb(hip, knee, 0.085, 0.065, darker(look.trousers, shade)),
            ground.limb(knee, ankle, 0.062, 0.045, darker(lower, shade)),
            ground.limb(ankle, toe, 0.05, 0.035, darker(look.shoes, shade)),
        ]
        sleeve, side = look.skin if look.load == "bag" else look.shirt, 1 - 2 * i
        shoulder = chest + np.array((0.0, side * 0.19, 0.04))
        swing, bend = pose.shoulder[i], pose.elbow[i]
        out = side * math.sin(pose.spread)
        elbow = shoulder + upper * np.array((math.sin(swing), out, -math.cos(swing)))
        hand = elbow + fore * np.array((math.sin(swing + bend), out * 0.3, -math.cos(swing + bend)))
        parts += [
            ground.limb(shoulder, elbow, 0.055, 0.045, darker(look.shirt, shade * 0.93)),
            ground.limb(elbow, hand, 0.042, 0.035, darker(sleeve, shade * 0.9)),
        ]
    if look.load == "skirt":
        parts.append(ground.limb(root + 0.1 * up, root - np.array((0, 0, 0.3)), 0.14, 0.21, look.load_colour))
    parts += [
        ground.limb(root + 0.04 * up, chest, 0.145, 0.165, look.shirt),
        ground.limb(chest + (0, 0.15, 0.03), chest + (0, -0.15, 0.03), 0.085, 0.085, look.shirt),
        ground.limb(neck, head, 0.055, 0.06, look.skin),
        ground.limb(head, head + (0, 0, 0.05), 0.10, 0.10, look.skin),
        ground.limb(head + (-0.035, 0, 0.06), head + (-0.02, 0, 0.09), 0.10, 0.095, look.hair),
    ]
    if look.load == "backpack":
        back = chest - np.array((0.19, 0.0, 0.0))
        parts.append(ground.limb(back - (0, 0, 0.26), back + (0, 0, 0.02), 0.13, 0.11, look.load_colour))
    if look.load == "bag":
        parts.append(ground.limb(root + (0, -0.2, -0.02), root + (0.02, -0.2, 0.12), 0.10, 0.08, look.load_colour))
    return parts


def gait(phase: float, reach: float = 0.44) -> Pose:
    """One stride is a phase of 2 pi; the leg that swings forward bends its knee."""
    s = math.sin(phase)
    bend = [0.12 + 0.75 * max(0.0, math.cos(phase + turn)) ** 2 for turn in (0.0, math.pi)]
    return Pose((reach * s, -reach * s), (bend[0], bend[1]), (-0.8 * reach * s, 0.8 * reach * s), (0.3, 0.3))


# --- actors -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """Where an actor is in one frame: ground point (metres; a third number is height), heading (radians), gait phase,
    and for how many seconds it has been doing something other than going its way (below 0: it is not)."""

    at: Array
    heading: float
    phase: float
    acting: float


def _walker(state: State, look: Look) -> list[Part]:
    return figure(state.at, state.heading, gait(state.phase), look)


def _stander(state: State, look: Look) -> list[Part]:
    """Walks, and while it acts stands or paces with the same legs (the track decides)."""
    return figure(state.at, state.heading, gait(state.phase, 0.44 if state.acting < 0 else 0.3), look)


def _fighter(state: State, look: Look) -> list[Part]:
    if state.acting < 0:
        return _walker(state, look)
    beat = state.acting * 2 * math.pi * 1.9 + look.tall * 40
    left, right = max(0.0, math.sin(beat)), max(0.0, -math.sin(beat * 1.13))
    lunge = 0.16 * math.sin(beat * 0.5)
    pose = Pose(
        (0.35 + lunge, -0.3), (0.35, 0.25), (0.75 + left, 0.75 + right), (1.5 - 1.4 * left, 1.5 - 1.4 * right),
        0.25, 0.18 + lunge,
    )  # fmt: skip
    forward = np.array((math.cos(state.heading), math.sin(state.heading))) * lunge * 0.9
    return figure(state.at[:2] + forward, state.heading, pose, look)


def _thrower(state: State, look: Look) -> list[Part]:
    if state.acting < 0:
        return _walker(state, look)
    swing = math.cos(state.phase)  # the track turns the phase once a throw; +1 is the moment of release
    arms = (0.3, 1.5 + 1.2 * swing), (0.4, 0.9 - 0.7 * swing)
    pose = Pose((0.22, -0.2), (0.15, 0.15), *arms, 0.15, 0.05 + 0.15 * swing)
    return figure(state.at, state.heading, pose, look)


def _ball(state: State, look: Look) -> list[Part]:
    at = state.at
    return [Part(np.array((at, at + (0, 0, 0.01))), look.body, (0.2, 0.2))] if at[2] > 0 else []


def _cyclist(state: State, look: Look) -> list[Part]:
    s = math.sin(state.phase)
    legs = (0.95 + 0.42 * s, 0.95 - 0.42 * s), (1.25 + 0.4 * s, 1.25 - 0.4 * s)
    pose = Pose(*legs, (0.95, 0.95), (0.25, 0.25), 0.1, 0.42, 0.98)
    bike = Frame(state.at, state.heading)
    dark, metal = (28.0, 28.0, 30.0), look.body
    parts = bike.wheel(-0.5, 0.0, 0.36, dark, False) + bike.wheel(0.56, 0.0, 0.36, dark, False)
    hub, seat_top, pedals, bar = (-0.5, 0, 0.36), (-0.12, 0, 0.85), (0.05, 0, 0.32), (0.42, 0, 0.85)
    rods = ((hub, seat_top), (seat_top, pedals), (pedals, hub), (pedals, bar), (seat_top, bar), (bar, (0.56, 0, 0.36)))
    parts += [bike.limb(a, b, 0.025, 0.025, metal) for a, b in rods]
    parts += [bike.limb((0.4, 0.24, 1.03), (0.4, -0.24, 1.03), 0.022, 0.022, dark)]
    seat = bike((-0.16, 0.0, 0.0))
    return parts + figure(seat[:2], state.heading, pose, look)


def _skater(state: State, look: Look) -> list[Part]:
    sway = 0.12 * math.sin(state.phase * 0.35)
    pose = Pose((0.34, -0.34), (0.42, 0.2), (0.35 + sway, -0.45 + sway), (0.35, 0.35), 0.55, 0.12 + sway * 0.5)
    board = Frame(state.at, state.heading)
    parts = board.box((-0.45, -0.12, 0.07), (0.45, 0.12, 0.12), look.body)
    for f in (-0.3, 0.3):
        parts += board.wheel(f, 0.0, 0.05, (30.0, 30.0, 30.0), True)
    above = np.array((state.at[0], state.at[1], 0.12))
    return parts + figure(above, state.heading, pose, look)


def _cart(state: State, look: Look) -> list[Part]:
    cart = Frame(state.at, state.heading)
    dark = (26.0, 26.0, 28.0)
    parts = []
    for f in (-0.85, 0.85):
        for left in (-0.62, 0.62):
            parts += cart.wheel(f, left, 0.27, dark, True)
    parts += cart.box((-1.3, -0.62, 0.28), (1.3, 0.62, 0.62), look.body)
    parts += cart.box((-1.3, -0.58, 0.62), (-0.35, 0.58, 1.15), darker(look.body, 0.8))
    parts += cart.box((0.95, -0.6, 0.62), (1.3, 0.6, 0.95), look.body)
    for f in (-0.32, 0.98):
        for left in (-0.58, 0.58):
            parts.append(cart.limb((f, left, 0.6), (f, left, 1.85), 0.03, 0.03, dark))
    driver = cart((0.05, 0.0, 0.0))
    pose = Pose((1.35, 1.35), (1.0, 1.0), (0.9, 0.9), (0.5, 0.5), 0.1, 0.0, 0.72)
    parts += figure(driver[:2], state.heading, pose, replace(look, load=""))
    return parts + cart.box((-0.45, -0.64, 1.85), (1.1, 0.64, 1.93), (226.0, 224.0, 214.0))


def _van(state: State, look: Look) -> list[Part]:
    van = Frame(state.at, state.heading)
    glass, dark = (58.0, 70.0, 82.0), (28.0, 28.0, 30.0)
    parts = []
    for f in (-1.3, 1.35):
        for left in (-0.86, 0.86):
            parts += van.wheel(f, left, 0.34, dark, True)
    parts += van.box((-2.1, -0.86, 0.3), (1.35, 0.86, 2.15), look.body)
    parts += van.box((1.35, -0.86, 0.3), (2.15, 0.86, 1.15), look.body)
    windows = [[(0.55, side, 1.3), (1.25, side, 1.3), (1.25, side, 1.95), (0.55, side, 1.95)] for side in (-0.88, 0.88)]
    windows.append([(1.37, -0.75, 1.25), (1.37, 0.75, 1.25), (1.37, 0.75, 2.0), (1.37, -0.75, 2.0)])
    windows.append([(-2.12, -0.7, 1.3), (-2.12, 0.7, 1.3), (-2.12, 0.7, 1.9), (-2.12, -0.7, 1.9)])
    return parts + [Part(van(window), glass) for window in windows]


def _panel(state: State, look: Look) -> list[Part]:
    """One behind the other, the board upright between them."""
    pair = Frame(state.at, state.heading)
    parts = pair.box((-2.3, -0.04, 0.6), (2.3, 0.04, 1.6), look.body)
    other = replace(look, shirt=look.load_colour, tall=3.45 - look.tall, trousers=look.shoes)
    for ahead, who in ((-1.9, look), (1.9, other)):
        pose = replace(gait(state.phase + ahead, 0.4), shoulder=(0.5, 0.5), elbow=(0.9, 0.9))
        parts += figure(pair((ahead, 0.3, 0.0))[:2], state.heading, pose, replace(who, load=""))
    return parts


def _dog(state: State, look: Look) -> list[Part]:
    dog = Frame(state.at, state.heading)
    coat, s, c = look.hair, math.sin(state.phase), math.cos(state.phase)
    lift = 0.05 * abs(s)
    parts = [
        dog.limb((-0.32, 0, 0.46 + lift), (0.3, 0, 0.5 + lift), 0.12, 0.15, coat),
        dog.limb((0.38, 0, 0.58 + lift), (0.5, 0, 0.72 + lift), 0.09, 0.09, coat),
        dog.limb((0.5, 0, 0.72 + lift), (0.7, 0, 0.68 + lift), 0.08, 0.05, darker(coat, 0.85)),
        dog.limb((-0.4, 0, 0.52 + lift), (-0.68, 0, 0.74 + lift), 0.04, 0.02, coat),
    ]
    for f, swing in ((0.26, s), (0.22, c), (-0.3, -s), (-0.26, -c)):
        parts.append(dog.limb((f, 0.07, 0.42 + lift), (f + 0.24 * swing, 0.07, 0.04), 0.05, 0.03, darker(coat, 0.9)))
    return parts


FORMS: dict[str, Callable[[State, Look], list[Part]]] = {
    "walker": _walker, "stander": _stander, "fighter": _fighter, "thrower": _thrower, "ball": _ball,
    "cyclist": _cyclist, "skater": _skater, "cart": _cart, "van": _van, "panel": _panel, "dog": _dog,
}  # fmt: skip


@dataclass(frozen=True)
class Actor:
    """Something that moves: a form, a look, and one state a frame from frame `start` on.

    kind        the anomaly it is part of, or "" for ordinary traffic
    ordinary    what the same person does in the same clip without the anomaly; None: it is not there at all
    """

    form: str
    look: Look
    at: Array  # (n, 2) or (n, 3)
    heading: Array  # (n,)
    phase: Array  # (n,)
    acting: Array  # (n,) seconds, below 0 when it is not acting
    start: int = 0
    kind: str = ""
    ordinary: "Actor | None" = None

    def state(self, frame: int) -> State | None:
        i = frame - self.start
        if not 0 <= i < len(self.at):
            return None
        return State(self.at[i], float(self.heading[i]), float(self.phase[i]), float(self.acting[i]))

    def shifted(self, frames: int) -> "Actor":
        ordinary = None if self.ordinary is None else self.ordinary.shifted(frames)
        return replace(self, start=self.start + frames, ordinary=ordinary)


@dataclass(frozen=True)
class Scene:
    """Everything that decides a clip's pixels.

    light   gain per frame; sun: strength of shadows in [0, 1) (0: overcast); sun_way: metres of shadow, x and y, for
            each metre of height; warmth: colour gain of red against blue; noise: grey levels (standard deviation)
    truth   (kind, first frame, frame after the last) of each anomaly, in time order and apart from each other
    """

    view: View
    frames: int
    actors: tuple[Actor, ...]
    light: Array
    sun: float
    sun_way: tuple[float, float]
    warmth: float
    noise: float
    seed: int
    truth: "Truth" = ()

    def without_anomalies(self) -> "Scene":
        """The same clip in which nothing anomalous happens; ordinary traffic, light and noise stay."""
        kept = [actor if not actor.kind else actor.ordinary for actor in self.actors]
        return replace(self, actors=tuple(actor for actor in kept if actor is not None), truth=())


# --- tracks -----------------------------------------------------------------------------------------------------------


def _walk_through(
    view: View,
    random: Random,
    speed: float,
    side: float,
    way: int,
    stride: float,
    hold: tuple[float, float] | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Cross the view from end to end. hold: (place s, seconds) where it stands still on the way.

    Returns at (n, 2), heading (n,), phase (n,), acting (n,).
    """
    begin, end = view.ends if way > 0 else view.ends[::-1]
    n = max(int(abs(end - begin) / speed * FPS), 2)
    s = begin + way * speed * np.arange(n) / FPS
    acting = np.full(n, -1.0)
    if hold is not None:
        i = int(np.argmin(abs(s - hold[0])))
        stay = int(hold[1] * FPS)
        s = np.concatenate((s[:i], np.full(stay, s[i]), s[i:]))
        acting = np.concatenate((acting[:i], np.arange(stay) / FPS, acting[i:]))
    sway = side + 0.12 * np.sin(s * random.uniform(0.25, 0.5) + random.uniform(0, 6.3))
    at = view.place(s, 0.0) + (view.place(0.0, 1.0) - view.place(0.0, 0.0)) * sway[:, None]
    heading = np.full(len(s), view.angle + (0.0 if way > 0 else math.pi))
    gone = np.concatenate(((0.0,), np.cumsum(abs(np.diff(s)))))
    phase = random.uniform(0, 6.3) + 2 * np.pi * gone / stride
    return at, heading, phase, acting


def _way(view: View, random: Random) -> int:
    return 1 if view.one_way else int(random.choice((-1, 1)))


def _walking_speed(random: Random) -> float:
    return float(np.clip(random.normal(*SPEED_WALK), 0.95, 1.75))


def _group(view: View, random: Random) -> list[Actor]:
    """One to three people side by side, now and then with a short stop."""
    size = int(random.choice((1, 1, 1, 2, 2, 3)))
    way, speed = _way(view, random), _walking_speed(random)
    room = view.half_width - 0.35 * size
    # keep to the right, roughly: a street's habit, and both ways stay mixed
    side = float(np.clip(random.normal(-way * room * 0.3, room * 0.5), -room, room))
    hold = None
    if random.random() < 0.15:
        hold = (float(random.uniform(*view.stage)), float(random.uniform(*PAUSE)))
    actors = []
    for i in range(size):
        look = dress(random)
        stride = look.tall * 0.8 * math.sqrt(speed / 1.35)
        beside = side + (i - (size - 1) / 2) * 0.72
        at, heading, phase, _ = _walk_through(view, random, speed, beside, way, stride, hold)
        at = at + 0.25 * random.normal(size=2)
        actors.append(Actor("walker", look, at, heading, phase, np.full(len(at), -1.0)))
    return actors


def _passing(view: View, random: Random, form: str, speed: float, way: int | None = None, kind: str = "") -> Actor:
    look = dress(random)
    stride = look.tall * 0.8 * math.sqrt(speed / 1.35)
    stride = {"cyclist": 4.2, "dog": 1.5, "skater": 3.0, "cart": 3.0}.get(form, stride)  # metres a turn of the phase
    room = view.half_width - {"cart": 0.9, "van": 1.2}.get(form, 0.5)
    side = float(random.uniform(-room, room))
    at, heading, phase, acting = _walk_through(view, random, speed, side, way or _way(view, random), stride)
    return Actor(form, look, at, heading, phase, acting, kind=kind)


def _loiterer(view: View, random: Random) -> list[Actor]:
    """Walks in, stands about with a few steps to and fro within two metres, then walks on."""
    look, speed, way = dress(random), _walking_speed(random), _way(view, random)
    side = float(random.uniform(-1, 1)) * (view.half_width - 0.5)
    where, seconds = float(random.uniform(*view.stage)), float(random.uniform(8, 14))
    at, heading, phase, acting = _walk_through(view, random, speed, side, way, look.tall * 0.8, (where, seconds))
    plain = _walk_through(view, random, speed, side, way, look.tall * 0.8)
    i = np.flatnonzero(acting >= 0)
    t = acting[i]
    period = float(random.uniform(9.0, 13.0))
    # a clipped sine: paces, stands at either end, and comes back to where it began
    pace = 1.1 * np.clip(3.0 * np.sin(2 * np.pi * t / period), -1, 1) * np.minimum(1, (t[-1] - t) / 1.5)
    ahead = view.place(pace * way, 0.0) - view.place(0.0, 0.0)
    at[i] += ahead
    step = np.diff(pace, prepend=0.0)
    turned = np.where(abs(step) > 1e-3, np.where(step < 0, np.pi, 0.0), np.nan)
    for k in range(len(turned)):  # while it stands it keeps facing where it went
        if np.isnan(turned[k]):
            turned[k] = turned[k - 1] if k else 0.0
    heading[i] += turned
    extra = np.zeros(len(phase))
    extra[i] = 2 * np.pi * abs(step) / (look.tall * 0.7)
    phase = phase + np.cumsum(extra)
    before = i[0]
    plain_at = np.concatenate((at[:before], plain[0][before:] + (at[before - 1] - plain[0][before - 1])))
    ordinary = Actor("stander", look, plain_at, plain[1], plain[2] - plain[2][0] + phase[0], plain[3])
    return [Actor("stander", look, at, heading, phase, acting, kind="loitering", ordinary=ordinary)]


def _pair(
    view: View, random: Random, form: str, kind: str, seconds: float, beside: float, behind: float = 0.0
) -> list[Actor]:
    """Two walkers, this many metres beside and behind each other, who stop, turn to each other, act, and walk on."""
    speed, way = _walking_speed(random), _way(view, random)
    room = view.half_width - beside / 2 - 0.4
    side, where = float(random.uniform(-room, room)), float(random.uniform(*view.stage))
    actors = []
    for half in (-1, 1):
        look = dress(random)
        hold = (where + half * behind / 2, seconds)
        lane = side + half * beside / 2
        state = random.bit_generator.state  # the same sway with and without the stop
        at, heading, phase, acting = _walk_through(view, random, speed, lane, way, look.tall * 0.8, hold)
        random.bit_generator.state = state
        plain = _walk_through(view, random, speed, lane, way, look.tall * 0.8)
        towards = view.angle + math.atan2(-half * beside, -half * behind)
        heading = np.where(acting >= 0, towards, heading)
        actor = Actor(form, look, at, heading, phase, acting, kind=kind, ordinary=Actor(form, look, *plain))
        actors.append(actor.shifted(-int(np.argmax(acting >= 0))))  # both stop in frame 0
    return actors


def _fight(view: View, random: Random) -> list[Actor]:
    return _pair(view, random, "fighter", "fight", float(random.uniform(6, 11)), 0.3, 0.9)


def _throw(view: View, random: Random) -> list[Actor]:
    """A ball goes to and fro; it is in a hand, and hidden, for half of each second between two throws."""
    flight, rest = 0.75, 0.5
    count = int(random.integers(5, 8))
    seconds = count * (flight + rest)
    pair = _pair(view, random, "thrower", "thrown object", seconds, view.half_width, 4.6)
    i = np.flatnonzero(pair[0].acting >= 0)
    t = pair[0].acting[i]
    turn, within = np.divmod(t, flight + rest)
    share = np.clip((within - rest) / flight, 0, 1)
    hands = [actor.at[i] for actor in pair]
    odd = (turn.astype(int) % 2)[:, None]
    start, goal = np.where(odd, hands[1], hands[0]), np.where(odd, hands[0], hands[1])
    flat = start + (goal - start) * share[:, None]
    rise = np.where((share > 0) & (share < 1), 1.7 + 4 * 1.5 * share * (1 - share), -1.0)
    look = replace(dress(random), body=(236.0, 108.0, 36.0))
    ball = Actor(
        "ball", look, np.column_stack((flat, rise)), np.zeros(len(i)), np.zeros(len(i)), t,
        kind="thrown object",
    )  # fmt: skip
    throwers = []
    for half, actor in enumerate(pair):
        phase = actor.phase.copy()
        mine = (turn.astype(int) % 2) == half
        # the arm goes back while the ball rests, is forward at release, and down again after
        phase[i] = np.where(mine, np.pi + np.pi * np.clip(within / rest, 0, 1) + np.pi * share, np.pi)
        throwers.append(replace(actor, phase=phase))
    return [*throwers, ball]


def _anomaly(kind: str, view: View, random: Random) -> list[Actor]:
    """The actors of one anomaly, in their own time."""
    if kind == "loitering":
        return _loiterer(view, random)
    if kind == "fight":
        return _fight(view, random)
    if kind == "thrown object":
        return _throw(view, random)
    if kind == "wrong way":
        return [_passing(view, random, "walker", _walking_speed(random), -1, kind)]
    if kind == "runner":
        return [_passing(view, random, "walker", float(random.uniform(*SPEED_RUN)), None, kind)]
    if kind in ("van", "panel"):
        return [_passing(view, random, kind, _walking_speed(random), None, kind)]
    return [_passing(view, random, kind, float(random.uniform(*SPEED_FAST)), None, kind)]


# --- planning a clip --------------------------------------------------------------------------------------------------


def _seen(view: View, actor: Actor) -> tuple[int, int] | None:
    """First frame, and frame after the last, in which the actor's body covers a pixel; None: it never does."""
    frames = []
    for frame in range(actor.start, actor.start + len(actor.at)):
        state = actor.state(frame)
        if state is None:
            continue
        outlines = [polygon for polygon, _, _ in _polygons(view, FORMS[actor.form](state, actor.look))]
        if _daylight(view, state) > 0 and _covers(outlines):
            frames.append(frame)
    return (frames[0], frames[-1] + 1) if frames else None


def _covers(outlines: list[NDArray[np.int32]]) -> bool:
    """Whether any of these polygons colours a pixel of the canvas."""
    size = np.array((WIDTH * OVER, HEIGHT * OVER)) << SHIFT
    low = np.array([polygon.min(axis=0) for polygon in outlines])
    high = np.array([polygon.max(axis=0) for polygon in outlines])
    if ((low > 0) & (high < size)).all(axis=1).any():
        return True
    mask = np.zeros((HEIGHT * OVER, WIDTH * OVER), np.uint8)
    near = ((high > -(2 << SHIFT)) & (low < size + (2 << SHIFT))).all(axis=1)
    for i in np.flatnonzero(near):
        cv2.fillConvexPoly(mask, outlines[i], 255, cv2.LINE_AA, SHIFT)
    return bool(mask.any())


def _when(view: View, actors: list[Actor]) -> tuple[int, int]:
    """The frames of an anomaly in its actors' own time: while it acts, or, where its presence is the anomaly, while it
    is in the picture."""
    acts = [actor for actor in actors if (actor.acting >= 0).any()]
    if acts:
        i = np.flatnonzero(acts[0].acting >= 0)
        return acts[0].start + int(i[0]), acts[0].start + int(i[-1]) + 1
    seen = [span for span in (_seen(view, actor) for actor in actors) if span is not None]
    return min(a for a, _ in seen), max(b for _, b in seen)


Truth = tuple[tuple[str, int, int], ...]


def _place(view: View, frames: int, kinds: Iterable[str], random: Random) -> tuple[list[Actor], Truth] | None:
    """Anomalies at random times, two seconds or more apart; None when this try found no room."""
    cast: list[Actor] = []
    truth: list[tuple[str, int, int]] = []
    for kind in kinds:
        actors = _anomaly(kind, view, random)
        first, stop = _when(view, actors)
        length = stop - first
        for _ in range(20):
            # most are whole; some have begun before the clip or go on after it
            begin = int(random.integers(-length // 2, max(frames - length // 2, 1)))
            a, b = max(begin, 0), min(begin + length, frames)
            if b - a >= 2 * FPS and not any(a < d + 2 * FPS and c < b + 2 * FPS for _, c, d in truth):
                cast += [actor.shifted(begin - first) for actor in actors]
                truth.append((kind, a, b))
                break
        else:
            return None
    return cast, tuple(sorted(truth, key=lambda anomaly: anomaly[1]))


def plan(view: View, frames: int, kinds: Iterable[str], seed: int) -> Scene:
    """A clip of `frames` frames with these anomalies at random times, apart from each other by two seconds or more.

    Ordinary traffic, light and noise have their own random stream and do not depend on `kinds`.
    """
    random = np.random.default_rng((seed, 1))
    actors: list[Actor] = []
    crossing = (view.ends[1] - view.ends[0]) / SPEED_WALK[0]  # seconds; the scene is as full at frame 0 as later
    time = -crossing
    while True:
        time += random.exponential(1 / view.traffic)
        if time > frames / FPS:
            break
        actors += [actor.shifted(int(time * FPS)) for actor in _group(view, random)]
    length = frames / FPS
    for _ in range(random.poisson(length / DOGS)):
        dog = _passing(view, random, "dog", float(random.uniform(*SPEED_FAST)))
        actors.append(dog.shifted(int(random.uniform(-2, length) * FPS)))
    for _ in range(random.poisson(length / WHEELS)):
        form = str(random.choice(("cyclist", "cart", "skater")))
        slow = _passing(view, random, form, _walking_speed(random))
        actors.append(slow.shifted(int(random.uniform(-0.7 * crossing, length) * FPS)))
    t = np.arange(frames) / frames
    light = (
        1.0
        + random.uniform(-0.05, 0.05)
        + random.uniform(0.02, 0.07) * np.sin(2 * np.pi * (t * random.uniform(0.4, 1.3) + random.random()))
    )
    sun = 0.0 if random.random() < 0.25 else float(random.uniform(0.2, 0.45))
    sun_way = (float(random.uniform(-0.9, 0.9)), float(random.uniform(-0.5, 0.4)))
    warmth, noise = float(random.uniform(0.97, 1.04)), float(random.uniform(1.2, 2.2))

    random = np.random.default_rng((seed, 2))
    wanted = tuple(kinds)
    for kind in wanted:
        if view.name not in KINDS[kind].views:
            raise ValueError(f"{kind!r} is not staged in view {view.name!r}; it is in {', '.join(KINDS[kind].views)}")
    for _ in range(50):
        placed = _place(view, frames, wanted, random)
        if placed is not None:
            break
    else:
        raise ValueError(f"{frames} frames of view {view.name!r} have no room for {', '.join(wanted)}")
    cast, truth = placed
    actors += cast
    return Scene(view, frames, tuple(actors), light, sun, sun_way, warmth, noise, seed, truth)


# --- drawing ----------------------------------------------------------------------------------------------------------

SHIFT = 4  # OpenCV's fixed point: 1/16 pixel
_ARC = np.linspace(-np.pi / 2, np.pi / 2, 6)
Polygon = tuple[NDArray[np.int32], Colour, float]  # points in canvas pixels << SHIFT, colour, depth in metres


def _polygons(view: View, parts: list[Part]) -> list[Polygon]:
    """Project parts; far to near."""
    sizes = [len(part.points) for part in parts]
    first = np.concatenate(((0,), np.cumsum(sizes[:-1]))).astype(int)
    points, depth = view.camera.project(np.concatenate([part.points for part in parts]))
    points *= OVER * (1 << SHIFT)
    far = np.add.reduceat(depth, first) / sizes

    round_ones = [i for i, part in enumerate(parts) if part.radii is not None]
    outlines: dict[int, NDArray[np.int32]] = {}
    if round_ones:  # all capsules at once: a half circle around either end
        a, b = points[first[round_ones]], points[first[round_ones] + 1]
        size = view.camera.focal * OVER * (1 << SHIFT)
        radii = np.array([parts[i].radii for i in round_ones]) * size
        ra, rb = radii[:, 0] / depth[first[round_ones]], radii[:, 1] / depth[first[round_ones] + 1]
        way = np.arctan2(b[:, 1] - a[:, 1], b[:, 0] - a[:, 0])[:, None] + _ARC
        half = np.stack((np.cos(way), np.sin(way)), axis=2)
        hulls = np.concatenate((b[:, None] + half * rb[:, None, None], a[:, None] - half * ra[:, None, None]), axis=1)
        outlines = dict(zip(round_ones, np.round(hulls).astype(np.int32), strict=True))
    flat = np.round(points).astype(np.int32)
    for i, (start, size) in enumerate(zip(first, sizes, strict=True)):
        if i not in outlines:
            outlines[i] = flat[start : start + size]
    return [(outlines[i], parts[i].colour, float(far[i])) for i in np.argsort(-far, kind="stable")]


def _daylight(view: View, state: State) -> float:
    """1 in the open, falling to 0 over the three metres before the dark passage, for actors in such a view."""
    if view.tunnel is None:
        return 1.0
    return float(np.clip((view.tunnel - state.at[1]) / 3.0, 0.0, 1.0))


def _post(x: float, y: float) -> list[Part]:
    """A lamp post; people pass behind it."""
    foot = Frame(np.array((x, y)), 0.0)
    grey = (62.0, 66.0, 68.0)
    return [
        foot.limb((0, 0, 0), (0, 0, 0.35), 0.13, 0.1, grey),
        foot.limb((0, 0, 0.3), (0, 0, 4.2), 0.06, 0.045, grey),
        foot.limb((-0.05, 0, 4.2), (0.35, 0, 4.3), 0.06, 0.1, darker(grey, 1.2)),
    ]


def _shade(scene: Scene, canvas: Picture, cast: list[list[Part]]) -> None:
    """Darken the canvas where the sun is hidden: every part laid on the ground along the sun's rays, blurred."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    # (x, y, z) -> (x + z way_x, y + z way_y, 0)
    lay = np.array(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (*scene.sun_way, 0.0)))
    flat = [Part(part.points @ lay, part.colour, part.radii) for parts in cast for part in parts]
    for polygon, _, _ in _polygons(scene.view, flat):
        cv2.fillConvexPoly(mask, polygon // OVER, 255, cv2.LINE_8, SHIFT)
    soft = cv2.GaussianBlur(mask, (5, 5), 0)
    x, y, w, h = cv2.boundingRect(soft)
    if w == 0:
        return
    lost = cv2.resize(soft[y : y + h, x : x + w], (w * OVER, h * OVER))
    left = 255 - cv2.multiply(lost, np.full_like(lost, 255), scale=scene.sun / 255)
    part_of = canvas[y * OVER : (y + h) * OVER, x * OVER : (x + w) * OVER]
    cv2.multiply(part_of, cv2.cvtColor(left, cv2.COLOR_GRAY2RGB), part_of, scale=1 / 255)


def draw(scene: Scene, background: Picture, frame: int) -> Picture:
    """One frame without noise, (HEIGHT, WIDTH, 3) uint8, red first. `background` is `ground(scene.view)`."""
    view = scene.view
    cast: list[tuple[float, list[Part], float]] = []
    for actor in scene.actors:
        state = actor.state(frame)
        if state is not None and (daylight := _daylight(view, state)) > 0:
            parts = FORMS[actor.form](state, actor.look)
            if parts:
                cast.append((float(state.at[1]), parts, daylight))
    canvas = background.copy()
    if scene.sun > 0 and cast:
        _shade(scene, canvas, [parts for _, parts, _ in cast])
    cast += [(y, _post(x, y), 1.0) for x, y in view.posts]
    for _, parts, daylight in sorted(cast, key=lambda item: -item[0]):
        for polygon, colour, _ in _polygons(view, parts):
            if daylight < 1:
                colour = darker(colour, daylight)
            cv2.fillConvexPoly(canvas, polygon, [min(c, 255.0) for c in colour], cv2.LINE_AA, SHIFT)
    small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (3, 3), 0.5).astype(np.float32)
    gain = np.float32(scene.light[frame]) * np.array((scene.warmth, 1.0, 1 / scene.warmth), np.float32)
    return np.clip(small * gain + 0.5, 0, 255).astype(np.uint8)


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


def render(scene: Scene) -> Iterator[Picture]:
    """The frames of a clip as the camera delivers them: (HEIGHT, WIDTH, 3) uint8, red first, with sensor noise."""
    background = ground(scene.view)
    random = np.random.default_rng((scene.seed, 3))
    grain = random.normal(0, scene.noise, (HEIGHT * 2, WIDTH * 2)).astype(np.float32)
    for frame in range(scene.frames):
        picture = draw(scene, background, frame)
        top, left = random.integers(0, HEIGHT), random.integers(0, WIDTH)
        noise = grain[top : top + HEIGHT, left : left + WIDTH, None]
        yield np.clip(picture + noise + 0.5, 0, 255).astype(np.uint8)


def encode(pictures: Iterable[Picture], path: Path, quality: int = 32) -> int:
    """Write H.264 that browsers play (yuv420p, index first); the same pictures give the same bytes. Returns the frame
    count. quality: x264's constant rate factor, lower is better."""
    count = 0
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        # one thread, or the bytes would depend on the machine's cores
        # and without macroblock trees, which came out differently from run to run (x264 core 165, seen)
        stream.options = {
            "crf": str(quality), "preset": "medium", "threads": "1", "g": "160", "profile": "main",
            "x264-params": "mbtree=0",
        }  # fmt: skip
        for picture in pictures:
            # converted here and not by the encoder's scaler, which may round differently on another processor
            planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")):
                container.mux(packet)
            count += 1
        for packet in stream.encode():
            container.mux(packet)
    return count


# --- the demo's clips -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """What a clip is made from; the same recipe gives the same file."""

    name: str
    part: str  # "train" | "test"
    view: str
    frames: int
    kinds: tuple[str, ...]
    seed: int

    def scene(self) -> Scene:
        return plan(VIEWS[self.view], self.frames, self.kinds, self.seed)


def recipes(seed: int = 2026, train: int = 48, test: int = 30) -> list[Recipe]:
    """Clips of the three views in turn. Half of the training clips and two thirds of the test clips hold one or two
    anomalies; each takes, of the kinds its view stages, the ones that were rarest so far."""
    made = []
    for part, count, share in (("train", train, 0.5), ("test", test, 2 / 3)):
        random = np.random.default_rng((seed, 0 if part == "train" else 1))
        used = dict.fromkeys(KINDS, 0)
        each = count // len(VIEWS)
        holds = {name: random.permutation(each) < round(each * share) for name in VIEWS}
        for i in range(each):
            for name in VIEWS:
                kinds: list[str] = []
                if holds[name][i]:
                    staged = [kind for kind in random.permutation(list(KINDS)) if name in KINDS[kind].views]
                    many = random.choice((1, 2, 2))
                    kinds = [str(kind) for kind in sorted(staged, key=used.__getitem__)[:many]]
                for kind in kinds:
                    used[kind] += 1
                frames = int(random.integers(272, 433))  # whatever the clip holds, or its length would tell
                clip, own_seed = f"{name}-{part}-{i + 1:02d}", int(random.integers(2**31))
                made.append(Recipe(clip, part, name, frames, tuple(kinds), own_seed))
    return made


def simulate(
    out: Path,
    clips: Iterable[Recipe] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    workers: int = 1,
) -> Mapping[str, object]:
    """Render clips into `out` as `<clip>.mp4` with a `truth.json`; a file that is there already is kept.

    truth.json: {"name", "fps", "licence", "simulated", "clips": {name: {"truth": [[start, stop]], "kinds", "anomalous",
    "frames", "view"}}, "splits": {"weak": {"train", "test"}}}; intervals are half-open frames from 0, one kind each.
    """
    wanted = recipes() if clips is None else list(clips)
    out.mkdir(parents=True, exist_ok=True)
    truth: dict[str, object] = {}
    jobs = [(recipe, out) for recipe in wanted]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) if workers > 1 else nullcontext() as pool:
        entries = map(_make, jobs) if pool is None else pool.map(_make, jobs)
        for done, (recipe, entry) in enumerate(zip(wanted, entries, strict=True)):
            truth[recipe.name] = entry
            if progress is not None:
                progress(recipe.name, done + 1, len(wanted))
    record = {
        "name": "Simulated walkways",
        "fps": FPS,
        "licence": LICENCE,
        "simulated": True,
        "clips": truth,
        "splits": {"weak": {p: [r.name for r in wanted if r.part == p] for p in ("train", "test")}},
    }
    (out / "truth.json").write_text(json.dumps(record, indent=1) + "\n")
    return record


def _make(job: tuple[Recipe, Path]) -> dict[str, object]:
    """Render one clip unless its file is there; its entry in truth.json."""
    recipe, out = job
    scene = recipe.scene()
    path = out / f"{recipe.name}.mp4"
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}.draft")  # a worker that outlived its killed parent may be at it too
        encode(render(scene), draft)
        draft.rename(path)
    return {
        "truth": [[a, b] for _, a, b in scene.truth],
        "kinds": [kind for kind, _, _ in scene.truth],
        "anomalous": bool(scene.truth),
        "frames": scene.frames,
        "view": recipe.view,
    }
