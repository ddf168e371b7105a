"""A server that speaks enough of OpenAI's protocol to be asked: answers, faults and delays as a
script says. Also a program: ``python -m tests.bench.chat_server`` prints its address."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = (
    "429", "500", "503", "400", "401", "slow", "hang_up", "half_body", "no_json", "no_choices",
    "odd_content", "cut_stream",
)  # fmt: skip


def answer_of(key: str) -> str:
    """What the server says to a request: another text for each key, with code in it."""
    return f"Here.\n\n```python\n# {key}\nclass ModelNew: pass\n```\n"


class ChatServer:
    """``script(number, body, key)`` names what happens to the request: ``""`` answers it, others
    are `FAULTS`. ``seen`` counts requests by ``Idempotency-Key``, ``answered`` whole answers."""

    def __init__(
        self,
        script: Callable[[int, dict[str, Any], str], str] = lambda number, body, key: "",
        *,
        answer: Callable[[dict[str, Any], str], str] = lambda body, key: answer_of(key),
        delay_s: float = 0.0,
        slow_s: float = 5.0,
        usage: bool = True,
    ):
        self.script, self.answer = script, answer
        self.delay_s, self.slow_s, self.usage = delay_s, slow_s, usage
        self.seen: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.number = 0
        self.flying = self.most_flying = 0
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        outer = self

        class Handler(_Handler):
            server_of = outer

        class Server(ThreadingHTTPServer):
            request_queue_size = 512
            daemon_threads = True

        self.http = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.http.shutdown()
        self.http.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_of: ChatServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        server = self.server_of
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("Idempotency-Key", "")
        with server.lock:
            number = server.number
            server.number += 1
            server.seen[key] += 1
            server.bodies.append(body)
            server.flying += 1
            server.most_flying = max(server.most_flying, server.flying)
        try:
            self._serve(number, body, key)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with server.lock:
                server.flying -= 1

    def _serve(self, number: int, body: dict[str, Any], key: str) -> None:
        server = self.server_of
        if self.path != "/v1/chat/completions":
            return self._send(404, {"error": {"message": f"no such path {self.path}"}})
        fault = server.script(number, body, key)
        assert fault == "" or fault in FAULTS, fault
        if fault.isdigit():
            headers = {"Retry-After": "0.05"} if fault == "429" else {}
            return self._send(int(fault), {"error": {"message": f"fault {fault}"}}, headers)
        if fault == "slow":
            server.stopped.wait(server.slow_s)
        elif server.delay_s:
            time.sleep(server.delay_s)
        if fault == "hang_up":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return None
        if fault == "no_json":
            return self._raw(200, b"<html>gateway</html>", {})
        text = server.answer(body, key)
        if body.get("stream"):
            return self._stream(text, key, fault)
        reply: dict[str, Any] = {
            "id": "chat-1", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": text}}],
        }  # fmt: skip
        if server.usage:
            reply["usage"] = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        if fault == "no_choices":
            reply["choices"] = []
        elif fault == "odd_content":
            reply["choices"][0]["message"]["content"] = {"code": 7}
        data = json.dumps(reply).encode()
        if fault == "half_body":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return None
        self._raw(200, data, {})
        if fault == "":
            with server.lock:
                server.answered[key] += 1
        return None

    def _stream(self, text: str, key: str, fault: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

        def event(**fields: Any) -> None:
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            self.wfile.write(b"data: " + json.dumps({**chunk, **fields}).encode() + b"\n\n")
            self.wfile.flush()

        for start in range(0, len(text), 7):
            if fault == "cut_stream" and start > len(text) // 2:
                return
            delta = {"content": text[start : start + 7]}
            event(choices=[{"index": 0, "delta": delta, "finish_reason": None}])
        event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if self.server_of.usage:
            event(choices=[], usage={"prompt_tokens": 100, "completion_tokens": 20,
                                     "total_tokens": 120})  # fmt: skip
        self.wfile.write(b"data: [DONE]\n\n")
        with self.server_of.lock:
            self.server_of.answered[key] += 1

    def _send(self, code: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._raw(code, json.dumps(value).encode(), headers or {})

    def _raw(self, code: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    with ChatServer() as running:
        print(running.url, flush=True)
        threading.Event().wait()
