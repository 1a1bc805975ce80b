"""The fusions, by the name used in commands, run folders and the app."""

from collections.abc import Callable

from core.fusion.base import Fusion
from core.fusion.baseline import Concat, Product, Single, Sum
from core.fusion.gmf import GLmf, GMbt, Gmf, GPerceiver
from core.fusion.intense import Intense
from core.fusion.jwae import Jwae, JwaeLmf
from core.fusion.lego import Lego
from core.fusion.lmf import Lmf
from core.fusion.mbt import Mbt
from core.fusion.misa import Misa
from core.fusion.mkl import Mkl
from core.fusion.mtn import Mtn
from core.fusion.perceiver import Perceiver
from core.fusion.profusion import ProFusion

FUSIONS: dict[str, type[Fusion]] = {
    "lego": Lego,
    "mtn": Mtn,
    "lmf": Lmf,
    "jwae": Jwae,
    "jwae-lmf": JwaeLmf,
    "single": Single,
    "concat": Concat,
    "sum": Sum,
    "product": Product,
    "gmf": Gmf,
    "g-mbt": GMbt,
    "g-perceiver": GPerceiver,
    "g-lmf": GLmf,
    "mbt": Mbt,
    "perceiver": Perceiver,
    "misa": Misa,
    "profusion": ProFusion,
    "mkl": Mkl,
    "intense": Intense,
}
WORDS = {
    "lego": "LEGO",
    "mtn": "MTN",
    "gmf": "GMF",
    "mbt": "MBT",
    "perceiver": "Perceiver",
    "misa": "MISA",
    "g-mbt": "G-MBT",
    "g-perceiver": "G-Perceiver",
    "g-lmf": "G-LMF",
    "lmf": "LMF",
    "jwae": "jWAE",
    "jwae-lmf": "jWAE-LMF",
    "profusion": "ProFusion",
    "mkl": "MKL",
    "intense": "InTense",
}


def title_of(fusion: str) -> str:
    """A fusion's name for people."""
    return WORDS.get(fusion, fusion.capitalize())


def called(model: Fusion) -> str:
    """Its name for people; of a fusion that is not listed, its class."""
    return next((title_of(name) for name, kind in FUSIONS.items() if kind is type(model)), type(model).__name__)


def those(able: Callable[[type[Fusion]], bool]) -> str:
    """The fusions that can do something, for a sentence.

    >>> those(lambda kind: issubclass(kind, Jwae))
    'jWAE or jWAE-LMF'
    """
    *names, last = (title_of(name) for name, kind in FUSIONS.items() if able(kind))
    return f"{', '.join(names)} or {last}" if names else last
