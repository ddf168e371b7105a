"""What a run must remember besides its nodes, to go on exactly where it was."""

from __future__ import annotations

import json
import random
import zlib
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RunState:
    """The random generator, and how far each proposer's stream of drafts was drawn.

    ``attempt`` counts proposals since the last node: with the seed and the node's id it seeds the
    generator that a proposer gets, so proposers do not disturb the policy's stream.
    """

    rng: random.Random
    seed: int = 0
    attempt: int = 0
    turn: int = 0  # whose draft is next
    streams: dict[str, tuple[str, int]] = field(default_factory=dict)  # name: (seed, taken)

    def encode(self) -> bytes:
        body = {
            "rng": self.rng.getstate(),
            "seed": self.seed,
            "attempt": self.attempt,
            "turn": self.turn,
            "streams": self.streams,
        }
        return zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 1)

    @classmethod
    def decode(cls, data: bytes, rng: random.Random) -> RunState:
        body = json.loads(zlib.decompress(data))
        rng.setstate(_tuples(body["rng"]))
        streams = {name: (seed, taken) for name, (seed, taken) in body["streams"].items()}
        return cls(rng, body["seed"], body["attempt"], body["turn"], streams)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
