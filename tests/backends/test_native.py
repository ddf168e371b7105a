"""The just-in-time C++ compiler: cache, errors, OpenMP."""

from __future__ import annotations

import pytest
import torch

from kernelmill.backends import native
from kernelmill.backends.base import BuildError
from kernelmill.backends.native import compile_cpp

SOURCE = 'extern "C" int answer() { return 42; }'


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELMILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_source_is_compiled_once(cache, monkeypatch):
    assert compile_cpp(SOURCE).answer() == 42
    monkeypatch.setattr(native, "_build", lambda *a: pytest.fail("compiled again"))
    assert compile_cpp(SOURCE).answer() == 42
    assert [path.suffix for path in cache.iterdir()] == [".so"]


def test_flags_and_fast_math_are_part_of_the_key(cache):
    flag = 'extern "C" int flag() {\n#ifdef %s\nreturn 1;\n#else\nreturn 0;\n#endif\n}'
    assert compile_cpp(flag % "FLAG").flag() == 0
    assert compile_cpp(flag % "FLAG", flags=["-DFLAG"]).flag() == 1
    assert compile_cpp(flag % "__FAST_MATH__").flag() == 0
    assert compile_cpp(flag % "__FAST_MATH__", fast_math=True).flag() == 1


@pytest.mark.parametrize("damage", [b"", b"not a library", None])
def test_a_damaged_cache_entry_is_built_anew(cache, damage):
    compile_cpp(SOURCE, name="damaged")
    (path,) = cache.iterdir()
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2] if damage is None else damage)
    assert compile_cpp(SOURCE, name="damaged").answer() == 42


def test_a_name_is_made_a_file_name(cache):
    compile_cpp(SOURCE, name="a/b c")
    assert next(cache.iterdir()).name.startswith("a_b_c-")


def test_refused_text_shows_the_compilers_words():
    with pytest.raises(BuildError, match=r"kernel.cpp:1.*error: expected"):
        compile_cpp("int x = ;")


def test_no_compiler_names_the_one_that_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(BuildError, match="g\\+\\+"):
        compile_cpp(SOURCE)


def test_a_cache_that_cannot_be_written_falls_back_to_a_temporary_folder(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("KERNELMILL_CACHE", str(blocked / "cache"))
    monkeypatch.setattr(native.tempfile, "gettempdir", lambda: str(tmp_path))
    assert compile_cpp(SOURCE).answer() == 42


@pytest.mark.parametrize(("arguments", "name"), [((3,), "source"), ((SOURCE,), "flags")])
def test_wrong_types_name_the_argument(arguments, name):
    with pytest.raises(TypeError, match=name):
        compile_cpp(*arguments, flags="-O1")


def test_openmp_obeys_the_number_of_threads_of_torch():
    library = compile_cpp(
        'extern "C" int threads() { int n = 0;\n#pragma omp parallel\n'
        "{\n#pragma omp atomic\nn += 1;\n}\nreturn n; }"
    )
    before = torch.get_num_threads()
    try:
        for wanted in (1, 2):
            torch.set_num_threads(wanted)
            assert library.threads() == wanted
    finally:
        torch.set_num_threads(before)
