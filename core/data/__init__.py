"""Datasets on disk, by format; every reader ends in the same `Dataset` of `Clip`s."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.data.dataset import Dataset, read

__all__ = ["Dataset", "read"]


def __getattr__(name: str) -> Any:
    # both need torch, which takes seconds to import; who only wants names or drafts does not wait for it
    if name in __all__:
        from core.data import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
