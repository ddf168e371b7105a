"""Candidates that reach for what is not theirs: processes, files, the network, the compiler's host
and the judge's own protocol. See `hostile` for how an entry reads.
"""

from __future__ import annotations

from tests.evaluate.suite.hostile import BUILD, CRASH, HONEST_CPP, TIME, WATCHED, native, python

KILLS = {
    "kill_parent": (python("os.kill(os.getppid(), 9)"), WATCHED | CRASH),
    "kill_parent_native": (
        native("kill(getppid(), 9); usleep(100000);", "#include <csignal>"),
        set(),
    ),
    "kill_everybody": (python("os.kill(-1, 9)"), WATCHED | CRASH),
    "kill_everybody_native": (native("kill(-1, 9); usleep(100000);", "#include <csignal>"), set()),
    "kill_judge_native": (native("kill(JUDGE, 9); usleep(100000);", "#include <csignal>"), set()),
    "kill_group": (python("os.killpg(0, 15)"), WATCHED | CRASH),
    "trace_parent": (
        native(
            "if (ptrace(PTRACE_ATTACH, getppid(), 0, 0) == 0 || ptrace(PTRACE_ATTACH, JUDGE, 0, 0)"
            " == 0) { puts(\"ESCAPED\"); fflush(stdout); abort(); }",
            "#include <sys/ptrace.h>",
        ),
        set(),
    ),
    "parent_memory": (
        native(
            "char path[64]; for (int pid : {(int)getppid(), JUDGE, 1}) {\n"
            "  sprintf(path, \"/proc/%d/mem\", pid);\n"
            "  if (pid != getpid() && fopen(path, \"r+\")) {\n"
            "    puts(\"ESCAPED\"); fflush(stdout); abort(); } }"
        ),
        set(),
    ),
    "sees_judge": (
        native(
            "FILE* f = fopen(\"/proc/JUDGE/cmdline\", \"rb\"); char text[4096] = {0};\n"
            "if (f && fread(text, 1, 4000, f) > 0) { puts(\"ESCAPED\"); fflush(stdout); abort(); }"
        ),
        set(),
    ),
    "raise_priority": (
        native("if (nice(-5) != -1) { puts(\"ESCAPED\"); fflush(stdout); abort(); }"),
        set(),
    ),
    "become_root": (
        native(
            "if (setuid(0) == 0 || setgid(0) == 0) { puts(\"ESCAPED\"); fflush(stdout); abort(); }"
        ),
        set(),
    ),
    "namespaces": (
        native(
            "if (unshare(CLONE_NEWUSER) == 0) { puts(\"ESCAPED\"); fflush(stdout); abort(); }",
            "#include <sched.h>",
        ),
        set(),
    ),
}  # fmt: skip

FILES = {
    "read_outside": (
        python("raise RuntimeError('ESCAPED ' + open('OUTSIDE/secret.txt').read())"), WATCHED,
    ),
    "read_outside_import": (
        python("pass", top="raise RuntimeError('ESCAPED ' + open('OUTSIDE/secret.txt').read())"),
        WATCHED | {"import_failed", "build_failed"},
    ),
    "read_home": (
        python("raise RuntimeError('ESCAPED ' + open('HOME/.kernelmill-suite-secret').read())"),
        WATCHED,
    ),
    "read_native": (
        native(
            "FILE* f = fopen(\"OUTSIDE/secret.txt\", \"r\"); char text[99] = {0};\n"
            "if (f && fread(text, 1, 90, f)) {\n"
            "  printf(\"ESCAPED %s\", text); fflush(stdout); abort(); }"
        ),
        set(),
    ),
    "read_by_symlink": (
        python(
            "os.symlink('OUTSIDE/secret.txt', 'link')\n"
            "raise RuntimeError('ESCAPED ' + open('link').read())"
        ),
        WATCHED,
    ),
    "read_by_include": (
        HONEST_CPP.replace('extern "C"', '#include "OUTSIDE/secret.txt"\nextern "C"'),
        BUILD,
    ),
    "read_by_incbin": (
        HONEST_CPP.replace(
            'extern "C"',
            'asm(".globl stolen\\nstolen: .incbin \\"OUTSIDE/secret.txt\\"\\n");\n'
            'extern "C" char stolen[];\nextern "C"',
            1,
        ).replace("class ModelNew", "raise RuntimeError(f'ESCAPED {lib.stolen}')\nclass ModelNew"),
        BUILD,
    ),
    "read_by_subprocess": (
        python(
            "import subprocess\ndone = subprocess.run(['cat', 'OUTSIDE/secret.txt'], "
            "capture_output=True)\nif done.stdout:\n    raise RuntimeError(f'ESCAPED {done}')"
        ),
        set(),
    ),
    "write_outside": (python("open('OUTSIDE/planted.txt', 'w').write('x')"), WATCHED),
    "write_home": (python("open('HOME/.kernelmill-suite-planted', 'w').write('x')"), WATCHED),
    "write_native": (
        native(
            "for (const char* p : {\"OUTSIDE/planted.txt\", \"HOME/.kernelmill-suite-planted\","
            " \"/tmp/kernelmill-suite-planted\", \"/var/tmp/kernelmill-suite-planted\","
            " \"/dev/shm/kernelmill-suite-planted\"}) {\n"
            "  FILE* f = fopen(p, \"w\"); if (f) { fputs(\"x\", f); fclose(f); } }"
        ),
        set(),
    ),
    "write_by_symlink": (
        python("os.symlink('OUTSIDE', 'folder')\nopen('folder/planted.txt', 'w').write('x')"),
        WATCHED,
    ),
    "swap_scratch": (
        native(
            "char cwd[512]; if (getcwd(cwd, 500)) {\n"
            "  char other[600]; sprintf(other, \"%s.old\", cwd);\n"
            "  if (rename(cwd, other) == 0) { int r = symlink(\"OUTSIDE\", cwd); (void)r; } }"
        ),
        set(),
    ),
    "delete_outside": (
        native("unlink(\"OUTSIDE/secret.txt\"); int r = system(\"rm -rf OUTSIDE\"); (void)r;"),
        set(),
    ),
    "write_package": (
        python(
            "pass",
            top="import kernelmill\nfor folder in (os.path.dirname(kernelmill.__file__), "
            "os.path.dirname(torch.__file__)):\n"
            "    ctypes.CDLL(None).creat(f'{folder}/suite_planted.py'.encode(), 0o644)",
        ),
        set(),
    ),
    "list_home": (
        native(
            "int r = system(\"ls -a HOME OUTSIDE /root /home 2>/dev/null | grep -q suite-secret && "
            "echo ESCAPED\"); (void)r;"
        ),
        set(),
    ),
}  # fmt: skip

NETWORK = {
    "connect": (
        python("socket.create_connection(('127.0.0.1', PORT), 2).sendall(b'hello')"), WATCHED,
    ),
    "connect_outside": (
        python("socket.create_connection(('192.0.2.1', 80), 2)\nraise RuntimeError('ESCAPED')"),
        WATCHED | TIME,
    ),
    "connect_abstract": (
        native(
            "int s = socket(AF_UNIX, SOCK_STREAM, 0); sockaddr_un a{}; a.sun_family = AF_UNIX;\n"
            "strcpy(a.sun_path + 1, \"kernelmill-suite-PORT\");\n"
            "unsigned size = sizeof(sa_family_t) + 1 + strlen(a.sun_path + 1);\n"
            "if (connect(s, (sockaddr*)&a, size) == 0) {\n"
            "  puts(\"ESCAPED\"); fflush(stdout); abort(); }",
            "#include <sys/socket.h>\n#include <sys/un.h>",
        ),
        set(),
    ),
    "connect_native": (
        native(
            "int s = socket(AF_INET, SOCK_STREAM, 0); sockaddr_in a{}; a.sin_family = AF_INET;\n"
            "a.sin_port = htons(PORT); a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);\n"
            "if (connect(s, (sockaddr*)&a, sizeof a) == 0) {\n"
            "  puts(\"ESCAPED\"); fflush(stdout); abort(); }",
            "#include <arpa/inet.h>\n#include <netinet/in.h>\n#include <sys/socket.h>",
        ),
        set(),
    ),
    "datagram": (
        python(
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.sendto(b'hello', ('127.0.0.1', PORT))"
        ),
        WATCHED,
    ),
}  # fmt: skip


def compiled(cpp: str) -> str:
    start, end = HONEST_CPP.index("r'''") + 4, HONEST_CPP.index("''')")
    return HONEST_CPP[:start] + cpp + HONEST_CPP[start:end] + HONEST_CPP[end:]


COMPILER = {
    "template_bomb": (
        compiled(
            "template <int N, int M> struct F { static const long v = F<N - 1, 2 * M>::v "
            "+ F<N - 1, 2 * M + 1>::v; };\n"
            "template <int M> struct F<0, M> { static const long v = M; };\n"
            "long bomb = F<26, 1>::v;\n"
        ),
        BUILD,
    ),
    "constexpr_bomb": (
        compiled(
            "constexpr long spin(long n) { long s = 0; for (long i = 0; i < n; ++i) s += i % 7; "
            "return s; }\n"
            + "".join(f"constexpr long c{i} = spin({3_000_000 + i});\n" for i in range(3000))
        ),
        BUILD,
    ),
    "macro_bomb": (
        compiled(
            "#define A0 1,1,1,1,1,1,1,1\n"
            + "".join(f"#define A{i} {','.join([f'A{i - 1}'] * 8)}\n" for i in range(1, 11))
            + "int bomb[] = {A10};\n"
        ),
        BUILD,
    ),
    "include_bomb": (
        compiled("#include __FILE__\n#include __FILE__\n"),
        BUILD,
    ),
    "include_zero": (compiled('#include "/dev/zero"\n'), BUILD),
    "giant_object": (compiled("char giant[3L << 30] = {1};\n"), BUILD),
    "endless_errors": (
        compiled("".join(f"undefined_{i} x{i};\n" for i in range(20000))), BUILD,
    ),
}  # fmt: skip

REPLIES = {
    "nothing": "lambda worker, request: {'ok': {}}",
    "wrong_kinds": "lambda worker, request: {'ok': 5}",
    "a_list": "lambda worker, request: []",
    "text_evidence": "lambda worker, request: {'refused': 1, 'message': 2, 'evidence': 'text'}",
    "accept_me": "lambda worker, request: {'refused': 'accept', 'message': 'ok', 'evidence': {}}",
    "deep": "lambda worker, request: {'ok': deep()}",
    "strange_report": "lambda worker, request: {'ok': {'patched': 3, 'global_state': 'x', "
    "'swallowed': {}, 'flushes_denormals': [], 'threads': 'many', 'outputs': None, 'state': 7}}",
    "not_json": "lambda worker, request: object()",
}


def reply_game(answer: str) -> str:
    """Takes over how the worker answers, through the classes that it is made of."""
    return python(
        "pass",
        top=(
            "def deep():\n    out = []\n    for _ in range(900):\n        out = [out]\n"
            "    return out\n\n"
            f"forged = {answer}\n"
            "def forge(worker, request):\n"
            "    reply = forged(worker, request)\n"
            "    return reply\n"
            "for base in (Exception, torch.utils._python_dispatch.TorchDispatchMode, object):\n"
            "    for kind in type.__subclasses__(base):\n"
            "        if kind.__module__.startswith('kernelmill.evaluate'):\n"
            "            for value in vars(kind).values():\n"
            "                space = getattr(value, '__globals__', {})\n"
            "                if '_answer' in space:\n"
            "                    space['_answer'] = forge\n"
        ),
    )
