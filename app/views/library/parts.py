"""Parts of the library page: bringing data in, watching it arrive, putting back what was removed."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st
from humanize import naturalsize

from app import store
from app.figures.style import markdown_text
from app.state import navigation, selection
from app.store.keys import DataKey
from app.views.library import figures as tables
from app.widgets.jobs import IMPORTS, chosen_data, holds_samples, job_root, listed, state, stop_or_hide, told, watched
from core import jobs, workspace
from core.data import check, guard
from core.data.rtfm import SUFFIXES
from core.machine.names import check_name, clip_name, shown

# ---------------------------------------------------------------------------- bring data in


def video() -> None:
    """Upload one video; it is measured like the clips of a dataset whose models should score it."""
    known = [key for key, folder in store.keys.datasets().items() if (folder / "calibration.npz").is_file()]
    with st.form("upload-video", clear_on_submit=True, border=False):
        file = st.file_uploader("A video (MP4, M4V, MOV, AVI, MKV, WebM)", type=[s[1:] for s in guard.VIDEOS])
        left, right = st.columns(2)
        name = left.text_input("Name", placeholder="the file's own name", max_chars=60)
        reference = right.selectbox(
            "Measured like",
            [*known, DataKey()],
            format_func=lambda key: shown(key) if key else "no dataset: on its own scale",
            help="Models know only features measured the same way: take the dataset whose runs should score it.",
        )
        sent = st.form_submit_button("Extract its features", type="primary", icon=":material/upload:")
    if sent and file is None:
        st.warning("Choose a video first.", icon=":material/movie:")
    elif sent and file is not None:
        told(lambda: _send_video(file.name, file.getvalue(), name, reference))


def _send_video(file: str, content: bytes, name: str, reference: DataKey) -> None:
    called = workspace.free_name(store.keys.workspace().data, name.strip() or Path(workspace.file_name(file)).stem)
    if workspace.file_suffix(file) not in guard.VIDEOS:
        raise ValueError(f"'{shown(file)}' is no video by its name; {', '.join(guard.VIDEOS)} are read")
    (place,) = store.keys.workspace().keep_upload([(f"{clip_name(called)}{workspace.file_suffix(file)}", content)])
    given = {"name": called, "out": str(store.keys.workspace().data / called), "uploaded": str(place.parent)}
    if reference:
        given |= {"file": str(place), "dataset": str(store.keys.datasets()[reference])}
        jobs.submit(job_root(), "clip", f"Video {shown(file, 60)}", given)
    else:
        jobs.submit(job_root(), "footage", f"Video {shown(file, 60)}", {**given, "folder": str(place)})


def features() -> None:
    """Upload feature files, or an archive of them or of a dataset."""
    with st.form("upload-features", clear_on_submit=True, border=False):
        files = st.file_uploader(
            "Feature files (.npy, one a clip and modality), lists, ground truth, or all of it in one .zip",
            type=[s[1:] for s in workspace.FEATURES],
            accept_multiple_files=True,
            help="Names tell clip and modality: walk_motion.npy, walk_text.npy. A .zip downloaded here works, too.",
        )
        left, right = st.columns(2)
        name = left.text_input("Name", placeholder="the first file's name", max_chars=60)
        fps = right.number_input("Frames a second", 1.0, 1000.0, 25.0)
        sent = st.form_submit_button("Read them", type="primary", icon=":material/upload:")
    if sent and not files:
        st.warning("Choose files first.", icon=":material/description:")
    elif sent:
        told(lambda: _send_features([(file.name, file.getvalue()) for file in files], name, fps))


def _send_features(files: Sequence[tuple[str, bytes]], name: str, fps: float) -> None:
    modalities = [m for key in store.keys.datasets() for m in _modalities(key)]
    endings = {m: f"_{m}" for m in dict.fromkeys([*modalities, *SUFFIXES])}
    _send(files, name, "Features", options={"fps": fps, "modalities": endings})


def _send(files: Sequence[tuple[str, bytes]], name: str, what: str, **options: Any) -> None:
    """Hand uploaded files to a job: what lies in them tells whether they are features or samples."""
    first = Path(workspace.file_name(files[0][0])).stem
    called = workspace.free_name(store.keys.workspace().data, name.strip() or first)
    places = store.keys.workspace().keep_upload(files)
    given = {
        "files": [str(place) for place in places],
        "uploaded": str(places[0].parent),
        "name": called,
        "out": str(store.keys.workspace().data / called),
        **options,
    }
    jobs.submit(job_root(), "files", f"{what} {shown(files[0][0], 60)}", given)


PICKLES = (
    "A pickle is a program that builds what it holds. Only arrays, numbers and plain containers are built here, in a "
    "process apart that may do nothing else; still, read pickles of people you trust."
)
ASKED = {"": "whatever the files hold", "class": "a class", "real": "a real number"}


def samples() -> None:
    """Upload files of samples: one vector a modality, and a class or real targets."""
    with st.form("upload-samples", clear_on_submit=True, border=False):
        files = st.file_uploader(
            "Samples: one .csv a view (last column the class), .mat, .h5 or pickled files, or all of it in one .zip",
            type=[s[1:] for s in workspace.SAMPLES],
            accept_multiple_files=True,
            help="Views: the same rows in the same order. Names ending in _train and _test give the split; "
            "where nothing does, one of ours is drawn and named. A .zip downloaded here works, too.",
        )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Name", placeholder="the first file's name", max_chars=60, key="samples-name")
            target = st.selectbox("To be predicted", list(ASKED), format_func=ASKED.__getitem__)
            share = st.number_input("Test share of our own split", 0.05, 0.95, 0.3, step=0.05)
            seed = st.number_input("Its seed", 0, 2**31 - 1, 0)
        pickles = st.checkbox("Read pickled files (.pkl)", help=PICKLES)
        sent = st.form_submit_button("Read the samples", type="primary", icon=":material/upload:")
    if sent and not files:
        st.warning("Choose files first.", icon=":material/table:")
    elif sent:
        options = {"test": share, "seed": seed, "pickle": pickles} | ({"target": target} if target else {})
        told(lambda: _send([(file.name, file.getvalue()) for file in files], name, "Samples", samples=options))


def _modalities(key: DataKey) -> Sequence[str]:
    index = store.data.index(key)
    return [] if index is None or "samples" in index else list(index["modalities"])


def folder() -> None:
    """A folder on the server's machine: looked at first, brought in when nothing stands in the way."""
    with st.form("add-folder", border=False):
        path = st.text_input("Folder on the machine that runs FuseScope", key="folder", max_chars=1000)
        st.caption(
            "Features with their lists, frame folders, videos, files of samples, or a dataset of ours; "
            "see the report before it is taken."
        )
        pickles = st.checkbox("Read pickled files (.pkl)", key="folder-pickles", help=PICKLES)
        looked = st.form_submit_button("Look at it", icon=":material/search:")
    if looked or path:
        told(lambda: _look(path, pickles))


def _look(path: str, pickles: bool) -> None:
    place = store.keys.workspace().allowed(path, store.data.roots())
    report = store.data.folder_report(str(place), pickles)
    st.code(report.text(), language=None, wrap_lines=True)
    if not report.ok:
        st.error("Errors stand in the way; mend them and look again.", icon=":material/block:")
        return
    taken = {"native": "features", "features": "features", "samples": "features", "tables": "features"}
    kind = "footage" if report.kind == "footage" else taken.get(report.kind)
    if kind is None:
        st.info(f"This is {check.WORDS[report.kind]}; a folder of clips or samples is needed.")
    elif st.button("Bring it in", type="primary", icon=":material/download:"):
        called = workspace.free_name(store.keys.workspace().data, place.name)
        given: dict[str, Any] = {
            "folder": str(place),
            "name": called,
            "out": str(store.keys.workspace().data / called),
        }
        if pickles:
            given["samples"] = {"pickle": True}
        jobs.submit(job_root(), kind, f"Folder {shown(place.name, 60)}", given)
        st.rerun()


def checkpoint() -> None:
    """Weights of the released LEGO code become a run."""
    with st.form("upload-checkpoint", clear_on_submit=True, border=False):
        file = st.file_uploader(
            "A state dict of the released LEGO code", type=["pt", "pth", "pkl", "ckpt", "safetensors"]
        )
        left, right = st.columns(2)
        visual = left.text_input("Its visual modality is called", "i3d", max_chars=40)
        text = right.text_input("Its text modality is called", "emb", max_chars=40)
        sent = st.form_submit_button("Import it", type="primary", icon=":material/upload:")
    if sent and file is None:
        st.warning("Choose a checkpoint first.", icon=":material/model_training:")
    elif sent and file is not None:
        told(lambda: _send_checkpoint(file.name, file.getvalue(), visual.strip(), text.strip()))


def _send_checkpoint(name: str, content: bytes, visual: str, text: str) -> None:
    (place,) = store.keys.workspace().keep_upload([(name, content)])
    given = {
        "file": str(place),
        "modalities": [check_name(visual, "modality"), check_name(text, "modality")],
        "runs": str(store.keys.workspace().runs),
        "uploaded": str(place.parent),
    }
    jobs.submit(job_root(), "checkpoint", f"Checkpoint {shown(name, 60)}", given)


# ---------------------------------------------------------------------------- watch it arrive


def arriving() -> None:
    """What is brought in, newest first, drawn anew each second while a job is at work; found again after any reload."""
    watched(IMPORTS, _arriving)


def _arriving() -> None:
    found = told(lambda: listed(IMPORTS)) or []
    for job in found[:8]:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            with st.container():
                state(job, f"is ready as *{markdown_text(job.result)}*", "could not be read")
            key = DataKey(job.result)
            if job.state == "done" and key in store.keys.datasets():
                held = holds_samples(key)
                label = "Look at it" if held else "Open its graphs"
                if st.button(label, key=f"open-{job.id}", type="primary", on_click=_put, args=(key,)):
                    navigation.open_page("overview" if held else "graphs", **chosen_data(key))
            stop_or_hide(job)
    if len(found) > 8:
        st.caption(f"and {len(found) - 8} earlier ones")


def _put(key: DataKey) -> None:
    selection.put(**chosen_data(key))


# ---------------------------------------------------------------------------- remove and put back


def removed() -> None:
    """What was thrown away lately, each with the way back."""
    for ticket, kind, name in store.keys.workspace().thrown()[:4]:
        with st.container(horizontal=True, vertical_alignment="center"):
            word = {"data": "Dataset", "runs": "Run", "sweeps": "Sweep"}[kind]
            st.caption(f"{word} {markdown_text(name)} was removed.")
            if st.button("Put it back", key=f"back-{ticket}", type="tertiary", icon=":material/undo:"):
                told(partial(store.keys.workspace().put_back, ticket))
                st.rerun()


def remove(kind: str, name: str) -> None:
    """The button that throws one dataset or run of the workspace away; others have none."""
    if not store.keys.workspace().holds(kind, name):
        return
    if st.button("Remove", key=f"remove-{kind}", icon=":material/delete:", help="It can be put back for a week."):
        told(lambda: store.keys.workspace().throw_away(kind, name))
        st.rerun()


def download(place: Path, key: str) -> None:
    """The folder as one .zip, packed when asked for."""
    size = workspace.size_of(place)
    if size > workspace.DOWNLOAD:
        st.caption(f"{naturalsize(size)}: too large to pack; copy its folder from the server.")
        return
    st.download_button(
        f"Download ({naturalsize(size)})",
        lambda: workspace.packed(place),
        f"{workspace.file_name(place.name)}.zip",
        "application/zip",
        key=f"zip-{key}",
        icon=":material/download:",
        on_click="ignore",
    )


def verdict(report: check.Report) -> str:
    """The report in half a sentence of Markdown."""
    errors, warnings = (sum(p.severity == s for p in report.problems) for s in ("error", "warning"))
    if errors:
        return f":material/block: {errors} {'error' if errors == 1 else 'errors'} in the way"
    if warnings:
        return f":material/warning: usable, {warnings} {'warning' if warnings == 1 else 'warnings'}"
    return ":material/check_circle: nothing stands in the way"


def described(report: check.Report) -> None:
    """The report in numbers and tables, and as the command line prints it."""
    with st.container(horizontal=True):
        for label, value in tables.facts(report).items():
            st.metric(label, value, width="content")
    st.dataframe(tables.modality_table(report), hide_index=True, alt="modalities of the dataset")
    if report.samples:
        st.dataframe(
            tables.target_table(report),
            hide_index=True,
            height="auto" if len(report.classes) < 8 else 220,
            alt="classes with their samples, or targets with their ranges",
        )
    if report.problems:
        st.dataframe(tables.problem_table(report), hide_index=True, alt="problems of the dataset")
    with st.expander("The whole report, as `python -m core check` prints it"):
        st.code(report.text(), language=None, wrap_lines=True)
