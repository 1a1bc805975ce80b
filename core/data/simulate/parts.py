"""What is drawn: people, wheels and boxes as tapered capsules and convex polygons in metres."""

import math
from dataclasses import dataclass

import numpy as np

from core.data.simulate.world import Array, Colour, Random


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
