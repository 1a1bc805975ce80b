"""The same scores on the accelerator as on the processor; skipped, and said so, where there is none."""

import numpy as np
import pytest
import torch

from core import attribute
from core.fusion import FUSIONS
from core.infer import look, score
from core.train import TrainConfig, train
from tests.core.made import WIDTHS, clip, dataset

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: CPU against GPU unchecked")

CASES = [(name, {}) for name in FUSIONS] + [
    ("lego", {"expansion": "walks", "rescale": "standard"}),
    ("lego", {"relation": "rbf", "head": "relative"}),
    ("concat", {"level": "graph"}),
    ("product", {"level": "graph"}),
]


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *map(str, case[1].values())]))
def model(request):
    torch.manual_seed(0)
    name, options = request.param
    return FUSIONS[name](WIDTHS, FUSIONS[name].Config(**options)).eval()


def test_scores_on_the_gpu_are_the_cpus(model):
    clips = [clip(f"c{n}", units=n, seed=n, crops=n % 3) for n in (5, 32, 70)]
    wanted, looked = score(model, clips), look(model, clips[2]).scores
    model.cuda()
    found = score(model, clips)
    for each in clips:
        np.testing.assert_allclose(found[each.name], wanted[each.name], atol=1e-4)
    np.testing.assert_allclose(look(model, clips[2]).scores, looked, atol=1e-4)


def test_explanations_on_the_gpu_are_the_cpus(model):
    here = clip(units=40)
    wanted = attribute.explain(model, here, 35)
    found = attribute.explain(model.cuda(), here, 35)
    assert found.score == pytest.approx(wanted.score, abs=1e-4)
    for name, part in wanted.modalities.items():
        assert found.modalities[name] == pytest.approx(part, abs=1e-4)
    if wanted.edges is not None:
        np.testing.assert_allclose(found.edges, wanted.edges, atol=1e-3)
    if wanted.terms is not None:
        np.testing.assert_allclose(found.terms, wanted.terms, atol=1e-3)
        fair = attribute.term_shapley(model, here, 35)
        np.testing.assert_allclose(fair.parts, attribute.term_shapley(model.cpu(), here, 35).parts, atol=1e-3)


@pytest.mark.parametrize("name", list(FUSIONS))
def test_training_on_the_gpu_gives_a_run_that_scores_on_the_cpu(name):
    found = train(dataset(), name, training=TrainConfig(epochs=2, batch=4), device="cuda")
    assert next(found.model.parameters()).device.type == "cpu"
    assert np.isfinite(found.run.metrics["auc"])
