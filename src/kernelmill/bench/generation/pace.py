"""Not faster than a server allows."""

from __future__ import annotations

import asyncio


class Pace:
    """Spaces requests evenly: at most ``per_minute`` units a minute; ``None``: as they come.

    What a server says by ``Retry-After`` holds for everybody: see `pause`.
    """

    def __init__(self, per_minute: float | None = None):
        if per_minute is not None and not per_minute > 0:
            raise ValueError(f"per_minute: want a rate above 0, or None, got {per_minute!r}")
        self.per_minute = per_minute
        self._next = 0.0

    async def wait(self, units: float = 1.0) -> None:
        """Until it is this request's turn."""
        loop = asyncio.get_running_loop()
        start = max(loop.time(), self._next)
        if self.per_minute is not None:
            self._next = start + 60.0 * units / self.per_minute
        while (left := max(start, self._paused_until()) - loop.time()) > 0:
            await asyncio.sleep(left)

    def pause(self, seconds: float) -> None:
        """Let nobody start for so long."""
        self._until = max(self._paused_until(), asyncio.get_running_loop().time() + seconds)

    def _paused_until(self) -> float:
        return getattr(self, "_until", 0.0)
