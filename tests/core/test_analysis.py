"""What every analysis must do, on every fusion and task: find what it promises, or say in one sentence why not."""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch

from core.analysis import ANALYSES
from core.dataset import Dataset
from core.fusion import title_of
from core.run import Run, Source, build
from core.sample import UNITS, Samples
from core.trust import stress
from core.trust.stress import KINDS
from tests.core.fusion.test_contract import CASES, TASKS, VECTORS, ready, solvable
from tests.core.made import WIDTHS, clip

RUN = Run("lmf", {}, {}, Source("made", "", "default", WIDTHS), 0)
ASKED = {  # of an analysis that is asked about one clip, unit, row or p
    **dict.fromkeys(("explanation", "captum", "what if"), ("c2", 0)),
    **dict.fromkeys(("term shares", "whole clip"), ("c2",)),
    **dict.fromkeys(("row parts", "attributions"), (0,)),
    "walk": (0, 1),
    "split pca": ("both",),
    "kernel path": (2.0,),
    "record": (RUN, ("noise", "zero")),
}
UNDEFINED = {  # NaN by promise, as are scores of real targets: there the outputs are the answer
    "what if": "the score of the unit that is gone",
    "whole clip": "relations beyond those there are",
    "step paths": "the way to the first context",
    "weight losses": "the AUC of draws of one class",
    "modality losses": "weights of models without",
    "reliability": "bins without rows",
}
COUNTS = (5, 7, 4, 9, 6, 33)  # units of clips, one longer than a window
MODELS = [("units", *case) for case in CASES] + [(kind, name, {}) for kind in TASKS for name in VECTORS]
MODELS += [("units", "profusion", {"steps": 1}), ("units", "mtn", {"dropout": 0.0}), ("units", "g-lmf", {"hidden": 8})]


@pytest.fixture(autouse=True)
def _few_strengths(monkeypatch):
    kinds = {kind: replace(about, levels=about.levels[:3], draws=1) for kind, about in KINDS.items()}
    monkeypatch.setattr(stress, "KINDS", kinds)


@functools.cache
def data_of(kind):
    if kind == "units":
        clips = {f"c{n}": clip(f"c{n}", units, n % 2 == 1, seed=n) for n, units in enumerate(COUNTS)}
        return Dataset("made", clips, {"weak": {"train": ("c0", "c1", "c3"), "test": ("c2", "c4", "c5")}}, fps=16.0)
    features, target = solvable(TASKS[kind], count=34)
    parts = {"train": torch.arange(24), "test": torch.arange(24, 34)}
    return Samples("made", features, target, TASKS[kind], {"default": parts})


@functools.cache
def model_of(place):
    kind, name, options = MODELS[place]
    torch.manual_seed(0)
    model = ready(build(name, WIDTHS, options, UNITS if kind == "units" else TASKS[kind]).eval())
    model.learn(data_of(kind).part("train").flat().features)
    return model


def arrays(found) -> Iterator[np.ndarray]:
    """Every array inside."""
    if isinstance(found, np.ndarray):
        yield found
    elif isinstance(found, Mapping):
        for each in found.values():
            yield from arrays(each)
    elif isinstance(found, tuple | list):
        for each in found:
            yield from arrays(each)
    elif is_dataclass(found):
        for field in fields(found):
            yield from arrays(getattr(found, field.name))


def truth(what, found, model, data):
    """Shapes as promised, and what the parts of an answer add up to."""
    rows, outputs, names = len(data.shown().flat()), model.task.outputs, tuple(model.widths)
    near = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    match what:
        case "explanation":
            near(found.unknown + sum(found.modalities.values()), found.score)
            assert found.edges is None or found.base + found.edges.sum() == pytest.approx(found.score, abs=1e-4)
        case "captum":
            near(found.base + found.edges.sum() + found.gap, ANALYSES["explanation"].run(model, data, "c2", 0).score)
        case "what if":
            assert [one.what for one in found] == [*(f"{name} muted" for name in names), "unit 0 dropped"]
        case "operator":
            assert found.shape == tuple(model.operator().shape)
        case "term shares":
            near(found.shares.sum((0, 1)), found.fused)
        case "graphs":
            assert found.answer(found.fused(), 0.5, 3).scores.shape == (rows,)
        case "whole clip":
            assert found.means.shape == (data.shown()[0].units,)
        case "factors":
            near(found.base + found.parts.sum((1, 2)), found.given)
            assert found.parts.shape == (rows, found.rank, 4, outputs)
        case "row parts":
            near(found.base + found.parts.sum((0, 1)), found.output)
        case "specialisation":
            assert found.shares.shape == (len(found.index), 3)
        case "attributions":
            values = [one.base + sum(one.parts.values()) + one.gap for one in found]
            near(values, values[0])
        case "prior distance":
            assert tuple(one.modality for one in found) == names
        case "walk":
            assert found.outputs.shape == (7, outputs)
        case "retrieval":
            assert {(one.asked, one.answers) for one in found} == {names, names[::-1]}
        case "split parts":
            assert all(len(rows_) == rows for side in (found.invariant, found.specific) for rows_ in side.values())
        case "split cloud" | "split pca":
            assert len(found if what == "split pca" else found.rows) == 4 * rows
        case "split probes":
            assert {one.asked for one in found} == {"modality", "target" if data.task.kind == "real" else "class"}
        case "split retrieval":
            assert len(found.directions) == 2
        case "availability":
            assert [one.modalities for one in found] == [
                *((name,) for name in model.used),
                *[names] * (len(model.used) > 1),
            ]
        case "step answers" | "step paths":
            assert (found.outputs if what == "step answers" else found.places).shape[:2] == (8, rows)
        case "step probes":
            assert found.real.value.shape == found.control.value.shape == (8, 2)
        case "step cost":
            assert (np.diff(found.flops) > 0).all()
        case "weights":
            near(1.0 if found.p == np.inf else (found.values**found.p).sum(), 1.0)
            assert set(found.shares) == set(names)
        case "weight parts":
            near(found.base + found.parts.sum(1), found.outputs)
        case "weight losses" | "modality losses":
            near(found.whole - found.without, found.cost)
        case "kernel path":
            assert found.beta.shape[0] == len(model.kernels)
        case "kernel panels":
            assert len(found.panels) == len(model.kernels) + 1
        case "clean answers":
            assert found[0].shape == (rows,)
        case "reliability":
            assert found.rows == rows
        case "dropout":
            assert len(found) == 20
            assert any(not np.array_equal(found[0][0], scores, equal_nan=True) for scores, _ in found[1:]) or (
                data.task.kind == "real"
            )
        case "missing":
            assert set(found) == {f"only {name}" for name in names}
        case "flops":
            assert found > 0
        case "scoring time":
            assert found > 0
        case "record":
            assert set(found.area) == {"noise", "zero"}
        case _:
            assert what.removeprefix("stress ") in KINDS
            assert found.scores.shape == (len(found.levels), rows)
            assert found.values.shape[1] == len(found.levels)


@pytest.mark.slow  # together, not each
@pytest.mark.parametrize(
    "place", range(len(MODELS)), ids=["-".join([*m[:2], *map(str, m[2].values())]) for m in MODELS]
)
@pytest.mark.parametrize("what", ANALYSES)
def test_it_finds_what_it_promises_or_says_in_one_sentence_why_not(what, place):
    task, fusion, _ = MODELS[place]
    analysis, model, data = ANALYSES[what], model_of(place), data_of(task)
    asked = ASKED.get(what, ())
    why = analysis.fits(model, data)
    if why:
        assert title_of(fusion) in why
        assert 20 <= len(why) <= 200
        assert not why.endswith(".")
        with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
            analysis.run(model, data, *asked)
        return
    found = analysis.run(model, data, *asked)
    truth(what, found, model, data)
    for values in arrays(found):
        assert not values.flags.writeable, values.shape
        assert what in UNDEFINED or task == "real" or values.dtype.kind != "f" or np.isfinite(values).all()


def bare(data, **changes):
    """The same clips without labels."""
    return replace(data, clips={name: replace(one, labels=None) for name, one in data.clips.items()}, **changes)


def test_what_the_data_lack_is_said_too():
    """An analysis that needs labels, parts or two modalities fits none without, and the sentence says which."""
    units, digits = data_of("units"), data_of("class")
    model, other = model_of(MODELS.index(("units", "gmf", {}))), model_of(MODELS.index(("class", "gmf", {})))
    steps = model_of(MODELS.index(("units", "profusion", {})))
    one = build("lmf", {"text": WIDTHS["text"]}, {})
    calm = replace(
        units, clips={n: replace(c, labels=torch.zeros(c.units, dtype=torch.bool)) for n, c in units.clips.items()}
    )
    for what, asked, data, words in [
        ("availability", model, bare(units), "not every unit has a label"),
        ("modality losses", model, calm, "all 43 units are normal"),
        ("modality losses", one, units, "reads one modality"),
        ("split retrieval", model, bare(units), "have none for every row"),
        ("reliability", model, bare(units), "no unit has a label"),
        ("stress pgd", model, bare(units), "no unit has a label"),
        ("stress noise", model, bare(units), ""),
        ("split probes", model, replace(units, splits={}), "these data lack one"),
        ("split probes", model, bare(units), ""),
        ("step probes", steps, bare(units), "the train part has none"),
        ("step probes", steps, calm, "two classes"),
        ("stress shift", other, digits, "only clips have units"),
        ("split parts", other, units, "trained for classes in this run, these data hold units of clips"),
        (
            "split parts",
            other,
            replace(digits, features={"text": digits.features["text"]}),
            "reads 'motion' in this run",
        ),
        (
            "split parts",
            other,
            replace(digits, features=digits.features | {"text": torch.zeros(34, 3)}),
            "here it is 3",
        ),
    ]:
        why = ANALYSES[what].fits(asked, data)
        assert words in why if words else not why, (what, why)


def test_asking_is_cheap(monkeypatch):
    """Nothing is scored to know whether an analysis fits."""
    pairs = [(model_of(place), data_of(task)) for place, (task, *_) in enumerate(MODELS)]
    monkeypatch.setattr(torch.nn.Module, "__call__", None)
    assert all(isinstance(one.fits(*pair), str) for one in ANALYSES.values() for pair in pairs)
