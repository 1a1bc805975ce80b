"""`read` opens whatever format lies in a folder."""

from pathlib import Path
from typing import Any

from core.data import check, native, rtfm
from core.data.samples import foreign, recipe
from core.data.samples import native as samples
from core.dataset import Dataset
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
        return foreign.read(path, options)
    raise ValueError(check.instead(path, kind))


def about(path: Path) -> dict[str, Any]:
    """What a dataset of ours says about itself, without its features: name, modalities, splits, licence, simulated,
    and `clips`, or `samples` (how many) and `task`.

    Errors: `ValueError` as in `read`.
    """
    if check.kind(path) != "samples":
        return native.load_index(path)
    if check.stated_format(path) == recipe.FORMAT:
        made = recipe.read(path)
        return {
            "name": made.name,
            "modalities": {modality: {"width": width} for modality, width in made.widths.items()},
            "splits": {name: {part: len(rows) for part, rows in parts.items()} for name, parts in made.splits.items()},
            "licence": made.licence,
            "simulated": made.simulated,
            "samples": len(made),
            "task": made.task,
        }
    return samples.load_index(path)
