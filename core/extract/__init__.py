"""Extraction: any video or folder of frames in, a native dataset out, offline and without labels.

extract(source, out)                  a dataset of everything below `source`
extract_clip(file, dataset, out)      one more video, made comparable to a dataset by that dataset's calibration
captions(dataset, clip)               the sentences behind the `text` modality; said(dataset, clip, unit): of one unit
EXTRACTORS                            modality -> what makes its features
"""

from core.extract.base import Caption, Described, Extractor, Plain, Seen
from core.extract.crew import Progress
from core.extract.extractors import EXTRACTORS, extractor
from core.extract.run import captions, extract, extract_clip, said

__all__ = [
    "EXTRACTORS", "Caption", "Described", "Extractor", "Plain", "Progress", "Seen",
    "captions", "extract", "extract_clip", "extractor", "said",
]  # fmt: skip
