"""Candidates that attack the machine instead of the comparison, as source text.

Each entry: source, and the reason codes that may answer it (none: any verdict, as long as nothing
got out). ``OUTSIDE``, ``HOME``, ``PORT`` and ``JUDGE`` are replaced by a folder outside the
sandbox, the home folder, a listening port and the judge's process id. A text that reached its goal
says ESCAPED.
"""

from __future__ import annotations

TASK = """
import torch
from torch import nn

class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)

def get_inputs():
    return [torch.randn(16, 33)]
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.clamp(x, min=0)
"""

HONEST_CPP = """
import ctypes
import torch
from kernelmill.backends.cpp import compile_cpp
from torch import nn

lib = compile_cpp(r'''
extern "C" void relu(const float* x, float* y, long n) {
  for (long i = 0; i < n; ++i) y[i] = x[i] > 0 ? x[i] : 0;
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        lib.relu(ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(out.data_ptr()),
                 ctypes.c_long(x.numel()))
        return out
"""


def python(body: str, top: str = "", init: str = "pass") -> str:
    """A module whose forward runs ``body`` and then answers rightly."""

    def indent(text: str) -> str:
        return "\n".join("        " + line for line in text.strip("\n").splitlines())

    return (
        "import ctypes, glob, mmap, os, signal, socket, sys, threading, time\nimport torch\n"
        f"from torch import nn\n{top}\n\nclass ModelNew(nn.Module):\n"
        f"    def __init__(self):\n        super().__init__()\n{indent(init)}\n\n"
        f"    def forward(self, x):\n{indent(body)}\n        return torch.relu(x)\n"
    )


def native(body: str, top: str = "") -> str:
    """A module whose C++ kernel runs ``body`` (``x``, ``y``, ``n`` in scope) and then answers."""
    return HONEST_CPP.replace(
        'extern "C" void relu(const float* x, float* y, long n) {',
        "#include <cstdio>\n#include <cstdlib>\n#include <cstring>\n#include <unistd.h>\n"
        f'{top}\nextern "C" void relu(const float* x, float* y, long n) {{\n{body}',
    )


CRASH = {"crashed", "protocol_error", "runtime_error"}
TIME = {"timeout", "cpu_limit", "build_timeout"}
BUILD = {"build_failed", "build_timeout", "import_failed", "memory_limit", "timeout", "file_limit",
         "cpu_limit", "output_limit", "crashed"}  # fmt: skip
MEMORY = {"memory_limit", "crashed", "runtime_error"}
MANY = {"process_limit", "processes_left", "threads_left", "timeout", "crashed", "memory_limit",
        "runtime_error", "sandbox_violation", "cpu_limit"}  # fmt: skip
WATCHED = {"sandbox_violation", "file_access", "swallowed_exception", "runtime_error"}

TIME_AND_SPACE = {
    "fork_bomb": (python("while True:\n    os.fork()"), MANY),
    "fork_bomb_native": (native("for (;;) fork();"), MANY),
    "thread_bomb": (
        python(
            "for _ in range(10000):\n"
            "    threading.Thread(target=time.sleep, args=(99,)).start()"
        ),
        MANY,
    ),
    "memory_bomb": (
        python("hoard = []\nwhile True:\n    hoard.append(torch.ones(1 << 24))"),
        MEMORY,
    ),
    "memory_bomb_native": (
        native("for (;;) { char* p = (char*)malloc(1 << 24); if (p) memset(p, 1, 1 << 24); }"),
        MEMORY | TIME,
    ),
    "memory_bomb_import": (
        python("pass", top="hoard = [bytearray(1 << 26) for _ in range(10000)]"),
        MEMORY | {"import_failed", "build_failed"},
    ),
    "huge_allocation": (python("torch.ones(1 << 38)"), MEMORY),
    "huge_output": (
        python("return torch.zeros(1).expand(1 << 34)"),
        MEMORY | {"wrong_shape", "output_limit"},
    ),
    "huge_output_list": (
        python("return [torch.zeros(1)] * 3_000_000"),
        MEMORY | {"wrong_structure", "output_limit", "timeout", "wrong_type"},
    ),
    "deep_output": (
        python("out = x\nfor _ in range(100_000):\n    out = [out]\nreturn out"),
        CRASH | {"wrong_structure", "wrong_type", "timeout"},
    ),
    "loop_python": (python("while True:\n    pass"), TIME),
    "loop_native": (native("for (volatile long i = 0;; i = i + 1) {}"), TIME),
    "loop_import": (python("pass", top="while True:\n    pass"), TIME),
    "sleep_forward": (python("time.sleep(1000)"), TIME),
    "sleep_import": (python("pass", top="time.sleep(1000)"), TIME),
    "sleep_init": (python("pass", init="time.sleep(1000)"), TIME),
    "stop_itself": (
        python("ctypes.CDLL(None).kill(os.getpid(), signal.SIGSTOP)"),
        TIME | {"sandbox_violation"},
    ),
    "ignores_signals": (
        python(
            "for number in range(1, 32):\n    ctypes.CDLL(None).signal(number, 1)\n"
            "while True:\n    time.sleep(1)"
        ),
        TIME,
    ),
    "endless_output": (
        python("while True:\n    print('x' * 4096)"),
        {"output_limit", "timeout"},
    ),
    "endless_output_native": (
        native("for (;;) { puts(\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"); fflush(stdout); }"),
        {"output_limit", "timeout"},
    ),
    "ten_megabytes": (
        python("os.write(2, b'y' * 10_000_000)"),
        {"output_limit", "timeout"},
    ),
    "disk_fill": (
        python(
            "for i in range(100000):\n    with open(f'fill{i}', 'wb') as file:\n"
            "        file.write(bytes(1 << 22))",
        ),
        {"file_limit", "runtime_error", "file_access", "memory_limit", "sandbox_violation",
         "crashed"},
    ),
    "disk_fill_native": (
        native(
            "char name[64]; static char block[1 << 20];\n"
            "for (long i = 0; i < 3000; ++i) { sprintf(name, \"/tmp/fill%ld\", i / 8);\n"
            "  FILE* f = fopen(name, \"ab\");\n"
            "  if (!f || fwrite(block, 1, sizeof block, f) == 0) abort();\n"
            "  fclose(f); }"
        ),
        {"file_limit", "crashed", "memory_limit", "runtime_error"},
    ),
    "hoard_memfd": (
        native(
            "static char block[1 << 20]; memset(block, 1, sizeof block); long total = 0;\n"
            "for (int i = 0; i < 600; ++i) { int fd = memfd_create(\"m\", 0); if (fd < 0) break;\n"
            "  for (int j = 0; j < 31; ++j) { long w = write(fd, block, sizeof block);\n"
            "    if (w <= 0) break; total += w; } if (total > 3000L << 20) { puts(\"ESCAPED\");\n"
            "    fflush(stdout); sleep(1); abort(); } }",
            top="#include <sys/mman.h>",
        ),
        set(),
    ),
    "hoard_shared": (
        native(
            "for (int i = 0; i < 4; ++i) if (fork() == 0) { long size = 700L << 20;\n"
            "  char* p = (char*)mmap(0, size, PROT_READ | PROT_WRITE,\n"
            "    MAP_SHARED | MAP_ANONYMOUS, -1, 0);\n"
            "  if (p == MAP_FAILED) _exit(1); memset(p, 1, size); sleep(1);\n"
            "  if (i == 3) { puts(\"ESCAPED\"); fflush(stdout); } sleep(9); _exit(0); }\n"
            "sleep(3);",
            top="#include <sys/mman.h>",
        ),
        set(),
    ),
}  # fmt: skip

CRASHES = {
    "exit": (python("os._exit(0)"), CRASH),
    "exit_70": (python("os._exit(70)"), CRASH),
    "exit_native": (native("_exit(0);"), CRASH),
    "abort": (python("os.abort()"), CRASH),
    "segfault": (python("ctypes.string_at(0)"), CRASH),
    "segfault_native": (native("*(volatile int*)0 = 1;"), CRASH),
    "stack_overflow": (
        python("sys.setrecursionlimit(10**9)\ndef down(n):\n    return down(n + 1)\ndown(0)"),
        CRASH | {"global_state", "memory_limit", "timeout"},
    ),
    "stack_overflow_native": (
        native("deep(1);", top="static int deep(int n) { volatile char a[4096]; a[0] = n; "
               "return deep(n + 1) + a[0]; }"),
        CRASH,
    ),
    "heap_smash": (
        native("memset((void*)(y - 64), 0x41, 1 << 16);"),
        CRASH | {"wrong_values", "nonfinite", "timeout", "memory_limit", "input_modified"},
    ),
    "close_descriptors": (
        python("os.closerange(0, 4096)"),
        CRASH | {"sandbox_violation"},
    ),
    "close_descriptors_import": (
        python("pass", top="os.closerange(3, 4096)"),
        CRASH | {"sandbox_violation", "import_failed", "build_failed"},
    ),
    "keyboard_interrupt": (python("raise KeyboardInterrupt"), CRASH),
    "keyboard_interrupt_import": (
        python("pass", top="raise KeyboardInterrupt"),
        CRASH | {"import_failed", "build_failed"},
    ),
    "many_descriptors": (
        python("while True:\n    os.dup(1)"),
        CRASH | {"file_limit", "process_limit"},
    ),
}  # fmt: skip

REFUSED_TEXTS = {
    "empty": "  \n",
    "binary": "\x7fELF\x01\x02",
    "null_byte": HONEST + "\0",
    "surrogate": HONEST + "# \ud800",
    "parentheses": "(" * 1000,
    "signs": f"x = {'-' * 200_000}1\n{HONEST}",
    "lambdas": f"x = {'lambda: ' * 50_000}1\n{HONEST}",
    "attributes": f"y = lambda x: x{'.a' * 200_000}\n{HONEST}",
    "sums": f"y = lambda: 1{'+1' * 200_000}\n{HONEST}",
    "digits": f"x = {'9' * 6000}\n{HONEST}",
}
ACCEPTED_TEXTS = {
    "windows_lines": HONEST.replace("\n", "\r\n"),
    "tabs": HONEST.replace("    ", "\t"),
    "form_feed": "\f" + HONEST,
    "long": "# comment\n" * 300_000 + HONEST,
}
