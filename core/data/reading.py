"""`read` opens whatever format lies in a folder."""

from pathlib import Path
from typing import Any

from core.data import check, native, rtfm
from core.data.dataset import Dataset
from core.data.samples import foreign, recipe
from core.data.samples import native as samples
from core.sample import Samples


def read(path: Path, **options: Any) -> Dataset | Samples:
    """Open a dataset of any known format.

    options     what files cannot say themselves: for folders of feature files see `core.data.rtfm.Options`,
                for files of samples `core.data.samples.foreign.Options`
    Errors: `ValueError` that says what is wrong, where, and what to do.
    """
    kind = check.kind(path)
    if kind == "native":
        return native.read(path)
    if kind == "samples":
        return recipe.read(path) if check.stated_format(path) == recipe.FORMAT else samples.read(path)
    if kind == "features":
        return rtfm.read(path, rtfm.options(options) if options else None)
    if kind == "tables" or (kind == "arrays" and path.suffix.lower() in (".pkl", ".pickle")):
        return foreign.read(path, foreign.options(options) if options else None)
    raise ValueError(check.instead(path, kind))
