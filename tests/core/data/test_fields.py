"""JSON of other hands is opened in one place, in one pass, whatever it holds."""

import json
from pathlib import Path

import pytest

from core.data import fields, native
from core.machine.names import RefusedError


def test_one_name_twice_among_very_many_is_found_in_one_pass(tmp_path: Path) -> None:
    """3 MB: counting each name anew would take minutes, and the queue would stand still."""
    names = [f'"clip-{number}": {{}}' for number in range(150_000)]
    told = f'{{"format": "fusescope-dataset", "version": 1, "clips": {{{", ".join([*names, names[0]])}}}}}'
    (tmp_path / "dataset.json").write_text(told)
    with pytest.raises(RefusedError, match="dataset.json names 'clip-0' twice in one place"):
        native.load_index(tmp_path)


def test_json_that_would_fill_the_memory_is_refused_before_it_is_opened() -> None:
    """18 MB of empty lists take half a gigabyte once they are opened."""
    with pytest.raises(RefusedError, match="holds 12,000,002 values; at most 5,000,000 are read"):
        fields.parsed(b"[" + b"[]," * 6_000_000 + b"[]]", "it")


def test_what_json_can_say_comes_back() -> None:
    told = {"a": [1, 2.5, None, True, "\u00fc"], "b": {"c": {}}, "": -(10**30)}
    assert fields.parsed(json.dumps(told).encode(), "it") == told
    assert fields.parsed(b"7", "it") == 7
