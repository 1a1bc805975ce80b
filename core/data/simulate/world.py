r"""The simulator's world: the camera, three views of a walkway, and ten kinds of anomaly.

The world is a flat ground in metres, x to the right, y away from the camera, z up. A camera stands at (0, 0, h), looks
along y and is tilted down by the angle t; a point (x, y, z) lies in the picture at

    depth  = y cos t + (h - z) sin t
    column = W/2 + focal * x / depth
    row    = H/2 + focal * ((h - z) cos t - y sin t) / depth

Which evidence a kind of anomaly needs follows from the traffic that is ordinary, in every view and every clip:

- ordinary: walkers; now and then a dog that runs, so a fast object alone proves nothing; bicycles, service carts and
  boards at walking pace, so neither does their shape.
- both: a bicycle, a cart or a board *at speed*. The same shapes as the slow ones, the same speeds as the dogs'.
- motion: a runner is a walker's shape, faster than any dog; whoever walks against the stream of the one-way view
  looks like anyone else; loitering, a fight and thrown objects need people who stop, and ordinary people stop for two
  seconds at most.
- appearance: a van and a long panel, larger than anything ordinary, at a walker's speed.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]
Colour = tuple[float | int, float | int, float | int]  # red, green, blue, 0 to 255
Random = np.random.Generator

WIDTH, HEIGHT, FPS = 320, 240, 12
OVER = 2  # drawn this many times larger, then averaged down
SPEED_WALK = (1.35, 0.14)  # metres a second: mean, standard deviation
SPEED_FAST = (2.6, 3.5)  # dogs, and wheels at speed: one range
SPEED_RUN = (4.4, 5.4)


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
