r"""Rows on a plane: PCA at once, UMAP from a process of its own while PCA is shown.

    PCA     coordinates along the two directions of largest variance; each direction's largest entry is positive
    UMAP    McInnes et al., 2018 (umap-learn): PCA to 50 columns, exact neighbours, start from PCA,
            fixed seed, compiled code kept on disk

As it is usually called UMAP spends most of its time on compilation, which its neighbour descent repeats in every
process; exact neighbours of a few thousand rows are cheap and need none. Its compiled loops hold the interpreter, so
they run in another process: `python -m core.explain.plane < rows.npy > places.npy`.
"""

import contextlib
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

Rows = Float[np.ndarray, "n d"]
Places = Float[np.ndarray, "n 2"]
ROOT = Path(__file__).parents[2]
NEIGHBOURS, COLUMNS = 15, 50
FEWEST = 20  # rows below which a map of neighbourhoods means nothing


def pca(rows: Rows, columns: int = 2) -> Float[np.ndarray, "n c"]:
    """Coordinates along the directions of largest variance, largest first; columns of zeros where rows have fewer.

    >>> pca(np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])).round(6)[:, 0].tolist()
    [-5.0, 0.0, 5.0]
    """
    from sklearn.decomposition import PCA

    if len(rows) < 2:
        return np.zeros((len(rows), columns), np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):  # shares of the variance of equal rows
        places = PCA(min(columns, *rows.shape), svd_solver="covariance_eigh").fit_transform(rows.astype(np.float64))
    return np.pad(places, ((0, 0), (0, columns - places.shape[1]))).astype(np.float32)


def nearest(rows: Rows, count: int) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Each row's `count` nearest rows and their distances, exact; itself first, twins after it."""
    from sklearn.neighbors import NearestNeighbors

    distance, index = NearestNeighbors(n_neighbors=count - 1, algorithm="brute").fit(rows).kneighbors()
    distance = np.pad(distance, ((0, 0), (1, 0))).astype(np.float32)
    return np.column_stack([np.arange(len(rows)), index]), distance


@contextlib.contextmanager
def kept_on_disk() -> Iterator[None]:
    """What numba compiles is kept on disk, also where a library does not ask for it."""
    import numba

    real = numba.njit

    def njit(*arguments: Any, **options: Any) -> Any:
        return real(*arguments, **{"cache": True, **options})

    numba.njit = njit
    try:
        yield
    finally:
        numba.njit = real


def umap(rows: Rows, seed: int = 0) -> Places:
    """UMAP in this process; the first call compiles for many seconds, later ones read what was kept.

    Errors: `ValueError` for fewer than 20 rows.
    """
    if len(rows) < FEWEST:
        raise ValueError(f"UMAP needs {FEWEST} rows or more, got {len(rows)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that neighbours are given, and that a seed means one thread
        with kept_on_disk():
            from umap import UMAP

            short = pca(rows, min(COLUMNS, rows.shape[1]))
            index, distance = nearest(short, min(NEIGHBOURS, len(rows) - 1))
            found = UMAP(
                n_neighbors=index.shape[1],
                precomputed_knn=(index, distance, None),
                init=start(short),
                random_state=seed,
                n_jobs=1,
            ).fit_transform(short)
    return np.asarray(found, np.float32)


def start(short: Rows) -> Places:
    """Two columns of PCA, 10 wide in the first, where UMAP starts; equal rows are set apart by a hair."""
    two = pca(short)
    spread = float(np.abs(two).max()) or 1.0
    hair = np.random.default_rng(0).normal(scale=1e-4, size=two.shape)
    return (10 * two / spread + hair).astype(np.float32)


class Background:
    """Maps made one after another in a process of their own; the last `most` of them are kept, by content of the rows.

    cache   where compiled code is kept; a private folder of this process when it cannot be written
    """

    def __init__(self, cache: Path | None = None, most: int = 64, timeout: float = 300.0) -> None:
        self.cache, self.most, self.timeout = cache, most, timeout
        self.kept: OrderedDict[str, Places | None] = OrderedDict()  # None: the process gave none
        self.asked: set[str] = set()
        self.lock, self.turn = threading.Lock(), threading.Lock()

    def look(self, rows: Rows) -> tuple[Places | None, bool]:
        """(the map, or None while there is none; whether it is still on its way). Asks for it the first time."""
        key = hashlib.sha256(repr((rows.shape, str(rows.dtype))).encode() + rows.tobytes()).hexdigest()
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key], False
            if len(rows) < FEWEST:
                return None, False
            if key not in self.asked:
                self.asked.add(key)
                threading.Thread(target=self._make, args=(key, rows), name="umap", daemon=True).start()
        return None, True

    def warm(self) -> None:
        """Compile now, so that the first map does not wait for it."""
        self.look(np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32))

    def _make(self, key: str, rows: Rows) -> None:
        found = None
        with self.turn, contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            found = elsewhere(rows, self.folder(), self.timeout)
        with self.lock:
            self.asked.discard(key)
            self.kept[key] = found
            while len(self.kept) > self.most:
                self.kept.popitem(last=False)

    def folder(self) -> Path:
        with contextlib.suppress(OSError):
            if self.cache is not None:
                self.cache.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=self.cache):
                    return self.cache
        self.cache = Path(tempfile.mkdtemp(prefix="fusescope-numba-"))
        return self.cache


def elsewhere(rows: Rows, cache: Path, timeout: float | None = None) -> Places:
    """`umap` in a process of its own, at low priority, whose compiled code is kept in `cache`.

    Errors: `subprocess.SubprocessError` when it fails or takes longer than `timeout` seconds.
    """
    given = io.BytesIO()
    np.save(given, np.ascontiguousarray(rows, dtype=np.float32), allow_pickle=False)
    done = subprocess.run(
        [sys.executable, "-m", "core.explain.plane"],
        input=given.getvalue(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        timeout=timeout,
        check=True,
    )
    found = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    found.setflags(write=False)
    return found


def main() -> None:
    os.nice(5)  # who looks at pages goes first
    rows = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    found = io.BytesIO()
    np.save(found, umap(rows), allow_pickle=False)
    sys.stdout.buffer.write(found.getvalue())


if __name__ == "__main__":
    main()
