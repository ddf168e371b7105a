"""One chat request to a server that speaks OpenAI's protocol, tried until it is answered."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kernelmill.bench.generation.budget import Budget
from kernelmill.bench.generation.pace import Pace

Messages = Sequence[Mapping[str, str]]
LONGEST_WAIT_S = 60.0
# worth another try; other codes say that the request itself is wrong
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
# wrong for every request that could follow
_FOR_ALL = {401, 403, 404, 405}


@dataclass(frozen=True)
class Attempt:
    """``status``: ``ok``, ``http_<code>``, ``timeout``, ``connection`` or ``malformed``."""

    status: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class Answer:
    """What a server said; token counts are ``None`` where it did not tell."""

    text: str
    finish_reason: str
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    attempts: tuple[Attempt, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class RequestFailed(Exception):
    """No answer after all attempts. ``for_all``: no other request can succeed either."""

    def __init__(self, message: str, attempts: Sequence[Attempt], for_all: bool = False):
        super().__init__(message)
        self.attempts, self.for_all = tuple(attempts), for_all


class _Malformed(Exception):
    pass


@dataclass
class Client:
    """Asks, waits and asks again. Use within one event loop; ``close`` when done.

    Args:
        model: as the server calls it. base_url: up to and with ``/v1``; by default OpenAI's.
        api_key: by default ``$OPENAI_API_KEY``, else a placeholder, which local servers take.
        retries: attempts after the first one. timeout_s: of a whole attempt.
        stream: receive the answer in pieces, for servers that hang up on long silence.
        budget, requests, tokens: what may be spent, and how fast.
        options: further fields of the request's body (``seed``, ``reasoning_effort``...).

    Raises:
        ImportError: the extra ``llm`` is not installed.
    """

    model: str
    base_url: str | None = None
    api_key: str | None = None
    retries: int = 6
    timeout_s: float = 600.0
    first_wait_s: float = 1.0
    stream: bool = False
    budget: Budget = field(default_factory=Budget)
    requests: Pace = field(default_factory=Pace)
    tokens: Pace = field(default_factory=Pace)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("model must be the name of a model, got ''")
        if self.retries < 0:
            raise ValueError(f"retries must be at least 0, got {self.retries}")
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s must be above 0, got {self.timeout_s}")
        try:
            import openai
        except ImportError as error:
            raise ImportError(
                "asking a model needs the openai client: pip install 'kernelmill[llm]'"
            ) from error
        key = self.api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self._openai = openai
        # it would try again without telling; here every attempt is counted and written down
        self._client = openai.AsyncOpenAI(
            api_key=key, base_url=self.base_url, max_retries=0, timeout=self.timeout_s
        )

    async def close(self) -> None:
        await self._client.close()

    async def ask(
        self,
        messages: Messages,
        *,
        key: str = "",
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int = 8192,
        before: Callable[[tuple[int, float]], None] = lambda ticket: None,
        after: Callable[[Attempt, Any], None] = lambda attempt, spent: None,
    ) -> Answer:
        """The answer to ``messages``.

        Args:
            key: sent as ``Idempotency-Key``, so that a server that knows it computes once.
            before: called with the reservation when an attempt is about to be sent.
            after: called when it has ended, with what was booked: (prompt tokens, completion
                tokens, USD), ``None`` for what is not known.

        Raises:
            OverBudget: it could cost more than is left.
            RequestFailed: the server refuses, or ``retries`` are used up.
        """
        body: dict[str, Any] = {
            "model": self.model, "messages": list(messages), "max_tokens": max_tokens,
            "extra_headers": {"Idempotency-Key": key} if key else None,
        }  # fmt: skip
        for name, value in (("temperature", temperature), ("top_p", top_p)):
            if value is not None:
                body[name] = value
        if self.options:
            body["extra_body"] = dict(self.options)
        # a token has at least one byte; what it really was is booked afterwards
        most = sum(len(m["content"].encode()) + 16 for m in messages)
        attempts: list[Attempt] = []
        for number in range(self.retries + 1):
            ticket = self.budget.reserve(most, max_tokens)
            sent = False
            try:
                await self.requests.wait()
                await self.tokens.wait(most / 4 + max_tokens / 4)
                before(ticket)
                sent = True
                start = time.monotonic()
                try:
                    found = await asyncio.wait_for(self._once(body), self.timeout_s)
                    status, detail, wait = "ok", "", None
                except Exception as error:
                    status, detail, wait = self._classify(error)
                    found = None
            except BaseException:  # cancelled: the server may be computing already
                if sent:
                    self.budget.settle(ticket, None, None)
                else:
                    self.budget.release(ticket)
                raise
            attempt = Attempt(status, round(time.monotonic() - start, 4), detail[:500])
            attempts.append(attempt)
            used = found[3:] if found else (None, None)
            if status.startswith("http_"):
                self.budget.release(ticket)
                cost, used = 0.0, (0, 0)
            else:
                cost = self.budget.settle(ticket, *used)
            after(attempt, (*used, cost))
            if found:
                return Answer(*found, cost, tuple(attempts))
            code = int(status[5:]) if status.startswith("http_") else 0
            if code and code not in _PASSING:
                raise RequestFailed(
                    f"the server refuses the request: {detail}", attempts, code in _FOR_ALL
                )
            if number < self.retries:
                pause = min(LONGEST_WAIT_S, self.first_wait_s * 2**number)
                if wait is not None and code in (429, 503):
                    self.requests.pause(wait)  # it holds for all who ask
                await asyncio.sleep(max(wait or 0.0, pause * random.uniform(0.5, 1.0)))
        last = attempts[-1]
        raise RequestFailed(
            f"no answer after {len(attempts)} attempts, the last: {last.status} {last.detail}",
            attempts,
        )

    async def _once(self, body: dict[str, Any]) -> tuple[Any, ...]:
        create = self._client.chat.completions.create
        if self.stream:
            return await self._streamed(create, body)
        return _read(await create(**body))

    async def _streamed(self, create: Any, body: dict[str, Any]) -> tuple[Any, ...]:
        pieces, reason, model, usage = [], None, "", None
        stream = await create(**body, stream=True, stream_options={"include_usage": True})
        async for chunk in stream:
            usage = getattr(chunk, "usage", None) or usage
            model = getattr(chunk, "model", None) or model
            for choice in getattr(chunk, "choices", None) or ():
                reason = getattr(choice, "finish_reason", None) or reason
                content = getattr(getattr(choice, "delta", None), "content", None)
                if content is not None:
                    if not isinstance(content, str):
                        raise _Malformed(f"a piece of the answer is {type(content).__name__}")
                    pieces.append(content)
        if reason is None:
            raise _Malformed("the stream ended before the answer did")
        return "".join(pieces), str(reason), str(model), *_usage(usage)

    def _classify(self, error: Exception) -> tuple[str, str, float | None]:
        """(status, words, seconds that the server asks to wait)."""
        api = self._openai
        if isinstance(error, (TimeoutError, asyncio.TimeoutError, api.APITimeoutError)):
            return "timeout", f"no answer within {self.timeout_s:g} s", None
        if isinstance(error, api.APIStatusError):
            if error.status_code < 400:  # a success that cannot be read
                return "malformed", str(error), None
            return f"http_{error.status_code}", str(error), _retry_after(error.response.headers)
        if isinstance(error, api.APIConnectionError):
            cause = error.__cause__ or error
            return "connection", f"{type(cause).__name__}: {cause}", None
        known = (_Malformed, api.APIError, ValueError, TypeError, AttributeError, LookupError)
        if isinstance(error, known):
            return "malformed", f"{type(error).__name__}: {error}", None
        if type(error).__module__.startswith("httpx"):  # while a stream is read
            return "connection", f"{type(error).__name__}: {error}", None
        raise error


def _read(reply: Any) -> tuple[Any, ...]:
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise _Malformed(f"the reply has no choices: {str(reply)[:200]!r}")
    message = getattr(choices[0], "message", None)
    if message is None:
        raise _Malformed("the first choice has no message")
    content = getattr(message, "content", None)
    if content is None:
        content = getattr(message, "refusal", None) or ""
    if not isinstance(content, str):
        raise _Malformed(f"the message's content is {type(content).__name__}, not text")
    reason = getattr(choices[0], "finish_reason", None) or ""
    model = getattr(reply, "model", None) or ""
    return content, str(reason), str(model), *_usage(getattr(reply, "usage", None))


def _usage(usage: Any) -> tuple[int | None, int | None]:
    found = (getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    prompt, completion = (n if isinstance(n, int) and n >= 0 else None for n in found)
    return prompt, completion


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of ``Retry-After`` (a number or a date) or of ``retry-after-ms``."""
    from email.utils import parsedate_to_datetime

    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except ValueError:
                continue
        return min(max(seconds, 0.0), 10 * LONGEST_WAIT_S)
    return None
