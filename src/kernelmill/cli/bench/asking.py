"""A language model for commands that put single questions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kernelmill.bench.generation import Client

Ask = Callable[[list[dict[str, str]]], str]


@contextmanager
def asking(model: str, base_url: str | None, api_key_env: str) -> Iterator[Ask]:
    """A chat function that waits for its answer."""
    loop = asyncio.new_event_loop()
    client = Client(model, base_url, os.environ.get(api_key_env))
    try:
        yield lambda said: loop.run_until_complete(client.ask(said)).text
    finally:
        loop.run_until_complete(client.close())
        loop.close()
