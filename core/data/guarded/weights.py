"""Weights, and pickles of arrays: nothing but plain numbers comes out, and no name but numpy's is known."""

import io
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from core.data import tensors
from core.data.guarded import ONLY, Answer, Arrays
from core.data.guarded.arrays import members, zipped
from core.machine.names import RefusedError, opened, shown


def read_safetensors(path: str, what: str, cap: int) -> Answer:
    stream, size = opened(path, cap + tensors.HEADER, what)
    with stream:
        return tensors.read(stream, size, what, cap), {}


def read_pt(path: str, what: str, cap: int) -> Answer:
    stream, size = opened(path, cap, what)
    with stream, zipped(stream, what) as archive:
        members(archive, what, cap, stored=True)
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)

    def load(where: str) -> Any:
        # what torch says here advises the unsafe switch: its words never leave this process
        try:
            return torch.load(path, weights_only=True, map_location=where)
        except MemoryError:
            raise
        except Exception:
            raise RefusedError(f"{what} {_why_not_weights(path)}") from None

    looked = dict(_flat(load("meta"), torch.Tensor, what))
    if not looked:
        raise RefusedError(f"{what} holds no tensors")
    total = 0
    for name, tensor in looked.items():
        where = f"{what}: tensor '{shown(name)}'"
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise RefusedError(f"{where} is sparse or quantized; plain dense tensors are read")
        if tensor.is_complex():
            raise RefusedError(f"{where} is complex; real numbers are read")
        if not tensor.is_contiguous():
            raise RefusedError(f"{where} is not contiguous (shape {tuple(tensor.shape)}, strides {tensor.stride()})")
        total += tensor.numel() * tensor.element_size()
    if total > cap or total > 16 * size:
        raise RefusedError(f"{what} holds {size:,} bytes but its tensors claim {total:,}")
    arrays = {}
    for name, tensor in _flat(load("cpu"), torch.Tensor, what):
        if tensor.device.type != "cpu":
            raise RefusedError(f"{what}: tensor '{shown(name)}' has no data")
        plain = tensor.detach()
        arrays[name] = (plain.float() if plain.dtype in (torch.bfloat16, torch.float16) else plain).numpy()
    return arrays, {}


def _why_not_weights(path: str) -> str:
    import torch

    try:
        found = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))[:4]
    except Exception:
        found = []
    if found:
        listed = ", ".join(shown(name, 60) for name in found)
        return f"holds Python objects beside weights ({listed}); save the state dict alone"
    return "cannot be read as a file of weights: damaged, or not saved by torch.save"


def _flat(value: Any, kind: type, what: str, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(dotted name, tensor) of everything in nested dictionaries and lists."""
    if depth > 8:
        raise RefusedError(f"{what} nests its entries more than 8 deep")
    if isinstance(value, kind):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, kind, what, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            yield from _flat(inner, kind, what, f"{name}.{place}" if name else str(place), depth + 1)


# --- restricted pickle ----------------------------------------------------------------------------------------

PICKLE_NAMES = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("collections", "OrderedDict"),
}


class _Unpickler(pickle.Unpickler):
    """Builds numpy arrays and builtin containers and knows no other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return _latin1
        if (module, name) not in PICKLE_NAMES:
            raise RefusedError(f"names {shown(module, 40)}.{shown(name, 40)}, which is neither numpy nor a container")
        return super().find_class(module, name)


def _latin1(text: str, coding: str) -> bytes:
    if coding not in ("latin1", "latin-1"):
        raise RefusedError(f"encodes text as '{shown(coding, 20)}'")
    return text.encode("latin1")


def read_pickle(path: str, what: str, cap: int) -> Answer:
    """A dictionary (of dictionaries) of arrays; entries that are no numbers are left out and named."""
    stream, size = opened(path, cap, what)
    with stream:
        content = stream.read(size)
    try:
        found = _Unpickler(io.BytesIO(content)).load()
    except RefusedError as refused:
        raise RefusedError(f"{what} {refused}") from None
    except MemoryError:
        raise
    except Exception:
        raise RefusedError(f"{what} cannot be read as a pickle of arrays: damaged or cut off") from None
    if not isinstance(found, dict):
        found = {ONLY: found}
    arrays: Arrays = {}
    skipped: list[str] = []
    for name, value in _leaves(found, what):
        array = np.asarray(value) if isinstance(value, (np.ndarray, np.generic, int, float, list, tuple)) else None
        if array is None or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            skipped.append(shown(name))
        else:
            arrays[name] = array
    if not arrays:
        raise RefusedError(f"{what} holds no arrays of numbers")
    if sum(array.nbytes for array in arrays.values()) > cap:
        raise RefusedError(f"{what} unpacks to more than {cap:,} bytes")
    return arrays, {"skipped": skipped[:20]}


def _leaves(value: Any, what: str, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > 8:
        raise RefusedError(f"{what} nests its entries more than 8 deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, what, f"{name}.{key}" if name else str(key), depth + 1)
    else:
        yield name, value
