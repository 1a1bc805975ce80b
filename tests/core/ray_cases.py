"""On a Ray cluster of two workers on this machine: the same answers as here, whoever is killed on the way.

`test_cluster.py` runs this file in a process of its own: Ray ends a driver whose daemons it has lost.
"""

import os
from collections import Counter

import numpy as np
import pytest

from core import run as runs
from core.data import native
from core.extract import extract
from core.machine.pool import spread
from core.recipe import Recipe, TrainConfig
from core.score.bulk import bulk
from core.score.infer import score
from core.train.loop import train
from tests.core.extract.made import walkway
from tests.core.machine.test_pool import added, once_killed, process, refuse
from tests.core.made import dataset
from tests.core.score.test_bulk import same

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture(scope="module")
def cluster():
    """A head without a processor of its own and two workers, on this machine."""
    ray = pytest.importorskip("ray", reason="the cluster tests need requirements-ray.txt")
    from ray.cluster_utils import Cluster

    # workers as urgent as everyone else, and patience: beside a busy browser a nice worker gets 3 % of a core
    patience = {"worker_niceness": 0, "agent_register_timeout_ms": 120_000, "health_check_timeout_ms": 60_000}
    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "object_store_memory": 100 << 20,
            "_system_config": patience,
        },
    )
    for _ in range(2):
        made.add_node(num_cpus=1, object_store_memory=100 << 20)
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_cluster_gives_what_this_process_gives(cluster):
    shared = (5,)
    assert sorted(spread(added, range(6), cluster.address, shared=shared)) == list(
        spread(added, range(6), shared=shared)
    )
    used = Counter(pid for _, pid in spread(process, range(20), cluster.address))
    assert len(used) == 2
    assert os.getpid() not in used
    with pytest.raises(ValueError, match="two is too many"):
        list(spread(refuse, range(4), cluster.address))


def test_a_worker_killed_midway_loses_nothing_and_nothing_is_done_twice(cluster, tmp_path):
    found = list(spread(once_killed, range(12), cluster.address, shared=(str(tmp_path),)))
    assert sorted(found) == [(i, 10 * i) for i in range(12)]
    done = Counter((tmp_path / "done").read_text().split())
    assert done == Counter(str(i) for i in range(12))


def test_bulk_scores_are_those_of_this_process(cluster, tmp_path):
    native.write(dataset(), tmp_path / "data")
    data = native.read(tmp_path / "data")
    trained = train(data, Recipe("lego", {}, TrainConfig(epochs=1, batch=8)))
    run = runs.save(trained.run, trained.model.state_dict(), trained.history, tmp_path / "runs")
    done = bulk(run, str(tmp_path / "data"), tmp_path / "out", part=5, cluster=cluster.address)
    assert (done.parts, done.clips) == (4, 20)
    same(tmp_path / "out", score(trained.model, tuple(data.clips.values())), data)


def test_extraction_gives_the_same_rows(cluster, tmp_path):
    walkway(tmp_path / "footage", frames=62)
    told = []
    far = extract(tmp_path / "footage", tmp_path / "far", address=cluster.address, progress=told.append, videos=False)
    here = extract(tmp_path / "footage", tmp_path / "here", workers=0, videos=False)
    assert told[-1].done == told[-1].total
    for name, clip in here.clips.items():
        for modality, rows in clip.features.items():
            np.testing.assert_array_equal(far.clips[name].features[modality].numpy(), rows.numpy())


def test_a_machine_lost_midway_loses_nothing(cluster):
    import ray

    found = []
    for index, _ in spread(process, range(24), cluster.address):
        found.append(index)
        if len(found) == 4:  # not the one that this process speaks through
            ours = ray.get_runtime_context().get_node_id()
            cluster.remove_node(next(n for n in cluster.worker_nodes if n.node_id != ours), allow_graceful=False)
    assert sorted(found) == list(range(24))
