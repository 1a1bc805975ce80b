"""Datasets on disk, by format; every reader ends in a `Dataset` of `Clip`s or in `Samples`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.data.reading import read
    from core.dataset import Dataset

__all__ = ["Dataset", "read"]


def __getattr__(name: str) -> Any:
    # both need torch, which takes seconds to import; who only wants names or drafts does not wait for it
    if name in __all__:
        from core import dataset
        from core.data import reading

        return dataset.Dataset if name == "Dataset" else reading.read
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
