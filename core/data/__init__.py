"""Datasets on disk, by format; every reader ends in a `Dataset` of `Clip`s or in `Samples`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.data.dataset import Dataset
    from core.data.reading import read

__all__ = ["Dataset", "read"]


def __getattr__(name: str) -> Any:
    # both need torch, which takes seconds to import; who only wants names or drafts does not wait for it
    if name in __all__:
        from core.data import dataset, reading

        return dataset.Dataset if name == "Dataset" else reading.read
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
