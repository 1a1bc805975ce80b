"""What every fusion must do. A new one is tested by its line in FUSIONS."""

import itertools

import pytest
import torch

from core.fusion import FUSIONS
from core.run import build
from core.sample import UNITS, Task
from core.score.infer import look, score
from tests.core.made import WIDTHS, clip

CASES = [(name, {}) for name in FUSIONS]
CASES += [(name, {"level": "graph"}) for name in ("single", "concat", "sum", "product")]
CASES += [("lego", {"expansion": "walks", "rescale": "standard"}), ("lego", {"operator": "outer", "head": "relative"})]


def ready(made):
    """With weights that are no untrained defaults, which can hide a leak: drawn, or solved on some rows."""
    if made.solved:
        return solve(made, *solvable(made.task))
    for weight in made.parameters():
        torch.nn.init.normal_(weight, mean=0.02, std=0.15)
    return made


def solvable(task, seed=7, count=60):
    """Rows and a target that has something to do with them."""
    random = torch.Generator().manual_seed(seed)
    features = {name: torch.randn(count, width, generator=random) for name, width in WIDTHS.items()}
    told = sum(rows[:, : max(2, task.outputs)] for rows in features.values())
    if task.kind == "real":
        return features, told[:, : task.outputs]
    return features, told.argmax(1) if task.kind == "class" else (told[:, 0] > 0).long()


def solve(made, features, target):
    made.learn(features, target if target.is_floating_point() else None)
    made.solve(features, target, torch.arange(len(target)), 1, lambda *_: None)
    return made


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *map(str, case[1].values())]))
def model(request):
    torch.manual_seed(0)
    name, options = request.param
    return ready(FUSIONS[name](WIDTHS, FUSIONS[name].Config(**options)).eval())


@pytest.fixture
def features():
    torch.manual_seed(1)
    return {name: torch.randn(6, 32, width) for name, width in WIDTHS.items()}


def test_scores_depend_on_the_modalities_that_are_called_used_and_on_no_other(model, features):
    before = model(features).scores
    for name in WIDTHS:
        after = model({**features, name: torch.randn_like(features[name])}).scores
        assert torch.equal(after, before) == (name not in model.used)


def test_one_score_per_unit_between_0_and_1(model, features):
    scores = model(features).scores
    assert scores.shape == (6, 32)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_clip_scores_the_same_alone_and_in_a_batch(model, features):
    together = model(features).scores[2]
    alone = model({name: rows[2] for name, rows in features.items()}).scores
    torch.testing.assert_close(alone, together)


def test_training_moves_every_weight(model, features):
    if model.solved:
        pytest.skip("solved, not trained by gradient: see test_a_solution_follows_from_the_rows_and_the_target_alone")
    fused = model.train()(features)
    anomalous = torch.tensor([True, False] * 3)
    (fused.scores.square().sum() + model.penalty(fused, anomalous)).backward()
    still = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert still == []


def test_scores_depend_on_every_modality_it_uses(model, features):
    used = getattr(model, "used", tuple(model.widths))
    before = model(features).scores
    for name in used:
        other = {**features, name: features[name].flip(1) + torch.randn_like(features[name])}
        assert not torch.equal(model(other).scores, before), name


def test_a_missing_modality_still_gives_finite_scores(model, features):
    used = getattr(model, "used", tuple(model.widths))
    for name in used if len(used) > 1 else ():
        rest = {other: rows for other, rows in features.items() if other != name}
        scores = model(rest).scores
        assert scores.isfinite().all()
        assert not torch.equal(scores, model(features).scores)


def test_no_modality_at_all_is_an_error(model):
    with pytest.raises(ValueError, match="none of the modalities"):
        model({})


@pytest.mark.parametrize("units", [1, 2, 31, 32, 33, 70])
def test_any_number_of_units_is_scored(model, units):
    found = look(model, clip(units=units))
    assert found.scores.shape == (units,)
    assert (found.scores > 0).all()


def test_one_by_one_and_all_together_agree(model):
    clips = [clip(str(n), units=n) for n in (5, 32, 40)] + [clip("crops", units=12, crops=3)]
    together = score(model, clips)
    for each in clips:
        torch.testing.assert_close(torch.tensor(together[each.name]), torch.tensor(look(model, each).scores))


@pytest.mark.parametrize("fusion", ["lego", "mtn", "concat", "sum", "product", "profusion"])
def test_three_modalities_fuse_too(fusion):
    widths = {"a": 8, "b": 12, "c": 8}
    features = {name: torch.rand(2, 32, width) for name, width in widths.items()}
    assert FUSIONS[fusion](widths).eval()(features).scores.isfinite().all()


# --- samples: what every fusion that reads vectors must do ---------------------------------------------------------

VECTORS = [name for name, kind in FUSIONS.items() if "class" in kind.tasks]
TASKS = {"class": Task("class", ("a", "b", "c")), "real": Task("real", ("x", "y"))}


def sample_model(name, task):
    torch.manual_seed(0)
    return ready(FUSIONS[name](WIDTHS, FUSIONS[name].Config(), task).eval())


def sample_features(count=9):
    random = torch.Generator().manual_seed(3)
    return {name: torch.randn(count, width, generator=random) for name, width in WIDTHS.items()}


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("name", VECTORS)
def test_a_sample_gets_one_output_a_class_or_target_whatever_stands_beside_it(name, kind):
    model, features = sample_model(name, TASKS[kind]), sample_features()
    fused = model(features)
    assert fused.outputs is not None
    assert fused.outputs.shape == (9, TASKS[kind].outputs)
    alone = model({name: rows[4:5] for name, rows in features.items()})
    torch.testing.assert_close(alone.outputs, fused.outputs[4:5])
    if kind == "class":
        torch.testing.assert_close(fused.scores, fused.outputs.softmax(-1).amax(-1))
    else:
        assert fused.scores.isnan().all()


@pytest.mark.parametrize("name", VECTORS)
def test_units_are_scored_by_the_logistic_of_the_output(name):
    fused = sample_model(name, UNITS)(sample_features())
    torch.testing.assert_close(fused.scores, fused.outputs[:, 0].sigmoid())


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("name", VECTORS)
def test_shifted_and_scaled_columns_train_to_the_same_answers(name, kind):
    """Standardising takes the columns' and the targets' units away: feet or metres, the model is the same."""
    random = torch.Generator().manual_seed(5)
    features = sample_features(24)
    target = torch.arange(24) % 3 if kind == "class" else torch.randn(24, 2, generator=random)
    scale = {name: 2.0 ** torch.randint(-3, 4, (width,), generator=random) for name, width in WIDTHS.items()}
    other = {name: rows * scale[name] + 16 for name, rows in features.items()}
    answers = []
    for rows, wanted in ((features, target), (other, target if kind == "class" else 8 * target - 2)):
        model = sample_model(name, TASKS[kind])
        model.learn(rows, wanted)
        if model.solved:
            solve(model, rows, wanted)
        answers.append(model(rows).outputs)
    expected = answers[0] if kind == "class" else 8 * answers[0] - 2
    torch.testing.assert_close(answers[1], expected, atol=2e-3, rtol=2e-3)


GUESSES = ("jwae", "jwae-lmf")  # put the mean of the other latents in a missing one's place


@pytest.mark.parametrize("name", [name for name in VECTORS if name not in GUESSES])
def test_a_missing_modality_of_a_sample_counts_as_its_training_mean(name):
    model, features = sample_model(name, TASKS["class"]), sample_features(24)
    model.learn(features)
    if model.solved:
        solve(model, features, torch.arange(24) % 3)
    used = getattr(model, "used", tuple(model.widths))
    for gone in used if len(used) > 1 else ():
        rest = {other: rows for other, rows in features.items() if other != gone}
        usual = rest | {gone: features[gone].mean(0).expand_as(features[gone])}
        missing = model(rest).outputs
        torch.testing.assert_close(missing, model(usual).outputs, atol=1e-4, rtol=1e-4)
        assert not torch.equal(missing, model(features).outputs)


SOLVED = [name for name, kind in FUSIONS.items() if kind.solved]


@pytest.mark.parametrize("task", [UNITS, *TASKS.values()], ids=lambda task: task.kind)
@pytest.mark.parametrize("name", SOLVED)
def test_a_solution_follows_from_the_rows_and_the_target_alone(name, task):
    """Twice the same rows: the same weights, bit for bit. Another target moves all that are not as they were built."""

    def solved(seed, other=False):
        torch.manual_seed(seed)
        features, target = solvable(task)
        target = target.flip(0) if other else target
        return solve(FUSIONS[name](WIDTHS, FUSIONS[name].Config(), task), features, target).state_dict()

    first, again, other = solved(0), solved(1), solved(0, other=True)
    assert all(torch.equal(first[key], again[key]) for key in first)
    built = dict(FUSIONS[name](WIDTHS, task=task).named_parameters())
    moved = {key for key in built if first[key].shape != other[key].shape or not torch.equal(first[key], other[key])}
    assert moved
    assert all(torch.equal(first[key], weight) for key, weight in built.items() if key not in moved)


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("name", [name for name in VECTORS if name not in SOLVED])
def test_training_on_samples_moves_every_weight(name, kind):
    model, features = sample_model(name, TASKS[kind]).train(), sample_features()
    fused = model(features)
    loss = fused.outputs.square().sum() + model.penalty(fused, torch.zeros(0, dtype=torch.bool))
    loss.backward()
    still = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert still == []


@pytest.mark.parametrize("name", [name for name in FUSIONS if name not in VECTORS])
def test_who_needs_units_of_a_clip_says_so(name):
    with pytest.raises(ValueError, match="cannot be trained on samples"):
        build(name, WIDTHS, {}, TASKS["class"])


RELATIONS = itertools.product(
    ("rbf", "distance", "intersection", "soft-dtw"),
    ("elementwise", "walks"),
    ["matrix"],
    ["none"],
    ["graph"],
    ["sorted"],
)
OPERATORS = itertools.product(
    ["cosine"],
    ["elementwise"],
    ("matrix", "outer"),
    ("none", "sigmoid", "relu"),
    ("graph", "batch", "standard", "none"),
    ["row"],
)


@pytest.mark.parametrize("options", [*RELATIONS, *OPERATORS], ids="-".join)
def test_every_option_of_lego_trains(options):
    torch.manual_seed(2)
    names = ("relation", "expansion", "operator", "gate", "rescale", "head")
    model = FUSIONS["lego"](WIDTHS, FUSIONS["lego"].Config(**dict(zip(names, options, strict=True)), steps=4))
    fused = model({name: torch.rand(4, 32, width) for name, width in WIDTHS.items()})
    (fused.scores.sum() + model.penalty(fused, torch.tensor([True, False, True, False]))).backward()
    grads = [weight.grad for weight in model.parameters()]
    assert all(grad is not None and grad.isfinite().all() for grad in grads)
