"""What a page says of an answer that does not change, made once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock, Semaphore
from typing import Any

_MOST = 256
_AT_ONCE = 2


class Once:
    """The last few pages, by what they are about."""

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, dict[str, Any]] = OrderedDict()
        self._lock = Lock()
        self._turns = Semaphore(_AT_ONCE)

    def told(self, about: Hashable, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what a page says, made where it was not made lately."""
        with self._lock:
            if about in self._made:
                self._made.move_to_end(about)
                return self._made[about]
        # Threads that ask one model at once slow each other down.
        with self._turns:
            made = make()
        with self._lock:
            self._made[about] = made
            while len(self._made) > _MOST:
                self._made.popitem(last=False)
        return made
