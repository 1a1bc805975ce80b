"""What is said about the two sides of a split: on planted parts with known answers, and against slow formulas."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.explain import probes, split
from core.explain.split import INVARIANT, SPECIFIC, Parts
from core.fusion.gmf import Gmf, GmfConfig
from core.fusion.mbt import Mbt
from core.fusion.misa import Misa
from core.measure.metrics import jsonable, measure
from core.recipe import Recipe, TrainConfig
from core.run import Run, Source
from core.sample import UNITS, Part, Samples, Task
from core.score.infer import outputs
from core.train.loop import train
from tests.core import made

TASK = Task("class", ("x", "y", "z"))


def sample_set(count: int = 90, task: Task = TASK) -> Samples:
    random = torch.Generator().manual_seed(0)
    target = torch.randint(0, 3, (count,), generator=random)
    centres = {"a": 2 * torch.randn(3, 5, generator=random), "b": 2 * torch.randn(3, 4, generator=random)}
    features = {n: c[target] + torch.randn(count, c.shape[1], generator=random) for n, c in centres.items()}
    order = torch.randperm(count, generator=random)
    cut = {"train": order[: 2 * count // 3], "test": order[2 * count // 3 :]}
    if task.kind == "real":
        found = torch.stack([features["a"][:, 0] + features["b"][:, 1], torch.randn(count, generator=random)], 1)
        return Samples("planted", features, found, task, {"s": cut})
    return Samples("planted", features, target, task, {"s": cut})


@pytest.fixture(scope="module")
def data() -> Samples:
    return sample_set()


def model_of(data: Samples, fusion: type = Gmf) -> Gmf | Misa:
    torch.manual_seed(0)
    found = fusion(data.widths, None, data.task)
    found.learn(data.features, data.target)
    return found.eval()


# ---------------------------------------------------------------------------- the parts


@pytest.mark.parametrize("fusion", [Gmf, Misa])
def test_parts_are_the_traces_in_any_batch_size(data: Samples, fusion: type) -> None:
    model, part = model_of(data, fusion), data.part("test")
    with torch.no_grad():
        trace = model(part.features).trace
    for entries in (1 << 22, 40):
        found = split.parts_of(model, part, entries)
        for name in ("a", "b"):
            np.testing.assert_allclose(found.invariant[name], trace.invariant[name], atol=1e-5)
            np.testing.assert_allclose(found.specific[name], trace.specific[name], atol=1e-5)
            assert not found.invariant[name].flags.writeable
            x, back = trace.inputs[name].double().numpy(), trace.reconstructed[name].double().numpy()
            by_hand = ((x - back) ** 2).mean() / np.var(x, axis=0).mean()
            assert found.lost[name] == pytest.approx(by_hand, rel=1e-4)


def test_mass_written_slowly(data: Samples) -> None:
    model, part = model_of(data), data.part("test")
    with torch.no_grad():
        trace = model(part.features).trace
    found = split.parts_of(model, part)
    for name, following in (("a", "b"), ("b", "a")):
        for row in (0, 7):
            z = trace.dissolved[name][row].tolist()
            border = len(z) // 2
            inside = sum(v * v for v in z[:border]) / sum(v * v for v in z)
            assert found.dissolved[name][row] == pytest.approx(inside, rel=1e-5)
            inv, spec = trace.invariant[following][row].tolist(), trace.specific[name][row].tolist()
            assert found.out[name][row] == pytest.approx(
                sum(v * v for v in inv) / (sum(v * v for v in inv) + sum(v * v for v in spec)), rel=1e-5
            )
    assert found.even == {"a": (0.5, 4 / 9), "b": (0.5, 0.5)}


def test_mass_follows_the_side_that_is_there(data: Samples) -> None:
    model = model_of(data)
    with torch.no_grad():
        model.maps.concentrate_specific[0].weight.zero_()
        model.maps.concentrate_specific[0].bias.zero_()
    found = split.parts_of(model, data.part("test"))
    assert (found.out["a"] == 1).all()
    assert (found.out["b"] < 1).all()


def test_who_does_not_split_is_told(data: Samples) -> None:
    with pytest.raises(ValueError, match="MBT does not tell shared"):
        split.parts(Mbt(data.widths, None, TASK), data)
    assert isinstance(split.splitting(model_of(data)), Gmf)


def test_what_does_not_vary_has_no_relative_error() -> None:
    same = np.ones((5, 3))
    assert np.isnan(split.lost_of(same, same + 1))


# ---------------------------------------------------------------------------- probes on planted parts


def planted(seed: int, count: int = 400) -> tuple[Parts, Part]:
    """Invariant: the same law for both modalities, and the class. Specific: tells the modality, knows no class."""
    random = np.random.default_rng(seed)
    target = random.integers(0, 3, count)
    centre = 3 * np.eye(3, 4)
    invariant = {n: (centre[target] + random.normal(size=(count, 4))).astype(np.float32) for n in ("a", "b")}
    specific = {
        "a": random.normal(loc=2, size=(count, 4)).astype(np.float32),
        "b": random.normal(loc=-2, size=(count, 6)).astype(np.float32),
    }
    none: dict[str, np.ndarray] = {}
    found = Parts(invariant, specific, none, none, {}, {})
    part = Part({}, torch.from_numpy(target), TASK, ("s",) * count, tuple(("", i) for i in range(count)))
    return found, part


@pytest.fixture(scope="module")
def probed() -> dict[tuple[str, str, str], probes.Probe]:
    found = split.probes_of(*planted(0), *planted(1))
    return {(probe.asked, probe.kind, probe.modality): probe for probe in found}


def test_shared_parts_do_not_give_the_modality_away(probed: dict) -> None:
    shared, own = probed["modality", INVARIANT, ""], probed["modality", SPECIFIC, ""]
    assert shared.chance == own.chance == 0.5
    assert shared.low <= 0.5 <= shared.high
    assert own.low > 0.95
    assert shared.judged == 800


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_class_is_read_where_it_was_put(probed: dict, name: str) -> None:
    assert probed["class", INVARIANT, name].low > 0.8
    empty = probed["class", SPECIFIC, name]
    assert empty.low <= empty.chance == 1 / 3 <= empty.high


def test_uneven_classes_do_not_lift_chance() -> None:
    """A part without information is at chance although nine rows of ten are of one class."""
    random = np.random.default_rng(0)
    truth = (random.random(2000) < 0.1).astype(int)
    noise = random.normal(size=(2000, 3))
    found = probes.class_probe(
        "class", INVARIANT, "a", (noise[:1000], truth[:1000]), (noise[1000:], truth[1000:]), np.arange(1000)
    )
    assert found.low < 0.5 < found.high
    assert found.value < 0.6


def test_the_interval_of_single_rows_is_wilsons() -> None:
    """One class, every row its own group: drawing again must agree with Wilson's interval for a share."""
    right = np.zeros((200, 1))
    right[:150] = 1
    value, low, high = probes.recall_interval(right, np.ones((200, 1)))
    z, p, n = 1.96, 0.75, 200
    centre, half = (
        (p + z * z / 2 / n) / (1 + z * z / n),
        z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n),
    )
    assert value == 0.75
    assert low == pytest.approx(centre - half, abs=0.012)
    assert high == pytest.approx(centre + half, abs=0.012)


def test_rows_that_stand_or_fall_together_widen_the_interval() -> None:
    random = np.random.default_rng(0)
    named = np.repeat(random.random(20) < 0.7, 10).astype(int)
    truth, classes = np.ones(200, int), np.array([1])
    alone = probes.recall_interval(*probes.hits(named, truth, np.arange(200), 1, classes))
    together = probes.recall_interval(*probes.hits(named, truth, np.repeat(np.arange(20), 10), 1, classes))
    assert alone[0] == together[0]
    assert together[2] - together[1] > 2 * (alone[2] - alone[1])


def test_units_of_a_clip_are_one_group() -> None:
    data = made.dataset(4, 4)
    part = data.part("test").flat()
    groups = probes.group_numbers(part)
    clips = [clip for clip, _ in part.places]
    assert len(set(groups.tolist())) == len(set(clips)) == 4
    assert len({(clip, int(group)) for clip, group in zip(clips, groups, strict=True)}) == 4
    samples = Part({}, None, UNITS, ("s",) * 3, (("", 4), ("", 9), ("", 1)))
    assert len(set(probes.group_numbers(samples).tolist())) == 3


def test_probes_of_a_trained_model_on_clips_and_samples(data: Samples) -> None:
    for each in (data, made.dataset(8, 8)):
        model = train(each, Recipe("gmf", {"project": 4}, TrainConfig(epochs=2))).model
        found = split.probes(model, each)
        assert [(p.asked, p.kind) for p in found[:2]] == [("modality", INVARIANT), ("modality", SPECIFIC)]
        assert len(found) == 6
        assert all(0 <= p.low <= p.value <= p.high <= 1 for p in found)
        assert {p.chance for p in found[2:]} == {1 / 3 if each is data else 0.5}


def test_real_targets_are_probed_by_correlation() -> None:
    """The first target is made of both modalities, the second of nothing: together about half a correlation."""
    found = split.probes(model_of(real := sample_set(600, Task("real", ("sum", "noise"))), Gmf), real)
    told = {(p.asked, p.kind, p.modality): p for p in found}
    assert told["target", INVARIANT, "a"].chance == 0
    assert told["target", INVARIANT, "a"].measure == "correlation"
    assert 0.15 < told["target", SPECIFIC, "a"].low < told["target", SPECIFIC, "a"].value < 0.6


def test_without_labels_the_modality_is_asked_alone() -> None:
    clips = made.dataset(4, 4)
    unlabelled = {n: replace(c, labels=None, truth=None, anomalous=None, kinds=()) for n, c in clips.clips.items()}
    unknown = replace(clips, clips=unlabelled)
    asked = Gmf(made.WIDTHS).eval()
    assert {p.asked for p in split.probes(asked, unknown)} == {"modality"}


# ---------------------------------------------------------------------------- some modalities alone


def test_availability_is_the_metric_of_what_is_left(data: Samples) -> None:
    trained = train(data, Recipe("gmf", {}, TrainConfig(epochs=3)))
    found = {each.modalities: each.value for each in split.availability(trained.model, data)}
    assert list(found) == [("a",), ("b",), ("a", "b")]
    part = data.part("test")
    assert found["a", "b"] == trained.run.metrics["accuracy"]
    for name in ("a", "b"):
        judged = jsonable(measure(outputs(trained.model, {name: part.features[name]}), part))
        assert found[name,] == judged["accuracy"] == trained.run.metrics["alone"][name]


def test_units_are_judged_as_the_runs_record_has_them() -> None:
    """By their scores: a sigmoid makes large logits equal, so logits alone would give another AUC."""
    clips = made.dataset(8, 8)
    trained = train(clips, Recipe("gmf", {}, TrainConfig(epochs=2)))
    with torch.no_grad():
        trained.model.head[2].weight.mul_(2000)  # almost every score is now 0 or 1
    from core.score.judge import alone, judge

    test = clips.part("test")
    found = {each.modalities: each.value for each in split.availability(trained.model, clips)}
    assert found["motion", "text"] == pytest.approx(judge(trained.model, test).main)
    assert found["text",] == pytest.approx(alone(trained.model, test)["text"])


# ---------------------------------------------------------------------------- across modalities


def test_neighbours_written_slowly() -> None:
    found, _ = planted(2, 30)
    asked = found.invariant["a"][4]

    def cosine(row: np.ndarray) -> float:
        return float(row @ asked / np.linalg.norm(row) / np.linalg.norm(asked))

    alike = [cosine(row) for row in found.invariant["b"]]
    (near,) = split.neighbours(found, 4, "a", 6)
    assert near.rows.tolist() == sorted(range(30), key=lambda i: -alike[i])[:6]
    np.testing.assert_allclose(near.similarity, sorted(alike, reverse=True)[:6], atol=1e-6)
    assert near.own == 1 + sum(value > alike[4] for value in alike)
    assert (near.asked, near.answers) == ("a", "b")


def test_equal_invariant_parts_find_their_partner_first() -> None:
    found, _ = planted(2, 30)
    same = replace(found, invariant={"a": found.invariant["a"], "b": 3 * found.invariant["a"]})
    assert [split.neighbours(same, row, "a")[0].own for row in range(30)] == [1] * 30


@pytest.mark.parametrize("k", [1, 4, 12])
def test_chance_at_k_is_what_random_orders_reach(k: int) -> None:
    from core.measure.retrieval import mean_average_precision

    random, classes = np.random.default_rng(0), np.array([0] * 7 + [1] * 3 + [2] * 2)
    drawn = [
        mean_average_precision(random.normal(size=(12, 9)), random.normal(size=(12, 9)), classes, classes, at=k)
        for _ in range(800)
    ]
    assert split.chance_at(classes, k) == pytest.approx(np.mean(drawn), abs=0.02)


def test_retrieval_goes_every_way_and_no_further_than_asked(data: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(data)
    found = split.retrieval(model, data)
    assert found is not None
    assert [(each.asked, each.answers, each.queries) for each in found.directions] == [("a", "b", 30), ("b", "a", 30)]
    monkeypatch.setattr(split, "MOST_ASKED", 11)
    fewer = split.retrieval(model, data)
    assert fewer is not None
    assert fewer.directions[0].queries == 11


# ---------------------------------------------------------------------------- the map


def test_a_point_of_the_map_is_the_part_it_says() -> None:
    found, _ = planted(3, 40)
    cloud = split.cloud(found)
    assert cloud.rows.shape == (160, 6)
    for point in (0, 39, 41, 90, 159):
        name, kind = cloud.modalities[cloud.modality[point]], cloud.kinds[cloud.kind[point]]
        part = found.of(kind)[name][cloud.row[point]]
        filled = np.pad(part, (0, 6 - len(part)))
        scale = filled @ cloud.rows[point] / (filled @ filled)
        np.testing.assert_allclose(cloud.rows[point], scale * filled, atol=1e-5)


def test_each_kind_has_a_mean_squared_length_of_1_and_invariant_parts_one_scale() -> None:
    found, _ = planted(3, 40)
    found = replace(found, invariant={"a": found.invariant["a"], "b": 2 * found.invariant["a"]})
    cloud = split.cloud(found)
    square = np.square(cloud.rows).sum(1)
    assert square[cloud.kind == 0].mean() == pytest.approx(1, rel=1e-5)
    lengths = [square[(cloud.kind == 0) & (cloud.modality == m)].mean() for m in (0, 1)]
    assert lengths[1] == pytest.approx(4 * lengths[0], rel=1e-5)  # still twice as long
    for m in (0, 1):
        assert square[(cloud.kind == 1) & (cloud.modality == m)].mean() == pytest.approx(1, rel=1e-5)


def test_a_large_map_draws_rows_evenly_and_says_so() -> None:
    found, _ = planted(3, 400)
    cloud = split.cloud(found, (INVARIANT,), most=100)
    assert cloud.rows.shape == (100, 4)
    assert cloud.of == 400
    assert np.unique(cloud.row).tolist() == cloud.row[:50].tolist()
    assert cloud.row[0] == 0
    assert cloud.row[49] == 399


# ---------------------------------------------------------------------------- boundary and magnification


def run(seed: int = 0, value: float | None = 80.0, **config: float) -> Run:
    about = {"magnification": 4, "boundary": 0.5, "lam": 1.0} | config
    metrics = {"accuracy": value, "alone": {"a": 10.0 + seed}}
    source = Source("planted", "d" * 64, "s", {"a": 5, "b": 4})
    task = {"kind": "class", "names": ["x", "y"]}
    return Run("gmf", about, {"epochs": 3}, source, seed, metrics, task=task)


def test_only_runs_that_differ_in_boundary_and_magnification_are_compared() -> None:
    mine = run()
    others = [run(1, 90.0), run(0, 60.0, boundary=0.25), run(0, 70.0, magnification=2), run(0, 99.0, lam=3.0), mine]
    others += [replace(run(0, 99.0), fusion="g-mbt"), replace(run(0, 99.0), training={"epochs": 4})]
    found = split.boundary_curve(mine, others)
    assert [(each.magnification, each.boundary) for each in found] == [(2, 0.5), (4, 0.25), (4, 0.5)]
    both = found[2]
    assert (both.value, both.seeds, both.mine) == (85.0, 2, True)
    assert both.sd == pytest.approx(np.sqrt(50))
    assert both.alone == {"a": 10.5}
    assert (found[1].value, found[1].sd, found[1].mine) == (60.0, None, False)


def test_an_undefined_metric_stays_undefined() -> None:
    found = split.boundary_curve(run(), [run(1, None)])
    assert found[0].value is None
    assert split.boundary_curve(replace(run(), config={}), []) == ()


def test_a_boundary_moves_the_sides(data: Samples) -> None:
    """A larger share on the invariant side means more columns, hence more weights, on that side."""
    torch.manual_seed(0)
    small = Gmf(data.widths, GmfConfig(boundary=0.25), TASK)
    assert split.parts(small, data).even["a"] == (0.25, 4 / 9)
