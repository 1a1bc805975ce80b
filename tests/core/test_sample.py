"""Samples: what the door refuses and how it says so, and rows of either kind of data."""

from dataclasses import replace

import pytest
import torch

from core.sample import UNITS, Samples, Task
from tests.core import made

TASK = Task("class", ("cat", "dog"))


def samples(**changes) -> Samples:
    random = torch.Generator().manual_seed(0)
    given = {
        "name": "pets",
        "features": {"look": torch.randn(6, 4, generator=random), "sound": torch.randn(6, 3, generator=random)},
        "target": torch.tensor([0, 1, 0, 1, 0, 1]),
        "task": TASK,
        "splits": {"half": {"train": torch.tensor([0, 1, 2]), "test": torch.tensor([5, 4, 3])}},
    }
    return Samples(**(given | changes))


def test_a_part_holds_the_rows_its_split_names_in_that_order() -> None:
    data = samples(names=tuple("abcdef"))
    part = data.part("test")
    assert part.names == ("f", "e", "d")
    assert part.places == (("", 5), ("", 4), ("", 3))
    assert part.target.tolist() == [1, 0, 1]
    assert torch.equal(part.features["look"], data.features["look"][[5, 4, 3]])
    assert len(data.part("all")) == 6
    assert part.take(torch.tensor([2])).names == ("d",)


def broken(name: str, value: float) -> dict[str, torch.Tensor]:
    features = {key: rows.clone() for key, rows in samples().features.items()}
    features[name][2, 1] = value
    return features


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"features": {}}, "no modalities"),
        ({"features": {"look": torch.zeros(5, 4)}}, r"sample counts differ: \{'look': 5, 'target': 6\}"),
        ({"features": {"a/b": torch.zeros(6, 4)}}, "'a/b' is no modality name"),
        ({"features": {"look": torch.zeros(6, 0)}}, "rows of width 0"),
        ({"features": broken("sound", float("nan"))}, "'sound' has 1 NaN or infinite values, in samples 2"),
        ({"features": broken("look", 1e20)}, r"'look' has values up to 1\.0e\+20"),
        ({"target": torch.tensor([0, 1, 0, 1, 0, 2])}, "classes run from 0 to 2, but 2 classes are named"),
        ({"target": torch.tensor([-1, 1, 0, 1, 0, 1])}, "classes run from -1 to 1"),
        ({"target": torch.zeros(6)}, "a class is one whole number"),
        ({"task": Task("real", ("age",))}, r"targets have shape \(6,\), 1 are named"),
        (
            {"task": Task("real", ("age",)), "target": torch.full((6, 1), float("inf"))},
            "target has 6 NaN or infinite values, in samples 0, 1, 2, 3, 4, …",
        ),
        ({"task": UNITS}, "not units"),
        ({"names": ("a",)}, "'names': 1"),
        ({"splits": {"half": {"train": torch.tensor([0, 6])}}}, "'half'/train names samples 0 to 6, there are 6"),
        ({"pictures": {"look": (3, 2)}}, "width 4, which is no picture of 3 x 2"),
    ],
)
def test_bad_samples_are_refused_with_set_field_and_numbers(changes, words) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        samples(**changes)
    assert "'pets'" in str(caught.value)


def test_unknown_parts_and_protocols_are_named() -> None:
    with pytest.raises(ValueError, match="no part 'valid'; it has train, test"):
        samples().part("valid")
    with pytest.raises(ValueError, match="no split 'other'; there are half"):
        samples().part("test", "other")


@pytest.mark.parametrize(
    ("kind", "names", "words"),
    [
        ("class", ("one",), "two or more"),
        ("real", (), "1 to"),
        ("class", ("a", "a"), "the same name"),
    ],
)
def test_a_task_needs_distinct_outputs(kind, names, words) -> None:
    with pytest.raises(ValueError, match=words):
        Task(kind, names)


def test_the_fingerprint_moves_with_everything_a_run_depends_on() -> None:
    first = samples().digest()
    assert samples().digest() == first
    assert samples(licence="other", notes=("n",)).digest() == first
    changed = [
        samples(features=broken("look", 0.5)),
        samples(target=torch.tensor([0, 1, 0, 1, 1, 1])),
        samples(task=Task("class", ("cat", "cow"))),
        samples(splits={"half": {"train": torch.tensor([0, 1]), "test": torch.tensor([5, 4, 3])}}),
    ]
    assert len({first, *(each.digest() for each in changed)}) == 5


def test_units_of_clips_are_rows_with_their_labels_as_classes() -> None:
    data = made.dataset(train=4, test=4)
    part, clips = data.part("test").flat(), data.part("test")
    assert part.task == UNITS
    assert part.classes == ("normal", "anomalous")
    assert len(part) == sum(clip.units for clip in clips)
    for row in (0, 17, len(part) - 1):
        name, unit = part.places[row]
        assert torch.equal(part.features["text"][row], data.clips[name].features["text"][unit])
        assert bool(part.target[row]) == bool(data.clips[name].labels[unit])
    assert part.places[clips[0].units] == (clips[1].name, 0)


def test_crops_are_averaged_and_one_unlabelled_clip_leaves_no_target() -> None:
    from dataclasses import replace

    data = made.dataset(train=2, test=2)
    name = data.splits["weak"]["test"][0]
    crops = made.clip(name, units=data.clips[name].units, crops=3)
    other = replace(data, clips={**data.clips, name: replace(crops, labels=None, anomalous=True)})
    part = other.part("test").flat()
    assert part.target is None
    torch.testing.assert_close(part.features["motion"][1], crops.features["motion"][:, 1].mean(0))


def test_how_many_of_those_shown_a_run_of_another_split_learned_from() -> None:
    half, other = torch.tensor([0, 1, 2]), torch.tensor([1, 4, 5])
    splits = {"half": {"train": half, "test": torch.tensor([5, 4, 3])}, "other": {"train": other, "test": half}}
    data = samples(splits=splits)
    assert data.trained_among_shown("half") == (0, 3)
    assert data.trained_among_shown("other") == (2, 3)
    assert data.trained_among_shown("one that is gone") == (0, 3)
    assert samples(splits={"all": {"train": half}}).trained_among_shown("all") == (3, 6), "no test part: all are shown"
    clips = made.dataset()
    names = tuple(clips.clips)
    train, test = clips.splits["weak"]["train"], clips.splits["weak"]["test"]
    clips = replace(clips, splits={**clips.splits, "turned": {"train": (test[0], *train[:2]), "test": test[1:]}})
    assert clips.trained_among_shown("weak") == (0, len(test))
    assert clips.trained_among_shown("turned") == (1, len(test))
    assert replace(clips, splits={"no": {"train": names[:2]}}).trained_among_shown("no") == (2, len(names))


def test_clips_and_samples_agree_on_what_is_looked_at() -> None:
    """The test part of a split; all where the split names none or an empty one, or there are no splits."""
    clips = made.dataset(train=3, test=2)
    names, number = tuple(clips.clips), torch.arange
    by_name = {"first": {"train": names[:3], "test": names[3:]}, "empty": {"train": names, "test": ()}}
    by_name["none"] = {"train": names[:2]}
    by_number = {"first": {"train": number(3), "test": number(3, 6)}, "empty": {"train": number(6), "test": number(0)}}
    by_number["none"] = {"train": number(2)}
    for data in (replace(clips, splits=by_name), samples(splits=by_number)):
        assert [data.looked_at(each) for each in (None, "first", "empty", "none")] == ["test", "test", "all", "all"]
        assert [len(data.shown(each)) for each in ("first", "empty", "none")] == [
            len(data.part("test")), len(data.part("all")), len(data.part("all"))
        ]  # fmt: skip
        assert len(replace(data, splits={}).shown()) == len(data.part("all")) == len(data.everyone)
        with pytest.raises(ValueError, match="no split 'gone'; .*here are first, empty, none"):
            data.shown("gone")
        with pytest.raises(ValueError, match="split 'none' has no part 'test'; it has train"):
            data.part("test", "none")


def test_rows_keep_modalities_in_the_order_asked_for() -> None:
    data = made.dataset(train=2, test=2)
    for rows in (data.part("test"), samples().part("test")):
        two = tuple(rows.flat().features)[:2]
        assert tuple(rows.keep(two[::-1]).flat().features) == two[::-1]
        assert len(rows.keep(two[:1])) == len(rows)
        with pytest.raises(ValueError, match="no modality 'smell'"):
            rows.keep(("smell",))
