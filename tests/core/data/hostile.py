"""Files that must not get in, each made by hand, and small good ones to mutate."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import av
import h5py
import numpy as np
import scipy.io
import torch

from core.data import npy, tensors


def header(descr: str = "<f4", shape: str = "(3, 2)", extra: str = "", pad: int = 0) -> bytes:
    """The start of a .npy file with any header at all."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, {extra}}}" + " " * pad + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin1")


def good_npy() -> bytes:
    return npy.packed(np.arange(24, dtype=np.float32).reshape(6, 4))


def good_npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, vision=np.ones((5, 3), np.float32), text=np.arange(5))
    return stream.getvalue()


def good_zip() -> bytes:
    return zip_of(("set/a_i3d.npy", good_npy()), ("set/a-test.list", b"a_i3d.npy\n"), method=zipfile.ZIP_DEFLATED)


def good_pt() -> bytes:
    stream = io.BytesIO()
    torch.save({"fc1.weight": torch.ones(3, 2), "fc1.bias": torch.zeros(3)}, stream)
    return stream.getvalue()


def good_safetensors() -> bytes:
    stream = io.BytesIO()
    tensors.write(stream, {"w": np.ones((3, 2), np.float32), "b": np.zeros(3, np.int64)})
    return stream.getvalue()


def good_h5() -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset("d1", data=np.ones((6, 4), np.float32), chunks=(2, 4), compression="gzip", shuffle=True)
        file.create_group("g").create_dataset("e", data=np.arange(6))
        file["d1"].attrs["units"] = "none"
    return stream.getvalue()


def good_pickle() -> bytes:
    return pickle.dumps({"train": {"vision": np.ones((3, 2), np.float32), "labels": [0, 1, 1], "id": ["a", "b"]}})


def good_mat() -> bytes:
    stream = io.BytesIO()
    views = np.empty((1, 2), dtype=object)
    views[0, 0], views[0, 1] = np.ones((6, 4)), np.arange(12.0).reshape(2, 6)
    scipy.io.savemat(stream, {"X": views, "y": np.arange(6) % 2, "name": "made"}, do_compression=True)
    return stream.getvalue()


def good_table() -> bytes:
    return b"a,b,class\n1,2.5,cat\n-3,4e2,dog\n5,6,cat\n"


def good_list() -> bytes:
    return b'path,label\n"UCF/a,1.npy",normal\nUCF/b.npy,fight\n'


def good_truth() -> bytes:
    stream = io.BytesIO()
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = np.array([[1, 4], [2, 6]], np.uint8), np.array([[2], [5]], np.uint8)
    scipy.io.savemat(stream, {"gt": cells, "other": np.ones((3, 3))}, do_compression=True)
    return stream.getvalue()


def good_video(frames: int = 4, container: str = "mp4", codec: str = "libx264") -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as file:
        out = file.add_stream(codec, rate=10)
        out.width, out.height, out.pix_fmt = 32, 32, "yuv420p"
        out.options = {"preset": "ultrafast"} if codec == "libx264" else {}
        for index in range(frames):
            picture = np.full((32, 32, 3), 40 * index % 255, np.uint8)
            file.mux(out.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(out.encode())
    return stream.getvalue()


GOOD = {
    "npy": good_npy,
    "npz": good_npz,
    "zip": good_zip,
    "pt": good_pt,
    "safetensors": good_safetensors,
    "h5": good_h5,
    "pickle": good_pickle,
    "mat": good_mat,
    "table": good_table,
    "list": good_list,
    "truth": good_truth,
    "video": good_video,
}
SUFFIX = {"pickle": "pkl", "table": "csv", "video": "mp4"}


def zip_bomb() -> bytes:
    """200 MB of zeros in 200 kB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        count = 50 << 20
        with archive.open("a.npy", "w") as target:
            target.write(header(shape=f"({count},)"))
            block = bytes(1 << 20)
            for _ in range(4 * count >> 20):
                target.write(block)
    return stream.getvalue()


def many_bombs() -> bytes:
    """Each member honest about its ratio, together far more than is allowed: only the directory is written."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(8):
            archive.writestr(f"{index}.npy", good_npy())
    content = bytearray(stream.getvalue())
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 20 : at + 28] = struct.pack("<II", 2_000_000_000, 2_100_000_000)
        at = content.find(b"PK\x01\x02", at + 4)
    return bytes(content)


def doubled_zip(name: str, first: bytes, second: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    import warnings

    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
        warnings.simplefilter("ignore")
        archive.writestr(name, first)
        archive.writestr(name, second)
    return stream.getvalue()


def zip_of(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def saved(thing: object) -> bytes:
    stream = io.BytesIO()
    torch.save(thing, stream)
    return stream.getvalue()


class Evil:
    """Unpickling this runs a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        import os

        return os.system, (f"touch {self.mark}",)


def forged_sparse() -> bytes:
    """A sparse tensor whose indices point far outside it; loading it is allowed, multiplying with it crashes."""
    indices = torch.tensor([[0, 1], [0, 1]])
    sparse = torch.sparse_coo_tensor(indices, torch.ones(2), (4, 4), check_invariants=False)
    content = saved({"w": sparse})
    raw = np.array([[0, 1], [0, 1]], np.int64).tobytes()
    return content.replace(raw, np.array([[0, 1 << 40], [0, 1 << 40]], np.int64).tobytes())


def expanded() -> bytes:
    """One number that claims to be a gigabyte."""
    return saved({"w": torch.zeros(1).expand(1 << 28)})


def shared_storage() -> bytes:
    """Five hundred names for 64 kB."""
    base = torch.zeros(1 << 14)
    return saved({f"w{i}": base for i in range(500)})


def h5_file(path: Path, what: str, secret: Path) -> Path:
    with h5py.File(path, "w") as file:
        if what == "external storage":
            size = secret.stat().st_size
            file.create_dataset("d", (size,), np.uint8, external=[(str(secret), 0, size)])
        elif what == "soft link":
            file["real"] = np.ones(3)
            file["d"] = h5py.SoftLink("/real")
        elif what == "external link":
            file["d"] = h5py.ExternalLink(str(secret), "/d")
        elif what == "virtual":
            layout = h5py.VirtualLayout((3,), np.float64)
            layout[:] = h5py.VirtualSource(str(secret), "d", (3,))
            file.create_virtual_dataset("d", layout)
        elif what == "strings":
            file["d"] = ["a", "b"]
        elif what == "lzf":
            file.create_dataset("d", data=np.ones(100), compression="lzf")
        elif what == "loop":
            file.create_group("a")["back"] = file["/"]
            file["a/d"] = np.ones((2, 2))
        elif what == "bomb":
            file.create_dataset("d", (1 << 34,), np.float32, chunks=(1 << 20,), compression="gzip")
    return path


def safetensors_of(entries: dict, content: bytes) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + content


PLAYLIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile {}\n"
