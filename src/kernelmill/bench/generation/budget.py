"""What may be spent, reserved before a request and settled after it."""

from __future__ import annotations

from dataclasses import dataclass, field


class OverBudget(Exception):
    """The next request could cost more than is left."""


@dataclass(frozen=True)
class Prices:
    """USD per million tokens; ``None`` where they are not known."""

    prompt: float | None = None
    completion: float | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "completion"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name}: want USD per million tokens >= 0, got {value!r}")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """USD of a request.

        Example:
            >>> Prices(2.0, 10.0).cost(1000, 500)
            0.007
            >>> Prices().cost(1000, 500) is None
            True
        """
        if self.prompt is None or self.completion is None:
            return None
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass
class Budget:
    """Limits on requests, tokens and USD; ``None``: no limit.

    A request reserves the most that it can cost, so that requests in flight together never pass a
    limit; what it did cost is settled afterwards. An answer that was paid for but got lost on the
    way (a time-out, a broken connection) is settled at its reservation, since the server may have
    charged for it.

    Raises:
        ValueError: a limit that is not positive, or a limit in USD without prices.

    Example:
        >>> budget = Budget(tokens=1000)
        >>> ticket = budget.reserve(400, 500)
        >>> budget.reserve(400, 500)
        Traceback (most recent call last):
        kernelmill.bench.generation.budget.OverBudget: 1000 tokens: 900 spent or reserved...
        >>> budget.settle(ticket, 300, 100)
        >>> budget.spent_tokens, budget.reserved_tokens
        (400, 0)
    """

    usd: float | None = None
    tokens: int | None = None
    requests: int | None = None
    prices: Prices = field(default_factory=Prices)
    spent_usd: float = 0.0
    spent_tokens: int = 0
    spent_requests: int = 0
    reserved_usd: float = 0.0
    reserved_tokens: int = 0
    reserved_requests: int = 0

    def __post_init__(self) -> None:
        for name in ("usd", "tokens", "requests"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: want a limit above 0, or None, got {value!r}")
        if self.usd is not None and self.prices.cost(1, 1) is None:
            raise ValueError("usd: a limit in USD needs the prices of prompt and completion")

    def reserve(self, prompt_tokens: int, completion_tokens: int) -> tuple[int, float]:
        """Room for one request.

        Raises:
            OverBudget: there is none; the message says of what.
        """
        tokens = prompt_tokens + completion_tokens
        usd = self.prices.cost(prompt_tokens, completion_tokens) or 0.0
        for name, unit, amount in (
            ("requests", "requests", 1), ("tokens", "tokens", tokens), ("usd", "USD", usd),
        ):  # fmt: skip
            limit = getattr(self, name)
            used = getattr(self, f"spent_{name}") + getattr(self, f"reserved_{name}")
            if limit is not None and used + amount > limit:
                raise OverBudget(
                    f"{limit:g} {unit}: {used:g} spent or reserved, the next request may take "
                    f"{amount:g}"
                )
        self.reserved_tokens += tokens
        self.reserved_usd += usd
        self.reserved_requests += 1
        return tokens, usd

    def settle(
        self, ticket: tuple[int, float], prompt_tokens: int | None, completion_tokens: int | None
    ) -> float | None:
        """Give a reservation back and book what was used; the cost in USD, where it is known.
        Token counts of ``None``: nobody knows, so the reservation is booked."""
        self.release(ticket)
        self.spent_requests += 1
        if prompt_tokens is None or completion_tokens is None:
            self.spent_tokens += ticket[0]
            self.spent_usd += ticket[1]
            return ticket[1] if self.prices.cost(1, 1) is not None else None
        self.spent_tokens += prompt_tokens + completion_tokens
        cost = self.prices.cost(prompt_tokens, completion_tokens)
        self.spent_usd += cost or 0.0
        return cost

    def release(self, ticket: tuple[int, float]) -> None:
        """Give a reservation back: the server refused, nothing was computed."""
        self.reserved_tokens -= ticket[0]
        self.reserved_usd -= ticket[1]
        self.reserved_requests -= 1
