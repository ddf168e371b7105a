"""Messages between the judge and its workers: a JSON head, then the raw bytes of tensors.

Nothing that a candidate sends is ever unpickled, and the head's sizes are checked against limits
before memory is taken.
"""

from __future__ import annotations

import json
import pickle
import socket
import struct
import time
from typing import Any

import torch

_HEAD = struct.Struct("<QQ")
_ALIGN = 64
DTYPES = {
    str(d).removeprefix("torch."): d
    for d in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64,
        torch.complex128, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
        torch.bool,
    )
}  # fmt: skip
DTYPES |= {
    name: getattr(torch, name)
    for name in ("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2")
    if hasattr(torch, name)
}
NAMES = {d: n for n, d in DTYPES.items()}

# Bound here, before any candidate is loaded, so that a patched method is not the one we call.
_contiguous = torch.Tensor.contiguous
_reshape = torch.Tensor.reshape
_view = torch.Tensor.view
_numpy = torch.Tensor.numpy
_detach = torch.Tensor.detach
_cpu = torch.Tensor.cpu
_resolve_conj = torch.Tensor.resolve_conj
_resolve_neg = torch.Tensor.resolve_neg
_torch_tensor = torch.Tensor
_uint8 = torch.uint8
_dumps, _loads = json.dumps, json.loads


class WireError(Exception):
    """The peer is gone, or what it sent is not a message."""


class Pickled(bytes):
    """A pickle on its way from the task's own process to the candidate's; the judge passes it
    on unopened."""


class WireTimeout(WireError):
    """Nothing complete arrived in time."""


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The elements of a tensor in row-major order, as raw bytes."""
    plain = _resolve_neg(_resolve_conj(_cpu(_detach(tensor))))
    flat = _reshape(_contiguous(plain), -1)
    if flat.numel() == 0:
        return memoryview(b"")
    return memoryview(_numpy(_view(flat, _uint8)))


def _dense_strides(tensor: torch.Tensor) -> list[int] | None:
    """Strides where the tensor is a permutation of a dense block other than row-major."""
    if tensor.numel() == 0 or tensor.is_contiguous():
        return None
    expected = 1
    for stride, size in sorted(
        (st, si) for st, si in zip(tensor.stride(), tensor.shape, strict=True) if si > 1
    ):
        if stride != expected:
            return None
        expected *= size
    return list(tensor.stride())


def encode(value: Any, buffers: list[memoryview], allow_pickle: bool = False) -> Any:
    """Turn a nest of tensors, containers and scalars into JSON; tensors go to ``buffers``."""
    if isinstance(value, torch.Tensor):
        if value.dtype not in NAMES or value.layout != torch.strided:
            raise WireError(f"a tensor of dtype {value.dtype}, layout {value.layout}")
        strides = _dense_strides(value) if allow_pickle else None
        if strides is not None:
            order = sorted(range(value.dim()), key=lambda d: -value.stride(d))
            data = tensor_bytes(value.permute(order))
        else:
            data = tensor_bytes(value)
        buffers.append(data)
        return {
            "k": "t", "d": NAMES[value.dtype], "s": list(value.shape), "st": strides,
            "g": bool(allow_pickle and value.requires_grad),
        }  # fmt: skip
    if value is None or isinstance(value, (bool, str)):
        return {"k": "v", "v": value}
    if isinstance(value, int):
        return {"k": "i", "v": str(int(value))}
    if isinstance(value, float):
        return {"k": "f", "v": float(value).hex()}
    if isinstance(value, complex):
        return {"k": "c", "v": [value.real.hex(), value.imag.hex()]}
    if type(value) in (list, tuple) or isinstance(value, torch.Size):
        kind = "l" if isinstance(value, list) else "u"
        return {"k": kind, "v": [encode(v, buffers, allow_pickle) for v in value]}
    if isinstance(value, tuple):  # named tuples, torch.return_types
        return {"k": "u", "v": [encode(v, buffers, allow_pickle) for v in value]}
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {"k": "d", "v": {k: encode(v, buffers, allow_pickle) for k, v in value.items()}}
    if isinstance(value, torch.dtype):
        return {"k": "dt", "v": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"k": "dev", "v": str(value)}
    if allow_pickle:
        data = value if isinstance(value, Pickled) else pickle.dumps(value)
        buffers.append(memoryview(data))
        return {"k": "p", "n": len(data)}
    raise WireError(f"a value of type {type(value).__module__}.{type(value).__qualname__}")


def _restore(node: dict, data: memoryview) -> torch.Tensor:
    dtype = DTYPES[node["d"]]
    shape = [int(s) for s in node["s"]]
    flat = torch.empty(len(data), dtype=torch.uint8)
    if len(data):
        _numpy(flat)[:] = data
    flat = flat.view(dtype) if len(data) else torch.empty(0, dtype=dtype)
    if node.get("st"):
        strides = node["st"]
        order = sorted(range(len(shape)), key=lambda d: -strides[d])
        inverse = [order.index(d) for d in range(len(shape))]
        tensor = flat.reshape([shape[d] for d in order]).permute(inverse)
    else:
        tensor = flat.reshape(shape)
    if node.get("g"):
        tensor.requires_grad_(True)
    return tensor


def nbytes(node: dict) -> int:
    if node["k"] == "p":
        return int(node["n"])
    count = 1
    for size in node["s"]:
        if not isinstance(size, int) or size < 0:
            raise WireError("a negative or non-integer size")
        count *= size
    if node["d"] not in DTYPES:
        raise WireError(f"unknown dtype {node['d']!r}")
    return count * DTYPES[node["d"]].itemsize


class _Reader:
    def __init__(self, body: memoryview):
        self.body, self.position = body, 0

    def take(self, count: int) -> memoryview:
        start = self.position
        self.position += -(-count // _ALIGN) * _ALIGN
        if start + count > len(self.body):
            raise WireError("a message shorter than it says")
        return self.body[start : start + count]


def decode(node: Any, reader: _Reader, allow_pickle: bool = False) -> Any:
    """The inverse of `encode`."""
    try:
        kind = node["k"]
        if kind == "t":
            return _restore(node, reader.take(nbytes(node)))
        if kind == "v":
            return node["v"]
        if kind == "i":
            return int(node["v"])
        if kind == "f":
            return float.fromhex(node["v"])
        if kind == "c":
            return complex(*(float.fromhex(v) for v in node["v"]))
        if kind in ("l", "u"):
            items = [decode(v, reader, allow_pickle) for v in node["v"]]
            return items if kind == "l" else tuple(items)
        if kind == "d":
            return {k: decode(v, reader, allow_pickle) for k, v in node["v"].items()}
        if kind == "dt":
            return getattr(torch, node["v"])
        if kind == "dev":
            return torch.device(node["v"])
        if kind == "p":
            data = reader.take(nbytes(node))
            return pickle.loads(data) if allow_pickle else Pickled(data)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise WireError(f"a message that cannot be read: {error}") from error
    raise WireError(f"a message with a part of kind {kind!r}")


def pack(value: Any, allow_pickle: bool = False) -> list[memoryview | bytes]:
    """A message as the pieces to send."""
    buffers: list[memoryview] = []
    head = _dumps(encode(value, buffers, allow_pickle)).encode()
    pieces: list[memoryview | bytes] = []
    total = 0
    for buffer in buffers:
        pieces.append(buffer)
        pad = -len(buffer) % _ALIGN
        if pad:
            pieces.append(bytes(pad))
        total += len(buffer) + pad
    return [_HEAD.pack(len(head), total), head, *pieces]


def unpack(head: bytes, body: memoryview, allow_pickle: bool = False) -> Any:
    try:
        node = _loads(head)
    except ValueError as error:
        raise WireError(f"a message that is no JSON: {error}") from error
    return decode(node, _Reader(body), allow_pickle)


def send(sock: socket.socket, value: Any, allow_pickle: bool = False) -> None:
    """Send one message on a blocking socket."""
    for piece in pack(value, allow_pickle):
        if len(piece):
            sock.sendall(piece)


def _receive_exactly(
    sock: socket.socket, count: int, deadline: float | None, wait: Any
) -> memoryview:
    data = torch.empty(count, dtype=torch.uint8)  # not zero-filled, unlike a bytearray
    view = memoryview(_numpy(data)) if count else memoryview(b"")
    position = 0
    while position < count:
        if wait is not None:
            wait(deadline)
        got = sock.recv_into(view[position:])
        if got == 0:
            raise WireError("the peer has closed the connection")
        position += got
    return view


def receive(
    sock: socket.socket,
    *,
    deadline: float | None = None,
    wait: Any = None,
    max_bytes: int = 1 << 36,
    allow_pickle: bool = False,
) -> Any:
    """Receive one message. ``wait(deadline)`` blocks until the socket is readable (or raises)."""
    head_len, body_len = _HEAD.unpack(_receive_exactly(sock, _HEAD.size, deadline, wait))
    if head_len > 64 << 20 or body_len > max_bytes:
        raise WireError(f"a message of {head_len + body_len} bytes, more than {max_bytes}")
    head = _receive_exactly(sock, head_len, deadline, wait)
    body = _receive_exactly(sock, body_len, deadline, wait)
    return unpack(bytes(head), body, allow_pickle)


def seconds_left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
