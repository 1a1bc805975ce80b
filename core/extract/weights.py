"""Where a pretrained model's files lie, and whether they may be opened.

A model is a local folder or a name on the Hugging Face hub (`owner/name`, or `owner/name@revision`). Nothing is
downloaded unless asked for; only safetensors weights are opened, because the older formats are pickles, which can run
code; and no code that comes with a model is run.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")
KEPT = (".safetensors", ".json", ".txt", ".model")  # weights, configurations, vocabularies
UNSAFE = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
INSTALL = "pip install -r requirements-pretrained.txt"


class ModelError(ValueError):
    """A model that cannot be had or used, in a sentence that names it."""


def transformers() -> ModuleType:
    """The library, quiet; it is large, so only those who use it wait for it."""
    try:
        import transformers as library
    except ImportError as error:
        raise ModelError(f"pretrained extractors need transformers and sentence-transformers: {INSTALL}") from error
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    return library


def sentence_transformers() -> ModuleType:
    try:
        import sentence_transformers as library
    except ImportError as error:
        raise ModelError(f"this sentence encoder needs sentence-transformers: {INSTALL}") from error
    return library


@dataclass(frozen=True)
class Weights:
    """One model, by `source`: a folder, or a hub name."""

    source: str

    @property
    def local(self) -> bool:
        return self.source.startswith((".", "/", "~")) or Path(self.source).is_dir()

    @property
    def title(self) -> str:
        """What people call it; of a folder its last part, not the way there."""
        return Path(self.source).name if self.local else self.source

    def folder(self, download: bool = False) -> Path:
        """The folder that holds its files.

        Errors: `ModelError` when there is none and it may not be downloaded, or when its weights are no safetensors.
        """
        found = Path(self.source).expanduser() if self.local else self._from_hub(download)
        if not found.is_dir():
            raise ModelError(f"model {self.source!r}: there is no such folder")
        if not ((found / "config.json").is_file() or (found / "modules.json").is_file()):
            raise ModelError(f"model {self.source!r}: there is no config.json in it, so it is no model")
        safe = {path.parent for path in found.rglob("*.safetensors")}
        unsafe = [path for path in sorted(found.rglob("*")) if path.suffix in UNSAFE and path.parent not in safe]
        if unsafe or not safe:
            what = f"only {unsafe[0].name}, which can run code when it is opened" if unsafe else "none at all"
            raise ModelError(
                f"model {self.source!r} has no safetensors weights ({what}); convert it with save_pretrained, "
                "or name a revision that has them: owner/name@revision"
            )
        return found

    def _from_hub(self, download: bool) -> Path:
        if not HUB_NAME.fullmatch(self.source) or ".." in self.source:
            raise ModelError(f"model {self.source!r} is neither a folder nor a hub name like owner/name")
        transformers()
        from huggingface_hub import snapshot_download

        name, _, revision = self.source.partition("@")
        try:
            path = snapshot_download(
                name,
                revision=revision or None,
                allow_patterns=[f"*{suffix}" for suffix in KEPT],
                ignore_patterns=["onnx/*", "openvino/*"],
                local_files_only=not download,
            )
        except Exception as error:  # the hub's errors, the network's and the disk's
            if download:
                raise ModelError(f"model {self.source!r} could not be downloaded: {first_line(error)}") from error
            raise ModelError(
                f"model {self.source!r} is not on this machine: add --download (in Python download=True) to fetch it "
                "from the Hugging Face hub, or give a folder"
            ) from error
        return Path(path)

    def fingerprint(self) -> str:
        """sha256 over the names and contents of everything that decides what the model computes."""
        return _fingerprint(self.folder())


@lru_cache(maxsize=16)
def _fingerprint(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in KEPT and p.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return total.hexdigest()


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
