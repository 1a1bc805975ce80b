r"""Simulated walkway video: three cameras, ordinary traffic, ten kinds of anomaly, with frame truth.

    world    the camera, the three views, the kinds of anomaly and what is ordinary beside them
    parts    people, wheels and boxes as capsules and polygons
    actors   who moves: walkers, riders, vehicles, a dog; a scene is all of them in one clip
    staging  tracks of the ordinary and of the anomalous, and when each happens
    places   the empty ground and walls of a view
    drawing  a scene's pictures
    clips    the demo's clips as files, with their truth

Left out: faces, cloth, reflections, wind, rain, night, rolling shutter, camera shake, lens distortion, people who make
way for each other (they walk through one another), and crowds.
"""

from core.data.simulate.actors import FORMS, Actor, Scene
from core.data.simulate.clips import LICENCE, Recipe, encode, recipes, simulate
from core.data.simulate.drawing import draw, render
from core.data.simulate.places import ground
from core.data.simulate.staging import plan
from core.data.simulate.world import FPS, HEIGHT, KINDS, VIEWS, WIDTH, Camera, View

__all__ = [
    "FORMS", "FPS", "HEIGHT", "KINDS", "LICENCE", "VIEWS", "WIDTH", "Actor", "Camera", "Recipe", "Scene", "View",
    "draw", "encode", "ground", "plan", "recipes", "render", "simulate",
]  # fmt: skip
