"""Who moves: what each form looks like in a state, an actor's states frame by frame, and a scene of all actors."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from core.data.simulate.parts import Frame, Look, Part, Pose, darker, figure, gait
from core.data.simulate.world import Array, View

Truth = tuple[tuple[str, int, int], ...]


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
    truth: Truth = ()

    def without_anomalies(self) -> "Scene":
        """The same clip in which nothing anomalous happens; ordinary traffic, light and noise stay."""
        kept = [actor if not actor.kind else actor.ordinary for actor in self.actors]
        return replace(self, actors=tuple(actor for actor in kept if actor is not None), truth=())
