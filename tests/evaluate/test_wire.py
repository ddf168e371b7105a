"""Messages between judge and workers: round trips, and what a hostile peer may send."""

from __future__ import annotations

import json
import socket
import struct
import threading

import pytest
import torch

from kernelmill.evaluate import wire

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64,
          torch.int64, torch.int32, torch.uint8, torch.bool]  # fmt: skip


def there_and_back(value, allow_pickle=False):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=wire.send, args=(ours, value, allow_pickle))
        sender.start()
        result = wire.receive(theirs, allow_pickle=allow_pickle)
        sender.join()
    return result


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (7,), (3, 5), (2, 3, 4, 5)])
def test_tensors_arrive_bit_for_bit(dtype, shape):
    tensor = (torch.randn(shape) * 3).to(dtype)
    got = there_and_back(tensor)
    assert got.dtype == dtype and got.shape == tensor.shape
    assert wire.tensor_bytes(got) == wire.tensor_bytes(tensor)


def test_nan_payloads_and_infinities_arrive():
    tensor = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, 1e-45])
    assert wire.tensor_bytes(there_and_back(tensor)) == wire.tensor_bytes(tensor)


def test_dense_strides_are_kept_towards_a_worker():
    tensor = torch.randn(3, 4, 5).permute(2, 0, 1)
    got = there_and_back(tensor, allow_pickle=True)
    assert got.stride() == tensor.stride() and torch.equal(got, tensor)
    assert there_and_back(tensor).is_contiguous()


def test_containers_and_scalars():
    value = {"a": [1, 2.5, None, True, "x"], "b": (float("inf"), 3 + 4j, 10**30), "c": {}}
    assert there_and_back(value) == value
    got = there_and_back(torch.max(torch.randn(3, 4), 1))
    assert isinstance(got, tuple) and len(got) == 2


def test_objects_are_refused_by_the_untrusted_side():
    with pytest.raises(wire.WireError, match="slice"):
        wire.pack({"x": slice(1)})


def test_a_pickle_passes_through_unopened():
    got = wire.unpack(*_packed({"x": slice(1)}))
    assert isinstance(got["x"], wire.Pickled)


def _packed(value):
    pieces = wire.pack(value, allow_pickle=True)
    return pieces[1], memoryview(b"".join(bytes(p) for p in pieces[2:]))


@pytest.mark.parametrize(
    "head",
    [b"{", b"[]", b"3", b'{"k": "t"}', b'{"k": "t", "d": "float32", "s": [-4]}',
     b'{"k": "t", "d": "object", "s": [4]}', b'{"k": "t", "d": "float32", "s": [4]}',
     b'{"k": "zzz"}', b'{"k": "d", "v": [1]}', b'{"k": "i", "v": "abc"}'],
)  # fmt: skip
def test_malformed_heads_are_wire_errors(head):
    with pytest.raises(wire.WireError):
        wire.unpack(head, memoryview(b""))


def test_a_message_larger_than_allowed_is_refused_before_memory_is_taken():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(struct.pack("<QQ", 2, 1 << 60) + b"{}")
        with pytest.raises(wire.WireError, match="more than"):
            wire.receive(theirs)


def test_a_closed_peer_is_a_wire_error():
    ours, theirs = socket.socketpair()
    ours.sendall(struct.pack("<QQ", 10, 0) + json.dumps({}).encode())
    ours.close()
    with theirs, pytest.raises(wire.WireError, match="closed"):
        wire.receive(theirs)
