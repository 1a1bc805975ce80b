"""What several commands share: options, values as people type them, and how answers are printed."""

import ast
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from core.workspace import Workspace

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="An option as key=value; value: none, true, a number, a word.")
]

Reading = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="What a feature folder does not say: anomalous={'test': 810}, truth=gt.npy, test=test.list …"
    ),
]

PartOf = Annotated[
    str | None,
    typer.Option("--part", help="train, test or all; unless given what every page looks at: test, else all."),
]
Protocol = Annotated[str | None, typer.Option(help="Which of the dataset's splits; the first one unless given.")]
Modalities = Annotated[
    str | None, typer.Option(help="Comma-separated modalities to use, in this order; all unless given.")
]

Address = Annotated[
    str | None, typer.Option(help="A Ray cluster (host:6379, ray://host:10001, or local) that does the work.")
]

ENTRIES, FEW = 1 << 22, 1 << 12  # feature values that go through a model at once, and the fewest when memory is short
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: the accelerator where there is one.")]


class Explained(TyperCommand):
    """A command whose help ends with what `--set` takes: options of the training, and of every fusion that is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta["named"] = [part for word in args for part in word.replace("=", ",").split(",")]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from core.fusion import FUSIONS, title_of
        from core.recipe import TrainConfig, options_of
        from core.sweep.plan import plain

        super().format_help(ctx, formatter)
        kinds = {title_of(name): FUSIONS[name].Config for name in ctx.meta.get("named", ()) if name in FUSIONS}
        lines = [] if kinds else ["Name a fusion beside --help to see its own options."]
        for title, kind in {**kinds, "the training": TrainConfig}.items():
            lines.append(f"\n--set, options of {title}:")
            lines += [f"  {o.name}={plain(o.default)}: {o.help} ({o.wanted})" for o in options_of(kind).values()]
        print("\n".join(lines))


def literal(text: str) -> Any:
    """`none`, `true`, `false`, numbers and words; what Python would read, and else the word itself."""
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def settings(pairs: Sequence[str] | None) -> dict[str, Any]:
    found = {}
    for pair in pairs or ():
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise ValueError(f"--set wants key=value, got {pair!r}")
        found[key.strip()] = literal(value.strip())
    return found


def recipe(fusion: str, pairs: Sequence[str] | None, seeds: int = 1, **rest: Any) -> Any:
    """The recipe of a command: options of the fusion and of the training are told apart by their names."""
    from core.recipe import Recipe

    return Recipe(fusion, seeds=tuple(range(seeds)), **rest).but(**settings(pairs))


def training(pairs: Sequence[str] | None) -> tuple[dict[str, Any], Any]:
    """(options of fusions, the training) where several fusions share them."""
    from core.recipe import TRAINING, TrainConfig, checked, options_of

    found = settings(pairs)
    loop = {key: value for key, value in found.items() if key in options_of(TrainConfig)}
    own = {key: value for key, value in found.items() if key not in loop}
    return own, checked(TrainConfig, loop, TRAINING)


def names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def tell(message: str) -> None:
    """Progress goes to standard error, so that standard output stays clean."""
    print(message, file=sys.stderr, flush=True)


def put(result: dict[str, Any], text: str, as_json: bool, warning: str = "") -> None:
    """The answer as one JSON object or as text; a warning stands in either."""
    if warning:
        result, text = result | {"warning": warning}, f"{text}\n{warning}"
    print(json.dumps(result, allow_nan=False) if as_json else text)


def left_out(*roots: Path) -> dict[str, Any]:
    """Which folders below these are runs that cannot be read, and why: told, and for the JSON; {} where all can be."""
    from core import run as runs

    found: list[str] = []
    for root in roots:
        runs.listing(root, found.append)
    for why in found:
        tell(f"left out: {why}")
    return {"left_out": found} if found else {}


def device_of(name: str) -> str:
    from core.machine.device import device_named

    return device_named(name)


def opened(path: Path, extracted: Path | None = None, workers: int = 2) -> Any:
    """A dataset from any folder: features are read; videos and frame folders are extracted beside the work first."""
    from core.data import read

    if not path.exists():
        raise ValueError(f"{str(path)!r} does not exist")
    if is_footage(path):
        from core.extract import extract

        target = extracted or Workspace.here().data / path.resolve().name
        if (target / "dataset.json").is_file():
            tell(f"using the features in {target}; remove it to extract {path.name} anew")
            return read(target)
        tell(f"extracting features of {path.name} into {target} (resumes where it stopped)")
        return extract(path, target, workers=workers, progress=lambda p: tell(f"  {p}"))
    return read(path)


def is_footage(path: Path) -> bool:
    """Whether PATH holds videos or frame folders rather than features."""
    from core.data.check import kind

    return kind(path) in ("footage", "video")
