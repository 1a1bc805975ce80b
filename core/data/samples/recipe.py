"""Sample sets that are made, not stored: dataset.json names a recipe and its options.

{"format": "fusescope-recipe", "version": 1, "name": "digits", "recipe": "digits", "options": {"seed": 0}}
"""

from collections.abc import Callable, Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.data import fields
from core.data.samples import digits
from core.machine.names import RefusedError, check_name, shown
from core.sample import Samples

FORMAT, VERSION = "fusescope-recipe", 1


def _digits(name: str, given: Mapping[str, Any]) -> Samples:
    known = {entry.name for entry in fields_of(digits.Options)}
    unknown = [key for key in given if key not in known]
    if unknown:
        raise RefusedError(f"dataset.json: options: there is no '{shown(unknown[0], 40)}'; there is {', '.join(known)}")
    options: dict[str, Any] = dict(given)
    if "views" in given:
        options["views"] = fields.texts(given["views"], "options: views")
    for key, high in (("noise", 64), ("seed", (1 << 31) - 1)):
        if key in given:
            fields.whole(given[key], f"options: {key}", 0, high)
    if "test" in given:
        fields.of(given["test"], float, "options: test")
    return digits.make(name, digits.Options(**options))


RECIPES: Mapping[str, Callable[[str, Mapping[str, Any]], Samples]] = {"digits": _digits}


def read(path: Path) -> Samples:
    """The sample set that the recipe in this folder makes. Errors: `ValueError` naming the field."""
    found = fields.load(path, FORMAT, VERSION)
    name = check_name(found.get("name", path.name), "dataset")
    recipe = fields.text(found.get("recipe"), "recipe")
    if recipe not in RECIPES:
        raise RefusedError(f"dataset.json: there is no recipe '{shown(recipe, 40)}'; there is {', '.join(RECIPES)}")
    options = fields.of(found.get("options", {}), dict, "options")
    return replace(RECIPES[recipe](name, options), root=path)
