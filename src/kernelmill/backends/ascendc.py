"""Backend ``ascendc``: Ascend C operators for Huawei's NPUs, built by the CANN toolkit.

A candidate is a Python file with six strings, as in MultiKernelBench (`ascendc_source`). The build
makes an operator project by ``msopgen``, puts the texts in their places, compiles and installs the
operator into the candidate's own folder, and compiles the binding. Candidates are checked for
agreement of the six texts on any machine; they are built where the toolkit is.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kernelmill.backends.ascendc_source import EXTENSION, Operator, read
from kernelmill.backends.base import Availability, BuildError, BuildSpec
from kernelmill.backends.python_source import build_python, shorten

HOMES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
DEFAULT_HOME = Path("/usr/local/Ascend/ascend-toolkit/latest")
SOC = "Ascend910B2"  # that of the paper's figures; KERNELMILL_ASCEND_SOC names another
BUILD_S = 600

# The macro EXEC_NPU_CMD comes with torch_npu; where it lies depends on the version.
HELPER = """\
#pragma once
#if __has_include(<op_plugin/utils/op_api_common.h>)
#include <op_plugin/utils/op_api_common.h>
#elif __has_include(<third_party/op-plugin/op_plugin/utils/op_api_common.h>)
#include <third_party/op-plugin/op_plugin/utils/op_api_common.h>
#else
#error "torch_npu has no op_api_common.h: EXEC_NPU_CMD is not defined"
#endif
"""
SETUP = f"""\
from setuptools import setup
from torch.utils.cpp_extension import BuildExtension
from torch_npu.utils.cpp_extension import NpuExtension

setup(
    name="{EXTENSION}",
    ext_modules=[
        NpuExtension("{EXTENSION}", ["csrc/op.cpp"], include_dirs=["csrc"],
                     extra_compile_args=["-O2"])
    ],
    cmdclass={{"build_ext": BuildExtension}},
)
"""


@dataclass(frozen=True)
class Command:
    """A step of the build: what it is called in messages, its words, and where it runs."""

    step: str
    words: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Project:
    """A candidate's files below ``root``, and the commands that turn them into an extension."""

    root: Path
    operator: Operator
    parts: Mapping[str, str]
    soc: str = SOC

    @property
    def folder(self) -> Path:
        """What ``msopgen`` makes."""
        return self.root / self.operator.name

    @property
    def binding(self) -> Path:
        return self.root / "binding"

    @property
    def packages(self) -> Path:
        """Where the operator is installed: below the candidate's folder, never machine-wide."""
        return self.root / "opp"

    @property
    def vendor(self) -> Path:
        return self.packages / "vendors" / "customize"

    def declare(self) -> Command:
        """Write the declaration; the command that makes the project's frame of it."""
        self.root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        file = self.root / f"{self.operator.file}.json"
        file.write_text(self.parts["project_json_src"], encoding="utf-8")
        words = ("msopgen", "gen", "-i", file.name, "-c", f"ai_core-{self.soc}", "-lan", "cpp",
                 "-out", self.operator.name)  # fmt: skip
        return Command("msopgen", words, self.root)

    def write(self) -> None:
        """Put the texts in their places; needs the frame."""
        places = {
            self.folder / "op_host" / f"{self.operator.file}_tiling.h": "host_tiling_src",
            self.folder / "op_host" / f"{self.operator.file}.cpp": "host_operator_src",
            self.folder / "op_kernel" / f"{self.operator.file}.cpp": "kernel_src",
            self.binding / "csrc" / "op.cpp": "python_bind_src",
        }
        for path, part in places.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.parts[part], encoding="utf-8")
        (self.binding / "csrc" / "pytorch_npu_helper.hpp").write_text(HELPER, encoding="utf-8")
        (self.binding / "setup.py").write_text(SETUP, encoding="utf-8")

    def compile(self) -> Command:
        return Command("operator", ("bash", "build.sh"), self.folder)

    def install(self) -> Command:
        """The installer that compiling leaves behind.

        Raises:
            BuildError: there is none.
        """
        found = sorted((self.folder / "build_out").glob("custom_opp_*.run"))
        if not found:
            raise BuildError("operator: build.sh ended well but left no build_out/custom_opp_*.run")
        words = ("bash", str(found[0]), "--quiet", f"--install-path={self.packages}")
        return Command("install", words, found[0].parent)

    def bind(self) -> Command:
        return Command("binding", (sys.executable, "setup.py", "build_ext", "--inplace"),
                       self.binding)  # fmt: skip

    def commands(self) -> Iterator[Command]:
        """The steps in order, each to be run before the next is asked for."""
        yield self.declare()
        self.write()
        yield self.compile()
        yield self.install()
        yield self.bind()


def toolkit(environment: Mapping[str, str] = os.environ) -> tuple[Path | None, str]:
    """Home of the CANN toolkit and path of its ``msopgen``; ``(None, reason)`` where it is not."""
    homes = [Path(environment[name]) for name in HOMES if environment.get(name)] or [DEFAULT_HOME]
    home = next((path for path in homes if path.is_dir()), None)
    if home is None:
        looked = ", ".join(map(str, homes))
        return None, (
            f"toolkit not found: no CANN toolkit at {looked}; install it and source its "
            f"set_env.sh, or set {HOMES[0]}"
        )
    path = os.pathsep.join(
        [str(home / "python" / "site-packages" / "bin"), str(home / "bin"),
         environment.get("PATH", "")]
    )  # fmt: skip
    found = shutil.which("msopgen", path=path)
    if found is None:
        return None, f"toolkit not found: {home} has no msopgen, which makes operator projects"
    return home, found


class AscendCBackend:
    """Checks everywhere; builds with the CANN toolkit and runs on an NPU by ``torch_npu``."""

    name = "ascendc"
    brings_kernel = True
    device = "npu"
    devices = ("davinci", "hisi_hdc", "devmm_svm")

    def available(self) -> Availability:
        home, found = toolkit()
        if home is None:
            return Availability(False, found, can_time=False)
        if importlib.util.find_spec("torch_npu") is None:
            reason = f"CANN is at {home}, but torch_npu is not installed: pip install torch_npu"
            return Availability(False, reason, can_time=False)
        if not any(Path("/dev").glob("davinci[0-9]*")):
            reason = f"CANN is at {home}, but there is no NPU (/dev/davinci0)"
            return Availability(False, reason, can_time=False)
        return Availability(True, version=_version(home))

    def environment(self) -> dict[str, str]:
        kept = ("ASCEND", "ATB_", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "KERNELMILL_ASCEND")
        return {k: v for k, v in os.environ.items() if k.startswith(kept)}

    def prepare(self) -> None:
        import torch_npu  # noqa: F401 (registers the device)

    def screened(self, source: str) -> tuple[str, list[str]]:
        parts, _, problems = read(source)
        return parts.get("model_src", ""), problems

    def build(self, source: str, workdir: Path, spec: BuildSpec) -> type:
        project = plan(source, workdir)
        home, found = toolkit()
        if home is None:
            raise BuildError(found)
        run(project, Path(found))
        vendor = project.vendor
        os.environ["ASCEND_CUSTOM_OPP_PATH"] = str(vendor)
        for library in sorted((vendor / "op_api" / "lib").glob("libcust_opapi.so")):
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        sys.path.insert(0, str(project.binding))
        try:
            return build_python(project.parts["model_src"], workdir)
        finally:
            sys.path.remove(str(project.binding))

    def synchronize(self) -> None:
        import torch

        torch.npu.synchronize()


def plan(source: str, workdir: Path) -> Project:
    """A checked candidate as a project below ``workdir``; nothing is written yet.

    Raises:
        BuildError: the texts do not agree, with every sentence of `check`.
    """
    parts, operator, problems = read(source)
    if operator is None or problems:
        raise BuildError("\n".join(problems))
    soc = os.environ.get("KERNELMILL_ASCEND_SOC", SOC)
    return Project(Path(workdir) / "ascend", operator, parts, soc)


def run(project: Project, msopgen: Path, timeout_s: float = BUILD_S) -> None:
    """Run a project's commands.

    Raises:
        BuildError: a command fails or takes too long, with the step's name and its output.
    """
    environment = {k: v for k, v in os.environ.items() if k != "ASCEND_CUSTOM_OPP_PATH"}
    environment["PATH"] = os.pathsep.join([str(msopgen.parent), environment.get("PATH", "")])
    for command in project.commands():
        try:
            done = subprocess.run(
                command.words, cwd=command.folder, env=environment, capture_output=True, text=True,
                errors="replace", timeout=timeout_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"{command.step}: not done after {timeout_s:.0f} s") from error
        except OSError as error:
            raise BuildError(f"{command.step}: {command.words[0]}: {error.strerror}") from error
        if done.returncode:
            text = shorten((done.stderr + done.stdout).strip() or "no output")
            raise BuildError(f"{command.step}: exit code {done.returncode}: {text}")


def _version(home: Path) -> str:
    for file in sorted(home.glob("*/ascend_toolkit_install.info")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("version="):
                return line.removeprefix("version=").strip()
    return ""


BACKEND = AscendCBackend()
