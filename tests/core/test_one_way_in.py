"""No parser is called outside the guarded child, except where it stands here, with the reason why it may."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
GUARDED = "core/data/guarded/"
PARSERS = re.compile(
    r"json\.loads?|ast\.literal_eval|eval|exec|csv\.(reader|DictReader)|wave\.open|(pickle|marshal)\.(loads?|Unpickler)"
    r"|numpy\.(load|fromfile|loadtxt|genfromtxt|memmap)|torch\.(load|jit\.load)|joblib\.load|onnx\.load\w*"
    r"|safetensors(\.\w+)?\.(load|load_file|safe_open)|h5py(\.h5f)?\.(File|open)|scipy\.io\.\w+|scipy\.io\.wavfile\.read"
    r"|(zipfile\.(ZipFile|PyZipFile)|tarfile\.(open|TarFile)|(gzip|bz2|lzma)\.(open|decompress)|zlib\.decompress\w*)"
    r"|shutil\.unpack_archive|cv2\.(imread\w*|imdecode\w*|VideoCapture)|av\.open|(PIL\.)?Image\.open|imageio\..*"
    r"|pandas\.read_\w+|yaml\.\w*load\w*|xml\..*|sqlite3\.connect|configparser\..*|tomllib\.loads?"
    r"|core\.data\.video\.(opened|frames|probe|pictures)"
)
OURS = "a file that was written here and that nobody uploads; its fields are checked by who reads it"
SUMMED = "a file of a run, opened once it has the sum that run.json states"
SAID = "what a process of ours says, or a text of our own"
TYPED = "what somebody typed as an option of a command: a literal, or a word"
WRITES = "writes, and opens nothing"
WORKER = "runs in an extraction worker, bounded and thrown away (extract/crew.py)"
MAY = {
    # the ways in themselves
    "core/data/guard.py": {"Reader._ask": "the child's answer: one line, at most 16 MB"},
    "core/data/fields.py": {"parsed": "the one place where JSON is opened, bounded in every way"},
    "core/data/npy.py": {"_literal": "at most 4 KB of a header; knows literals alone"},
    "core/data/tensors.py": {"read": "at most 1 MB of a header, checked field by field"},
    # pictures, videos, sounds
    "core/data/footage.py": {"Footage.pictures": WORKER, "_decoded": WORKER},
    "core/data/video.py": {"opened": "called in the child, and " + WORKER, "Writer.__init__": WRITES},
    "core/extract/pipeline.py": {"probe_clip": WORKER, "find_views": OURS},
    "core/data/simulate/clips.py": {"encode": WRITES},
    "core/data/samples/avmnist.py": {"read_wav": "builds a set from files of who calls it; Python alone, at most 4 MB"},
    # what was written here
    "core/data/index.py": {"load": OURS},
    "core/extract/objects.py": {"Objects.load": OURS},
    "core/extract/run.py": {"_clip": OURS, "captions": OURS, "load_views": OURS, "save_views": WRITES},
    "core/run.py": {"load": OURS, "checked": OURS, "model": SUMMED, "history": SUMMED},
    "core/score/bulk.py": {"_agree": OURS},
    "core/score/stored.py": {"load": OURS},
    "core/score/whole.py": {"load": OURS},
    "core/sweep/folder.py": {"read": OURS},
    "core/sweep/outcome.py": {"operator": SUMMED, "results": OURS},
    "core/train/job.py": {"lines": OURS},
    "core/experiments/demo.py": {"judge": OURS},
    "core/workspace.py": {"packed": WRITES},
    # what processes of ours and people say
    "core/compare/cost.py": {"peaks": SAID},
    "core/explain/plane.py": {"elsewhere": SAID, "main": SAID},
    "app/store/sweeps.py": {"sweep_time": SAID},
    "core/cli/shared.py": {"literal": TYPED},
}


def calls(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(function, dotted name of what it calls or inherits from), imports resolved wherever they stand."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                (a.asname or a.name.split(".")[0]): (a.name if a.asname else a.name.split(".")[0]) for a in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}

    def dotted(node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return names.get(node.id, node.id)
        return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"

    def inside(node: ast.AST, where: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            # what is handed on (map(json.loads, lines)) counts like what is called
            yield from [(where, dotted(child))] if isinstance(child, (ast.Attribute, ast.Name)) else []
            yield from inside(child, f"{where}.{child.name}".lstrip(".") if named else where)

    yield from inside(tree, "")


def parsing() -> dict[str, set[str]]:
    """File -> functions of it that name a parser."""
    found: dict[str, set[str]] = {}
    for room in ("core", "app"):
        for place in sorted((HOME / room).rglob("*.py")):
            name = place.relative_to(HOME).as_posix()
            if name.startswith(GUARDED):
                continue
            for where, what in calls(ast.parse(place.read_text())):
                if PARSERS.fullmatch(what):
                    found.setdefault(name, set()).add(where)
    return found


def test_every_parser_outside_the_guard_is_known_with_its_reason() -> None:
    found = parsing()
    strange = {name: sorted(where - set(MAY.get(name, {}))) for name, where in found.items()}
    strange = {name: where for name, where in strange.items() if where}
    assert not strange, f"parsers outside core/data/guarded: {strange}; read foreign files through core/data/guard.py"
    stale = {name: sorted(set(known) - found.get(name, set())) for name, known in MAY.items()}
    assert not {name: where for name, where in stale.items() if where}, "these no longer parse: take them off the list"


@pytest.mark.parametrize(
    "text",
    [
        "import numpy as np\ndef f(p):\n    return np.load(p)",
        "def f(p):\n    from scipy.io import loadmat as l\n    return l(p)",
        "import cv2\nclass A:\n    def f(self, p):\n        return cv2.imdecode(p, 0)",
        "from PIL import Image\nf = lambda p: Image.open(p)",
        "import pickle\nclass U(pickle.Unpickler): ...",
        "import json\nlines = list(map(json.loads, []))",
        "from core.data import video\nvideo.probe('x')",
    ],
)
def test_a_parser_is_seen_however_it_is_named(text: str) -> None:
    assert any(PARSERS.fullmatch(what) for _, what in calls(ast.parse(text)))
