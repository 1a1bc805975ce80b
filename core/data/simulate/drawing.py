"""A scene's pictures.

Parts are drawn far to near on twice the picture's size, above soft shadows (the same parts laid flat on the ground
along the sun's rays), then made small, blurred a little, and given a slow change of light and sensor noise.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from core.data.simulate.actors import FORMS, Scene, State
from core.data.simulate.parts import Frame, Part, darker
from core.data.simulate.places import ground
from core.data.simulate.world import HEIGHT, OVER, WIDTH, Colour, Picture, View

SHIFT = 4  # OpenCV's fixed point: 1/16 pixel
_ARC = np.linspace(-np.pi / 2, np.pi / 2, 6)
Polygon = tuple[NDArray[np.int32], Colour, float]  # points in canvas pixels << SHIFT, colour, depth in metres


def polygons(view: View, parts: list[Part]) -> list[Polygon]:
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


def daylight(view: View, state: State) -> float:
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
    for polygon, _, _ in polygons(scene.view, flat):
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
        if state is not None and (lit := daylight(view, state)) > 0:
            parts = FORMS[actor.form](state, actor.look)
            if parts:
                cast.append((float(state.at[1]), parts, lit))
    canvas = background.copy()
    if scene.sun > 0 and cast:
        _shade(scene, canvas, [parts for _, parts, _ in cast])
    cast += [(y, _post(x, y), 1.0) for x, y in view.posts]
    for _, parts, lit in sorted(cast, key=lambda item: -item[0]):
        for polygon, colour, _ in polygons(view, parts):
            if lit < 1:
                colour = darker(colour, lit)
            cv2.fillConvexPoly(canvas, polygon, [min(c, 255.0) for c in colour], cv2.LINE_AA, SHIFT)
    small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (3, 3), 0.5).astype(np.float32)
    gain = np.float32(scene.light[frame]) * np.array((scene.warmth, 1.0, 1 / scene.warmth), np.float32)
    return np.clip(small * gain + 0.5, 0, 255).astype(np.uint8)


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
