"""Which extractors there are, by the name of their modality."""

from core.extract.appearance import appearance
from core.extract.base import Extractor, Plain
from core.extract.motion import motion
from core.extract.text import text

EXTRACTORS: dict[str, Extractor] = {
    "motion": Plain("speed of what moves against the usual there, by place (optical flow)", motion),
    "appearance": Plain("change of texture and size of what moves against the usual there, by place", appearance),
    "text": Plain("captions of what moved, every 64 frames; unusual words and pairs of words hashed", text),
}


def extractor(modality: str) -> Extractor:
    """The extractor of a modality; a `ValueError` names those there are."""
    if modality in EXTRACTORS:
        return EXTRACTORS[modality]
    raise ValueError(f"there is no extractor {modality!r}; there are {', '.join(EXTRACTORS)}")
