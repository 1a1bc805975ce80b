"""LEGO and its rivals: published counts, the released code, missing modalities, pairing."""

import pytest
import torch
from torch import nn

from core.fusion import FUSIONS
from core.fusion.base import count_weights
from core.fusion.lego import Lego, LegoConfig
from core.fusion.released import lego as imported

PUBLISHED = {"visual": 2048, "text": 768}


@pytest.mark.parametrize(
    ("name", "options", "weights"),
    [("lego", {}, 91_281), ("lego", {"project": None}, 1_105), ("mtn", {}, 28_959_009)],
)
def test_weights_are_the_published_ones(name, options, weights):
    with torch.device("meta"):
        model = FUSIONS[name](PUBLISHED, FUSIONS[name].Config(**options))
    assert count_weights(model) == weights


class Released(nn.Module):
    """The released code's forward pass, written from its description, keys and all."""

    def __init__(self, visual, text, m, n, nodes):
        super().__init__()
        self.embedding_v, self.embedding_t = nn.Module(), nn.Module()
        self.embedding_v.fc1, self.embedding_t.fc1 = nn.Linear(visual, 32), nn.Linear(text, 32)
        self.graphfusion = nn.Module()
        self.graphfusion.a = nn.Parameter(torch.randn(m, n, 1, 1, 1))
        self.normal_head = nn.Module()
        self.normal_head.fc1, self.normal_head.fc2 = nn.Linear(nodes, nodes), nn.Linear(nodes, 1)
        self.normal_head.bn = nn.BatchNorm1d(nodes)

    def forward(self, v, t):
        graphs = []
        for rows in (self.embedding_v.fc1(v), self.embedding_t.fc1(t)):
            unit = rows / rows.norm(dim=-1, keepdim=True)
            graphs.append(torch.relu(unit @ unit.transpose(1, 2)))
        eye = torch.eye(v.shape[1]).expand_as(graphs[0])
        weights, total = torch.sigmoid(self.graphfusion.a), 0
        for p in range(weights.shape[0]):
            for q in range(weights.shape[1]):
                total = total + weights[p, q] * (graphs[0] ** p if p else eye) * (graphs[1] ** q if q else eye)
        hidden = torch.relu(self.normal_head.fc1(total / total.max()))
        return torch.sigmoid(self.normal_head.fc2(hidden)).squeeze(-1)


def test_an_imported_checkpoint_gives_the_released_codes_scores():
    torch.manual_seed(0)
    theirs = Released(40, 24, m=4, n=3, nodes=32).eval()
    v, t = torch.randn(5, 32, 40), torch.randn(5, 32, 24)
    ours = imported(theirs.state_dict(), ("visual", "text"))
    torch.testing.assert_close(ours({"visual": v, "text": t}).scores, theirs(v, t), atol=1e-5, rtol=0)


def test_a_foreign_checkpoint_is_refused_with_its_keys():
    state = Released(8, 8, 2, 2, 32).state_dict()
    del state["graphfusion.a"]
    state["backbone.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"missing graphfusion.a; unexpected backbone.weight"):
        imported(state)


def test_a_missing_modality_is_the_neutral_element():
    torch.manual_seed(0)
    model = Lego({"a": 6, "b": 5}, LegoConfig(nodes=8)).eval()
    rows = torch.randn(8, 6)
    graph = model.graphs({"a": rows})["a"]
    wanted = torch.zeros(8, 8)
    A = model.operator()
    for p in range(4):
        for q in range(4):
            left = graph**p if p else torch.eye(8)
            wanted += A[p, q] * left * (torch.ones(8, 8) if q else torch.eye(8))
    torch.testing.assert_close(model({"a": rows}).trace.raw, wanted)


def test_random_pairs_fold_from_the_left_when_scoring():
    torch.manual_seed(0)
    widths = {"a": 6, "b": 5, "c": 4}
    model = Lego(widths, LegoConfig(pairing="random", nodes=8, rescale="graph", gate="none")).eval()
    features = {name: torch.randn(8, width) for name, width in widths.items()}
    graphs = list(model.graphs(features).values())

    def pair(left, right):
        total = torch.zeros(8, 8)
        for p in range(4):
            for q in range(4):
                total += model.A[p, q] * (left**p if p else torch.eye(8)) * (right**q if q else torch.eye(8))
        return total / total.max()

    torch.testing.assert_close(model(features).trace.fused, pair(pair(graphs[0], graphs[1]), graphs[2]))


def test_random_pairs_differ_from_step_to_step_while_training():
    torch.manual_seed(0)
    widths = {"a": 6, "b": 5, "c": 4}
    model = Lego(widths, LegoConfig(pairing="random", nodes=8)).train()
    features = {name: torch.randn(8, width) for name, width in widths.items()}
    assert len({model(features).trace.raw.sum().item() for _ in range(60)}) == 6


def test_fewer_than_two_modalities_are_refused():
    with pytest.raises(ValueError, match="two or more"):
        Lego({"a": 4})


def test_an_outer_operator_has_rank_one():
    model = Lego({"a": 4, "b": 4}, LegoConfig(operator="outer", gate="none"))
    assert torch.linalg.matrix_rank(model.operator()) == 1


def test_sorted_head_ignores_the_order_of_the_units():
    torch.manual_seed(0)
    model = Lego({"a": 6, "b": 5}, LegoConfig(nodes=8)).eval()
    features = {"a": torch.randn(8, 6), "b": torch.randn(8, 5)}
    order = torch.randperm(8)
    shuffled = {name: rows[order] for name, rows in features.items()}
    torch.testing.assert_close(model(shuffled).scores, model(features).scores[order])


def test_graph_concat_reads_the_rows_of_both_graphs():
    torch.manual_seed(0)
    model = FUSIONS["concat"]({"a": 6, "b": 5}, FUSIONS["concat"].Config(level="graph", nodes=8, head="row")).eval()
    features = {"a": torch.randn(8, 6), "b": torch.randn(8, 5)}
    fused = model(features)
    rows = torch.cat(list(fused.trace.graphs.values()), dim=-1)
    wanted = model.head.fc2(torch.relu(model.head.fc1(rows))).squeeze(-1).sigmoid()
    torch.testing.assert_close(fused.scores, wanted)
