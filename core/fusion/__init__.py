"""The fusions, by the name used in commands, run folders and the app."""

from core.fusion.base import Fusion
from core.fusion.baseline import Concat, Product, Single, Sum
from core.fusion.lego import Lego
from core.fusion.mtn import Mtn

FUSIONS: dict[str, type[Fusion]] = {
    "lego": Lego,
    "mtn": Mtn,
    "single": Single,
    "concat": Concat,
    "sum": Sum,
    "product": Product,
}
