"""Tracks of ordinary traffic and of every anomaly, and the plan of a clip: who comes when, and what is true of it."""

import math
from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from core.data.simulate.actors import FORMS, Actor, Scene, Truth
from core.data.simulate.drawing import SHIFT, daylight, polygons
from core.data.simulate.parts import dress
from core.data.simulate.world import (
    FPS,
    HEIGHT,
    KINDS,
    OVER,
    SPEED_FAST,
    SPEED_RUN,
    SPEED_WALK,
    WIDTH,
    Array,
    Random,
    View,
)  # fmt: skip

DOGS, WHEELS = 50, 40  # seconds between two running dogs, and between two slow bicycles, carts or boards
PAUSE = (0.8, 2.0)  # seconds an ordinary walker may stop


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
        outlines = [polygon for polygon, _, _ in polygons(view, FORMS[actor.form](state, actor.look))]
        if daylight(view, state) > 0 and _covers(outlines):
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
