"""The simulator: same recipe, same file; the truth marks exactly the frames in which the anomaly is there."""

import json
from collections import Counter
from dataclasses import replace
from functools import cache

import av
import numpy as np
import pytest

from core.data import simulate as sim

CASTS = [(view, kind) for kind, about in sim.KINDS.items() for view in about.views[:1]]
PRESENT = [(view, kind) for view, kind in CASTS if kind not in ("loitering", "fight", "thrown object")]
ACTED = [(view, kind) for view, kind in CASTS if kind in ("loitering", "fight", "thrown object")]


@cache
def scene(view: str, kind: str) -> sim.Scene:
    """One anomaly in the middle of an overcast clip: without a sun no shadow runs ahead of anybody."""
    for seed in range(100):
        made = sim.plan(sim.VIEWS[view], 464, (kind,), seed)
        _, first, stop = made.truth[0]
        if first > 4 and stop < 460:
            return replace(made, sun=0.0)
    raise AssertionError("no seed puts the anomaly inside the clip")


def changed(view: str, kind: str, frames: range | list[int]) -> list[bool]:
    """Whether the picture differs from the same clip in which nothing anomalous happens."""
    here = scene(view, kind)
    without = here.without_anomalies()
    return [
        bool(
            (sim.draw(here, sim.ground(sim.VIEWS[view]), f) != sim.draw(without, sim.ground(sim.VIEWS[view]), f)).any()
        )
        for f in frames
    ]


@pytest.mark.parametrize(("view", "kind"), PRESENT)
def test_an_actor_is_in_the_picture_in_the_truth_and_nowhere_else(view: str, kind: str) -> None:
    _, first, stop = scene(view, kind).truth[0]
    assert not any(changed(view, kind, [0, first - 4, first - 2, first - 1, stop, stop + 1, stop + 3, 463]))
    # a first sliver of a limb may round to nothing in the finished picture
    assert all(changed(view, kind, [first + 4, (2 * first + stop) // 3, (first + 2 * stop) // 3, stop - 5]))


@pytest.mark.parametrize(("view", "kind"), ACTED)
def test_people_who_act_are_ordinary_until_the_truth_begins(view: str, kind: str) -> None:
    _, first, stop = scene(view, kind).truth[0]
    assert not any(changed(view, kind, [0, first // 2, first - 10, first - 2, first - 1]))
    assert all(changed(view, kind, list(range(first + 6, stop, 20))))


@pytest.mark.parametrize(("view", "kind"), [("path", "runner"), ("gate", "fight")])
def test_ordinary_traffic_light_and_noise_do_not_depend_on_the_anomaly(view: str, kind: str) -> None:
    here, plain = sim.plan(sim.VIEWS[view], 320, (kind,), 7), sim.plan(sim.VIEWS[view], 320, (), 7)
    assert plain.truth == ()
    assert (here.sun, here.sun_way, here.warmth, here.noise) == (plain.sun, plain.sun_way, plain.warmth, plain.noise)
    np.testing.assert_array_equal(here.light, plain.light)
    walkers = [actor for actor in here.actors if not actor.kind]
    assert len(walkers) == len(plain.actors)
    for a, b in zip(walkers, plain.actors, strict=True):
        np.testing.assert_array_equal(a.at, b.at)
        assert (a.start, a.look) == (b.start, b.look)


def speed(actor: sim.Actor) -> float:
    """Metres a second over the whole track."""
    return float(np.linalg.norm(np.diff(actor.at[:, :2], axis=0), axis=1).mean() * sim.FPS)


def test_the_evidence_each_kind_needs_follows_from_the_ordinary_traffic() -> None:
    """Both: some ordinary actors have the shape, others the speed, none has both. Motion: a walker's form. Appearance:
    a walker's speed in a form that nothing ordinary has."""
    for name, view in sim.VIEWS.items():
        plain = [a for seed in range(30) for a in sim.plan(view, 400, (), seed).actors]
        forms = {actor.form for actor in plain}
        fast_forms = {actor.form for actor in plain if speed(actor) > 2.5}
        for kind, about in sim.KINDS.items():
            if name not in about.views:
                with pytest.raises(ValueError, match="not staged"):
                    sim.plan(view, 400, (kind,), 0)
                continue
            actors = [a for a in sim.plan(view, 464, (kind,), 3).actors if a.kind]
            if about.evidence == "both":
                assert {a.form for a in actors} <= forms - fast_forms
                assert fast_forms
                assert all(speed(a) > 2.5 for a in actors)
            elif about.evidence == "appearance":
                assert not {a.form for a in actors} & forms
                assert all(0.9 < speed(a) < 1.9 for a in actors)
            elif kind == "runner":
                assert {a.form for a in actors} == {"walker"}
                assert min(speed(a) for a in actors) > max(speed(a) for a in plain) + 0.5
            elif kind == "wrong way":
                assert {a.form for a in actors} == {"walker"}
                ways = {round(float(np.cos(a.heading[0] - view.angle))) for a in plain}
                assert (ways, round(float(np.cos(actors[0].heading[0] - view.angle)))) == ({1}, -1)


def test_every_kind_is_in_training_and_test_and_length_does_not_tell_the_label() -> None:
    made = sim.recipes()
    assert len({recipe.name for recipe in made}) == len(made)
    for part, least in (("train", 40), ("test", 24)):
        mine = [recipe for recipe in made if recipe.part == part]
        assert len(mine) >= least
        assert min(Counter(kind for recipe in mine for kind in recipe.kinds)[kind] for kind in sim.KINDS) >= 2
        holds = np.array([bool(recipe.kinds) for recipe in mine])
        frames = np.array([recipe.frames for recipe in mine])
        assert abs(frames[holds].mean() - frames[~holds].mean()) < frames.std()
        assert {recipe.view for recipe in mine} == set(sim.VIEWS)


def test_the_camera_follows_its_formula() -> None:
    """Straight ahead on the axis of view lies the middle of the picture; twice the depth, half the size."""
    camera = sim.Camera(height=5.0, tilt=np.pi / 6, focal=300.0)
    far = 5.0 / np.tan(np.pi / 6)
    (middle,), (depth,) = camera.project(np.array([[0.0, far, 0.0]]))
    np.testing.assert_allclose(middle, (sim.WIDTH / 2, sim.HEIGHT / 2), atol=1e-9)
    np.testing.assert_allclose(depth, 10.0)
    axis = np.array((0.0, np.cos(camera.tilt), -np.sin(camera.tilt)))
    beyond = np.array((0.0, 0.0, 5.0)) + 20.0 * axis
    points, _ = camera.project(np.array([[1.0, far, 0.0], beyond + (1.0, 0.0, 0.0)]))
    np.testing.assert_allclose(points[:, 0] - sim.WIDTH / 2, (30.0, 15.0))


def test_same_recipe_same_bytes_and_a_file_that_browsers_play(tmp_path) -> None:
    clips = [
        sim.Recipe("gate-a", "train", "gate", 36, ("cyclist",), 3),
        sim.Recipe("path-b", "test", "path", 24, (), 4),
    ]
    sim.simulate(tmp_path / "one", clips)
    sim.simulate(tmp_path / "two", clips)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name
    other = sim.encode(sim.render(replace(clips[1], seed=5).scene()), tmp_path / "other.mp4")
    assert other == 24
    assert (tmp_path / "other.mp4").read_bytes() != (tmp_path / "one/path-b.mp4").read_bytes()

    truth = json.loads((tmp_path / "one/truth.json").read_text())
    assert truth["simulated"] is True
    assert truth["splits"]["weak"] == {"train": ["gate-a"], "test": ["path-b"]}
    assert truth["clips"]["path-b"]["truth"] == []
    (first, stop), *_ = truth["clips"]["gate-a"]["truth"]
    assert truth["clips"]["gate-a"]["kinds"] == ["cyclist"]
    assert 0 <= first < stop <= 36
    for recipe in clips:
        path = tmp_path / "one" / f"{recipe.name}.mp4"
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height, stream.average_rate) == (sim.WIDTH, sim.HEIGHT, sim.FPS)
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert len(pictures) == recipe.frames == truth["clips"][recipe.name]["frames"]
        raw = path.read_bytes()
        assert raw.index(b"moov") < raw.index(b"mdat")  # the index comes first, so play starts before the end arrives
        drawn = sim.draw(recipe.scene(), sim.ground(sim.VIEWS[recipe.view]), 10).astype(float)
        assert abs(pictures[10].astype(float) - drawn).mean() < 6  # compressed, but that picture


def test_a_rebuild_keeps_what_is_there(tmp_path) -> None:
    clips = [sim.Recipe("path-a", "train", "path", 20, (), 1)]
    sim.simulate(tmp_path, clips)
    (tmp_path / "path-a.mp4").write_bytes(b"kept")
    sim.simulate(tmp_path, clips)
    assert (tmp_path / "path-a.mp4").read_bytes() == b"kept"
