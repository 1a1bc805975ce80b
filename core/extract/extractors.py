"""Which extractors there are, by the name of their modality."""

from collections.abc import Sequence

from core.clip import MODALITY
from core.extract.appearance import appearance
from core.extract.base import Extractor, Plain
from core.extract.motion import motion
from core.extract.pretrained import KINDS
from core.extract.text import text

EXTRACTORS: dict[str, Extractor] = {
    "motion": Plain("speed of what moves against the usual there, by place (optical flow)", motion),
    "appearance": Plain("change of texture and size of what moves against the usual there, by place", appearance),
    "text": Plain("captions of what moved, every 64 frames; unusual words and pairs of words hashed", text),
}


def extractor(modality: str) -> Extractor:
    """The extractor of a modality: a name in EXTRACTORS, or `video:`, `image:`, `caption:` and a pretrained model.

    Errors: a `ValueError` names those there are.
    """
    _, what = named(modality)
    kind, sign, spec = what.partition(":")
    if sign and kind in KINDS:
        return KINDS[kind](spec)
    if what in EXTRACTORS:
        return EXTRACTORS[what]
    raise ValueError(
        f"there is no extractor {what!r}; there are {', '.join(EXTRACTORS)}, and with a pretrained model "
        f"{', '.join(f'{kind}:<model>' for kind in KINDS)}"
    )


def named(modality: str) -> tuple[str, str]:
    """(name in the dataset, extractor) of `name=extractor`; without a name, what stands before the colon.

    >>> named("motion"), named("visual=video:owner/model"), named("video:owner/model")
    (('motion', 'motion'), ('visual', 'video:owner/model'), ('video', 'video:owner/model'))
    """
    name, sign, what = modality.partition("=")
    if not sign or ":" in name:  # a folder's name may hold an equals sign
        name, what = modality.partition(":")[0], modality
    if not MODALITY.fullmatch(name):
        raise ValueError(f"{name!r} is no modality name; use letters, digits, - and _, up to 40")
    return name, what


def distinct(modalities: Sequence[str]) -> None:
    """Refuse two modalities of one name."""
    names = [named(modality)[0] for modality in modalities]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two modalities are called {name!r}; give them names: first={name}:..., second=...")
