"""What is free, of the machine, a container, an accelerator."""

from pathlib import Path

import pytest
import torch

from core.machine import memory


def test_what_is_free_heeds_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory._container(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    assert memory._container(tmp_path) is None
    (tmp_path / "memory.max").write_text("1005\n")
    assert memory._container(tmp_path) == 1000
    assert 10**7 < memory.free() < 10**15
    monkeypatch.setattr(memory, "_container", lambda: 77)
    assert memory.free() == 77
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (900, 1000))
    assert (memory.free("cuda"), memory.free("cpu")) == (900, 77)
