"""Who is signed in, and how often somebody was refused: kept in memory, and bounded."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

IDLE = timedelta(hours=12)
SESSIONS_EACH = 8
REFUSALS, WINDOW, ADDRESSES = 10, timedelta(minutes=15), 1024


class Sessions:
    """Random names for people who showed their token.

    They end when signed out, after twelve idle hours, with the server, or when the same person opens too many.

    Args:
        now: The clock.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = Lock()
        self._open: OrderedDict[str, tuple[str, datetime]] = OrderedDict()

    def open(self, who: str) -> str:
        """A new one; returns its name."""
        name = secrets.token_urlsafe(32)
        with self._lock:
            same = [other for other, (owner, _) in self._open.items() if owner == who]
            for other in same[: 1 - SESSIONS_EACH]:
                del self._open[other]
            self._open[name] = (who, self._now())
        return name

    def who(self, name: str) -> str | None:
        """Whose it is, if it is open; that counts as using it."""
        with self._lock:
            who, used = self._open.pop(name, (None, self._now()))
            if who is None or self._now() - used > IDLE:
                return None
            self._open[name] = (who, self._now())  # the last in line
            return who

    def close(self, name: str) -> None:
        """End one."""
        with self._lock:
            self._open.pop(name, None)


class Refusals:
    """How often an address showed a wrong token; the address that has been quiet for longest is forgotten first.

    Args:
        now: The clock.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = Lock()
        self._counts: OrderedDict[str, tuple[int, datetime]] = OrderedDict()

    def add(self, address: str) -> None:
        """One more."""
        with self._lock:
            count, since = self._current(address)
            self._counts[address] = (count + 1, since)
            self._counts.move_to_end(address)
            if len(self._counts) > ADDRESSES:
                self._counts.popitem(last=False)

    def too_many(self, address: str) -> bool:
        """Whether the address has to wait."""
        with self._lock:
            return self._current(address)[0] >= REFUSALS

    def _current(self, address: str) -> tuple[int, datetime]:
        count, since = self._counts.get(address, (0, self._now()))
        return (count, since) if self._now() - since < WINDOW else (0, self._now())
