"""Pretrained extractors: any video encoder, image encoder, or captioner with sentence encoder, of transformers.

video:<model>             num_frames frames of a unit -> mean of the last hidden state           (VideoMAE, TimeSformer)
image:<model>             4 frames of a unit -> mean over frames of their embedding              (CLIP, DINOv2)
caption:<model>+<model>   a caption every 64 frames -> its sentence embedding, as `text` does    (BLIP or GIT + SimCSE)

<model> is a local folder or a hub name (`weights.py`). A sentence encoder made by sentence-transformers pools as it was
trained to; any other gives the mean of its last hidden state, or, with `#cls` or `#pooler` after its name, the first
token's state or the pooler's output (SimCSE: `#cls` for the unsupervised, `#pooler` for the supervised models).

Models are loaded once a process, in float32, on the accelerator where there is one. On a CPU they run on one thread, so
that features do not depend on the machine's load: more workers make it faster.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.extract.base import Caption, Described, Seen
from core.extract.text import EVERY, rows_of_units
from core.extract.weights import ModelError, Weights, first_line, sentence_transformers, transformers
from core.machine.device import device_named

LOOKS = 4  # frames of a unit that an image encoder sees
BATCH = 4  # units, or captions, at once
WORDS = 32  # tokens of a caption at most
CAPTIONER = "AutoModelForImageTextToText"
POOLINGS = ("mean", "cls", "pooler")


@dataclass(frozen=True)
class Pretrained:
    """What all of them share: `models` are what they need; `words` and `fingerprints` say so in the dataset."""

    spec: str

    @property
    def models(self) -> tuple[Weights, ...]:
        return (Weights(self.spec),)

    @property
    def words(self) -> str:
        raise NotImplementedError

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    def fingerprints(self) -> list[str]:
        """sha256 of each model, so that nothing made by other weights is ever laid beside these features unseen."""
        return [model.fingerprint() for model in self.models]

    def fetch(self, download: bool) -> None:
        """Everything that can be known without loading weights; `ValueError` where it will not work."""
        for model in self.models:
            _config(model, model.folder(download))

    def load(self) -> None:
        """Load the weights into this process, so that what is wrong with them is told before the long work."""
        visual_model(self.models[0], "AutoModel")

    def __call__(self, seen: Seen) -> Described:
        raise NotImplementedError


@dataclass(frozen=True)
class VideoEncoder(Pretrained):
    """One row a unit: the mean of the last hidden state over all tokens of its frames."""

    @property
    def words(self) -> str:
        return f"video encoder {self.models[0].title}: mean of the last hidden state over a unit's frames"

    def fetch(self, download: bool) -> None:
        super().fetch(download)
        frames_of(self.models[0])

    def __call__(self, seen: Seen) -> Described:
        model, processor = visual_model(self.models[0], "AutoModel")
        count = frames_of(self.models[0])
        rows = []
        for units in batches(spans(seen, seen.per_unit, count)):
            with steady(), told(self.models[0], "as a video encoder"):
                pixels = pixels_of(processor, units, model.device)
                rows.append(_mean_state(model(pixel_values=pixels).last_hidden_state))
        return Described(_array(torch.cat(rows)))


@dataclass(frozen=True)
class ImageEncoder(Pretrained):
    """One row a unit: the mean of the embeddings of LOOKS of its frames.

    Of models of pictures and text (CLIP, SigLIP) the embedding that is compared with text; else the mean of the last
    hidden state.
    """

    @property
    def words(self) -> str:
        return f"image encoder {self.models[0].title}: mean over {LOOKS} frames of a unit"

    def __call__(self, seen: Seen) -> Described:
        model, processor = visual_model(self.models[0], "AutoModel")
        rows = []
        for units in batches(spans(seen, seen.per_unit, LOOKS)):
            with steady(), told(self.models[0], "as an image encoder"):
                pixels = pixels_of(processor, units, model.device).flatten(0, 1)
                if hasattr(model, "get_image_features"):
                    found = model.get_image_features(pixel_values=pixels)
                    found = getattr(found, "pooler_output", found)
                else:
                    found = _mean_state(model(pixel_values=pixels).last_hidden_state)
                rows.append(found.unflatten(0, (len(units), LOOKS)).mean(dim=1))
        return Described(_array(torch.cat(rows)))


@dataclass(frozen=True)
class Captioner(Pretrained):
    """A caption of every 64 frames, kept for people; a unit's row is the embedding of the one it lies in."""

    def __post_init__(self) -> None:
        self._parts()

    @property
    def models(self) -> tuple[Weights, ...]:
        captioner, sentences, _ = self._parts()
        return captioner, sentences

    @property
    def words(self) -> str:
        captioner, sentences, pooling = self._parts()
        pooled = f" ({pooling})" if pooling else ""
        return f"captions by {captioner.title} every {EVERY} frames; sentence encoder {sentences.title}{pooled}"

    def __call__(self, seen: Seen) -> Described:
        captioner, sentences, pooling = self._parts()
        captions = tuple(
            Caption(EVERY * i, min(EVERY * (i + 1), seen.frames), text) for i, text in enumerate(write(captioner, seen))
        )
        vectors = sentence_encoder(sentences, pooling)([caption.text for caption in captions])
        return Described(rows_of_units(seen, vectors), captions)

    def load(self) -> None:
        captioner, sentences, pooling = self._parts()
        visual_model(captioner, CAPTIONER)
        _tokenizer(captioner)
        sentence_encoder(sentences, pooling)

    def _parts(self) -> tuple[Weights, Weights, str]:
        parts = self.spec.split("+")
        if len(parts) != 2 or not all(parts):
            raise ValueError(f"caption:{self.spec} wants caption:<captioner>+<sentence encoder>")
        sentences, _, pooling = parts[1].partition("#")
        if pooling not in ("", *POOLINGS):
            raise ValueError(f"caption:{self.spec}: after # stands one of {', '.join(POOLINGS)}, not {pooling!r}")
        return Weights(parts[0]), Weights(sentences), pooling


KINDS: dict[str, type[Pretrained]] = {"video": VideoEncoder, "image": ImageEncoder, "caption": Captioner}


# --- what goes in --------------------------------------------------------------------------------------------------


def middles(length: int, count: int) -> list[int]:
    """The middle frames of `count` equal parts of `length` frames.

    >>> middles(16, 4), middles(4, 4), middles(64, 1), middles(2, 4)
    ([2, 6, 10, 14], [0, 1, 2, 3], [32], [0, 0, 1, 1])
    """
    return [(2 * k + 1) * length // (2 * count) for k in range(count)]


def spans(seen: Seen, length: int, count: int) -> Iterator[list[np.ndarray]]:
    """`count` frames, red-green-blue, of every `length` frames; where the clip ends early its last frame is held."""
    wanted = middles(length, count)
    kept: dict[int, np.ndarray] = {}
    last = None
    for index, picture in enumerate(seen.pictures()):
        place, last = index % length, picture
        if place in wanted:
            kept[place] = _rgb(picture)
        if place == length - 1:
            yield [kept[k] for k in wanted]
            kept, last = {}, None
    if last is not None:
        held = _rgb(last)
        yield [kept.get(k, held) for k in wanted]


def batches(groups: Iterator[list[np.ndarray]]) -> Iterator[list[list[np.ndarray]]]:
    while batch := list(islice(groups, BATCH)):
        yield batch


def pixels_of(processor: Any, groups: Sequence[list[np.ndarray]], device: torch.device) -> Tensor:
    """(groups, frames, channels, height, width), as the model's own processor scales, cuts and normalises frames."""
    frames = [frame for group in groups for frame in group]
    values = processor(frames, return_tensors="pt")["pixel_values"]
    return values.reshape(len(groups), len(groups[0]), *values.shape[-3:]).to(device)


def _rgb(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture[:, :, ::-1])


# --- models --------------------------------------------------------------------------------------------------------


def frames_of(model: Weights) -> int:
    """How many frames a video encoder sees at once."""
    count = getattr(_config(model, model.folder()), "num_frames", None)
    if not count:
        raise ModelError(f"model {model.source!r} is no video encoder (no num_frames in its config.json); try image:")
    return int(count)


@lru_cache(maxsize=8)
def visual_model(weights: Weights, kind: str) -> tuple[Any, Any]:
    """A model of the auto class `kind` and its processor of pictures."""
    folder = weights.folder()
    with told(weights):
        processor = transformers().AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, backend="pil"
        )
    return _model(weights, kind), processor


def write(weights: Weights, seen: Seen) -> Iterator[str]:
    """A caption of every 64 frames, of their middle frame or, by a captioner of videos, of as many as it takes.

    The likeliest word is taken each time, so the same frames always get the same caption.
    """
    model, processor = visual_model(weights, CAPTIONER)
    tokens = _tokenizer(weights)
    config = getattr(model.config, "encoder", model.config)
    several = getattr(config, "num_frames", None) or getattr(config, "num_image_with_embedding", None)
    for groups in batches(spans(seen, EVERY, several or 1)):
        with steady(), told(weights, "as a captioner"):
            pixels = pixels_of(processor, groups, model.device)
            written = model.generate(
                pixel_values=pixels if several else pixels[:, 0], max_new_tokens=WORDS, do_sample=False, num_beams=1
            )
        yield from (" ".join(text.split()) for text in tokens.batch_decode(written, skip_special_tokens=True))


@lru_cache(maxsize=8)
def sentence_encoder(weights: Weights, pooling: str = "") -> Callable[[list[str]], np.ndarray]:
    """Sentences in, float32 (sentences, width) out; one at a time, so that none depends on its neighbours."""
    folder = weights.folder()
    if not pooling and (folder / "modules.json").is_file():
        with told(weights):
            whole = sentence_transformers().SentenceTransformer(
                str(folder),
                device=device_named("auto"),
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )

        def encode(sentence: str) -> np.ndarray:
            return np.asarray(whole.encode([sentence], show_progress_bar=False)[0], np.float32)
    else:
        model, tokens = _model(weights, "AutoModel", pooler=pooling == "pooler"), _tokenizer(weights)

        def encode(sentence: str) -> np.ndarray:
            found = model(**tokens(sentence, return_tensors="pt").to(model.device))
            if pooling == "pooler":
                return _array(found.pooler_output[0])
            state = found.last_hidden_state[0]
            return _array(state[0] if pooling == "cls" else state.mean(dim=0))

    def embed(sentences: list[str]) -> np.ndarray:
        with steady(), told(weights, "as a sentence encoder"):
            return np.stack([encode(sentence) for sentence in sentences])

    return embed


def _config(weights: Weights, folder: Path) -> Any:
    with told(weights):
        return transformers().AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _tokenizer(weights: Weights) -> Any:
    with told(weights):
        return transformers().AutoTokenizer.from_pretrained(
            weights.folder(), local_files_only=True, trust_remote_code=False
        )


def _model(weights: Weights, kind: str, pooler: bool = False) -> Any:
    """`pooler` says that the pooler is used; models are often published without, and it would be left random."""
    with told(weights):
        model, found = getattr(transformers(), kind).from_pretrained(
            weights.folder(),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    missing = sorted(key for key in found["missing_keys"] if pooler or "pooler" not in key)
    if missing:
        raise ModelError(
            f"model {weights.source!r} lacks {len(missing)} weights (first {missing[0]!r}): they would be random"
        )
    return model.to(device_named("auto")).eval()


@contextmanager
def told(weights: Weights, use: str = "") -> Iterator[None]:
    """What goes wrong inside a library, as a sentence that names the model."""
    try:
        yield
    except ModelError:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError) as error:
        what = f"model {weights.source!r} cannot be used {use}".rstrip()
        raise ModelError(f"{what}: {first_line(error)}") from error


@contextmanager
def steady() -> Iterator[None]:
    """No gradients, and one thread: sums over a varying number of threads differ in their last digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)


def _mean_state(state: Tensor) -> Tensor:
    """(batch, tokens, width) or, of convolutional networks, (batch, width, y, x), to (batch, width)."""
    return state.mean(dim=1) if state.ndim == 3 else state.flatten(2).mean(dim=2)


def _array(values: Tensor) -> np.ndarray:
    return values.float().cpu().numpy()
