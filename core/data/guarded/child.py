"""The disposable reader: parses foreign files under hard limits and hands back clean arrays. Never imported.

    python -I child.py ROOT LIMITS < jobs       one JSON job a line in, one JSON answer a line out

ROOT is where the package lies. A job names a file, its kind and where the arrays go (safetensors); an answer holds
facts or the reason for refusal. Whatever a hostile file does to this process, the parent only ever sees those two, and
checks them again.
"""

import json
import math
import os
import resource
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

READERS = {
    **{"npy": "arrays", "npz": "arrays", "zip": "arrays", "pt": "weights", "safetensors": "weights"},
    **{"pickle": "weights", "h5": "hdf5", "mat": "matlab", "table": "tables", "list": "tables"},
    **{"video": "videos", "still": "videos", "truth": "truths"},
}


def reader(kind: str) -> Callable[..., Any]:
    """The function that reads files of this kind; what it needs is loaded the first time."""
    found: Callable[..., Any] = getattr(import_module(f"core.data.guarded.{READERS[kind]}"), f"read_{kind}")
    return found


def facts_of(array: Any) -> dict[str, Any]:
    """What a report says about an array without keeping it; rows are counted along the last axis but one."""
    import numpy as np

    found: dict[str, Any] = {"shape": list(array.shape), "dtype": str(array.dtype), "bytes": array.nbytes}
    if array.dtype.kind == "f" and array.size:
        good = np.isfinite(array)
        if not good.all():
            places = np.argwhere(np.atleast_1d(~good))  # a single number counts as a row of one
            rows = np.unique(places[:, -2] if array.ndim > 1 else places[:, 0])
            found |= {"bad": int((~good).sum()), "bad_rows": rows[:5].tolist()}
        ends = [float(end(array, where=good, initial=0)) for end in (np.min, np.max)]
        found["top"] = max(-ends[0], ends[1])
    if array.ndim >= 2 and array.size:
        found["zero_rows"] = int((~array.any(axis=-1)).sum())
    if array.ndim == 1 and array.dtype.kind in "biuf" and array.size:
        values, counts = np.unique(array, return_counts=True)
        found["values"] = [[float(v), int(n)] for v, n in zip(values[:5], counts[:5], strict=True)]
    return found


def answer(job: dict[str, Any], caps: dict[str, Any]) -> dict[str, Any]:
    """Do one job. Whatever it raises becomes a sentence."""
    from core.data import tensors
    from core.machine.names import RefusedError

    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = math.ceil(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + caps["cpu"], resource.getrlimit(resource.RLIMIT_CPU)[1]))
    try:
        arrays, facts = reader(job["kind"])(job["path"], job["what"], caps["bytes"], **job["how"])
        if job["out"]:
            with open(job["out"], "wb") as target:
                tensors.write(target, arrays)
        else:
            facts["arrays"] = {name: facts_of(array) for name, array in arrays.items()}
    except RefusedError as refused:
        return {"why": str(refused)}
    except MemoryError:
        return {"why": f"{job['what']} needs more memory to read than the {caps['memory'] >> 20:,} MB allowed"}
    except OSError as error:
        return {"why": f"{job['what']} cannot be read ({error.strerror})"}
    except Exception as error:
        # the words of a parser may hold anything a file put into them; the kind of error is enough for the log
        return {"why": f"{job['what']} is damaged: it cannot be read", "detail": type(error).__name__}
    return {"facts": facts}


def main() -> None:
    root, limits = sys.argv[1:]
    sys.path.append(root)  # -I keeps it out
    caps = json.loads(limits)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (caps["address"],) * 2)
    resource.setrlimit(resource.RLIMIT_DATA, (caps["memory"],) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (caps["file"],) * 2)
    warnings.simplefilter("ignore")
    out = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # libraries may print; nothing but answers goes to the parent
    os.dup2(quiet, 2)
    for line in sys.stdin:
        out.write(json.dumps(answer(json.loads(line), caps)) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
