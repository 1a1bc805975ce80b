"""Datasets on disk, by format; every reader ends in the same `Dataset` of `Clip`s."""

from core.data.dataset import Dataset, read

__all__ = ["Dataset", "read"]
