"""What a prompt says of each backend."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Platform:
    """``kernels`` ends the sentence "give the same answer faster, by"; ``name`` the sentence
    "write the file"; ``rules`` are the backend's own, ``advice`` goes with facts on hardware."""

    kernels: str
    name: str
    rules: tuple[str, ...] = ()
    advice: str = ""


PLATFORMS = {
    "cpp": Platform(
        "writing C++ kernels for the CPU",
        "with C++ kernels",
        (
            "C++ is compiled by `from kernelmill.backends.cpp import compile_cpp`: "
            '`library = compile_cpp(SOURCE)` gives a `ctypes.CDLL` of its `extern "C"` functions, '
            "built with g++ -O3 -march=native -fopenmp; no torch headers. "
            "`torch.utils.cpp_extension.load_inline` may be used instead.",
            "Set `argtypes` and `restype`; pass `tensor.data_ptr()` of contiguous tensors.",
        ),
        "Use all threads by OpenMP, vectors by `#pragma omp simd` over contiguous data, blocks "
        "that stay in the caches, and as few passes over memory as possible.",
    ),
    "triton": Platform(
        "writing Triton kernels",
        "with Triton kernels",
        (
            "Mask every access beyond the end; block sizes are powers of two and `tl.constexpr`.",
            "Tensors are on the device of the inputs; allocate outputs with `torch.empty_like` or "
            "`x.new_empty`.",
        ),
        "Keep what is used twice in registers, make accesses of neighbouring lanes neighbours, "
        "and use `tl.dot` for products of matrices.",
    ),
    "cuda": Platform(
        "writing CUDA C++ kernels",
        "with CUDA kernels",
        (
            "Compile with `torch.utils.cpp_extension.load_inline` (cpp_sources, cuda_sources, "
            "functions).",
            "Guard every access, launch on the current stream, and check for contiguous inputs.",
        ),
        "Make accesses coalesced, use shared memory for what is used twice, and vector loads.",
    ),
    "pallas": Platform(
        "writing Pallas kernels for a TPU",
        "with Pallas kernels",
        (
            "Kernels are `jax.experimental.pallas.pallas_call`s with "
            "`interpret=interpret()`; `from kernelmill.backends.pallas import interpret, to_jax, "
            "to_torch` turns tensors into arrays and back.",
            "Blocks that do not divide a size have to be padded or masked.",
        ),
        "Blocks are multiples of (8, 128) and fit the vector memory; the matrix unit is 128 x 128.",
    ),
    "opencl": Platform(
        "writing OpenCL kernels",
        "with OpenCL kernels",
        (
            "`from kernelmill.backends.opencl import compile_opencl` compiles OpenCL C; the "
            "example shows how a kernel is called.",
            "Guard every access beyond the end of the data.",
        ),
        "Work-items of a group should touch neighbouring data.",
    ),
    "ascendc": Platform(
        "writing an Ascend C operator for the NPU",
        "as an Ascend C operator project",
        (
            "The file defines six strings: `project_json_src`, `host_tiling_src`, "
            "`host_operator_src`, `kernel_src`, `python_bind_src` and `model_src`; the last one "
            "defines `ModelNew`.",
            "Names of the operator agree in all of them.",
        ),
        "Copy blocks between global and local memory with double buffering; sizes are aligned to "
        "32 bytes.",
    ),
    "torch": Platform(
        "rewriting it with PyTorch's own operators",
        "in plain PyTorch",
    ),
    "inductor": Platform(
        "rewriting it so that torch.compile makes good kernels of it",
        "with torch.compile",
        ("Call `torch.compile` on what is to be compiled, once, in the constructor.",),
    ),
}


def platform(backend: str) -> Platform:
    """What to say of a backend; little of one that somebody else has added."""
    return PLATFORMS.get(backend, Platform(f"writing kernels for {backend}", f"for {backend}"))
