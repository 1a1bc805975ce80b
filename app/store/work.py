"""Work that takes longer than a visitor should wait: in a thread of its own, with its progress, done once for all.

Small sets never come here. A page asks whether the work is done, shows how far it is, and stays usable.
"""

import contextlib
import threading
from collections.abc import Callable, Hashable
from typing import Any


class Work(threading.Thread):
    """`result` once `done`, or `error`; `share` is how much is done, 0 to 1.

    >>> work = Work(lambda tell: tell(1.0) or 42)
    >>> work.answer(), work.share
    (42, 1.0)
    """

    def __init__(self, act: Callable[[Callable[[float], None]], Any]) -> None:
        super().__init__(name="background", daemon=True)
        self.act, self.share = act, 0.0
        self.result: Any = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.act(self._tell)
        except Exception as error:  # it is told by who asks for the answer
            self.error = error

    def _tell(self, share: float) -> None:
        self.share = share

    @property
    def done(self) -> bool:
        return not self.is_alive()

    def within(self, seconds: float) -> bool:
        """Wait at most so long; True when it is done."""
        with contextlib.suppress(RuntimeError):
            self.join(seconds)
        return self.done

    def answer(self) -> Any:
        """The result, however long it takes. Errors: those of the work."""
        self.join()
        if self.error is not None:
            raise self.error
        return self.result


def answer_of(start: Any, *key: Hashable) -> Any:
    """What work in the background came to; work that failed is begun again by who asks next."""
    try:
        return start(*key).answer()
    except Exception:
        start.clear(*key)
        raise


PATIENCE = 1.0  # seconds a page waits for the background before it shows a bar
