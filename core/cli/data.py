"""Commands about data: look at a folder, measure footage, make a sample set."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli.shared import Address, Json, Modalities, Reading, names, put, settings, tell


def check(path: Path, set_: Reading = None, json_: Json = False) -> None:
    """Say what lies at PATH and every problem in it, with clip, field and numbers."""
    from core.data.check import check as inspect

    report = inspect(path, **settings(set_))
    put(report.to_json(), report.text(), json_)
    raise typer.Exit(0 if report.ok else 1)


def extract(
    source: Path,
    out: Path,
    modalities: Modalities = None,
    workers: Annotated[int, typer.Option(help="Clips worked on at once.")] = 2,
    fps: Annotated[float | None, typer.Option(help="Frames a second of a frame folder that does not say.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch pretrained models that are not here.")] = False,
    address: Address = None,
    json_: Json = False,
) -> None:
    """Turn videos or frame folders into a dataset of features; run it again to go on where it stopped.

    --modalities takes motion, appearance, text, and with pretrained models NAME=video:MODEL, NAME=image:MODEL and
    NAME=caption:MODEL+MODEL, each MODEL a folder or a name on the Hugging Face hub.
    """
    from core.extract import extract as run

    given: dict[str, Any] = {} if modalities is None else {"modalities": names(modalities)}
    given |= {"workers": workers, "fps": fps, "download": download, "address": address}
    dataset = run(source, out, progress=lambda p: tell(f"  {p}"), **given)
    units = sum(clip.units for clip in dataset.clips.values())
    result = {"out": str(out), "clips": len(dataset.clips), "units": units, "widths": dataset.widths}
    put(result, f"{out}: {len(dataset.clips)} clips, {units} units, widths {dataset.widths}", json_)


def build(
    what: Annotated[str, typer.Argument(help="av-mnist, or samples: files of samples as a folder of ours.")],
    out: Path,
    source: Annotated[
        Path | None, typer.Option("--from", help="Files of samples: .csv views, .mat, .h5, pickle.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="What those files do not say: target=real, pickle=true, test=0.2 …"),
    ] = None,
    mnist: Annotated[Path | None, typer.Option(help="MNIST as an .npz of X_train, y_train, X_test, y_test.")] = None,
    fsdd: Annotated[Path | None, typer.Option(help="Folder of the Free Spoken Digit Dataset's recordings.")] = None,
    pairs: Annotated[int | None, typer.Option(help="Training pairs.")] = None,
    test_pairs: Annotated[int | None, typer.Option(help="Test pairs.")] = None,
    noise: Annotated[float | None, typer.Option(help="White noise, times each recording's RMS.")] = None,
    energy: Annotated[float | None, typer.Option(help="Share of the images' variance that is kept at least.")] = None,
    seed: int = 0,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="For choosing options: test on a part of the training data.")
    ] = False,
    json_: Json = False,
) -> None:
    """Make a sample set of ours from files that were downloaded."""
    from core.data import read
    from core.data.samples import avmnist, native
    from core.sample import Samples

    if what == "av-mnist":
        if mnist is None or fsdd is None:
            raise ValueError("av-mnist is built from --mnist FILE and --fsdd FOLDER")
        given: dict[str, Any] = {"pairs": pairs, "test_pairs": test_pairs, "noise": noise, "energy": energy}
        given = {key: value for key, value in given.items() if value is not None}
        samples = avmnist.build(mnist, fsdd, avmnist.Options(seed=seed, held_out=held_out, **given))
    elif what == "samples":
        found = None if source is None else read(source, **settings(set_))
        if not isinstance(found, Samples):
            raise ValueError("samples are built from --from FOLDER that holds files of samples")
        samples = found
    else:
        raise ValueError(f"there is no {what!r} to build; there are av-mnist and samples")
    native.write(samples, out, half=what == "av-mnist")
    result = {"out": str(out), "samples": len(samples), "widths": samples.widths, "notes": list(samples.notes)}
    put(result, "\n".join([f"{out}: {len(samples):,} samples, widths {samples.widths}", *samples.notes]), json_)
