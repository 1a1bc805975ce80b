"""Files the browser fetches once and keeps: copied beside `app/main.py`, where Streamlit serves `app/static/...`.

A component's own `js=` text is sent again with every rerun; a file served statically is not. The copies are made at
start from what is installed, under names that carry their content's digest, and never enter git.
"""

import hashlib
import os
from functools import cache
from pathlib import Path

import pyvis

FOLDER = Path(__file__).parents[1] / "static" / "vendor"
VIS = Path(pyvis.__file__).parent / "lib" / "vis-9.1.2" / "vis-network.min.js"
OWN = Path(__file__).parent


@cache
def publish(source: Path) -> str:
    """Copy a file to where it is served, unless it is there; its address, relative to the app's root.

    On a read-only disk the copies must have been made before (`python -m app.widgets.static` while building).
    """
    content = source.read_bytes()
    target = FOLDER / f"{source.stem}-{hashlib.sha256(content).hexdigest()[:12]}{source.suffix}"
    if not target.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        draft = FOLDER / f".draft-{os.getpid()}-{target.name}"
        draft.write_bytes(content)
        draft.replace(target)
    return f"app/static/vendor/{target.name}"


if __name__ == "__main__":
    for script in (VIS, *sorted(OWN.glob("*.js"))):
        print(publish(script))
