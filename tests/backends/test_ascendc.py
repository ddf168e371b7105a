"""Ascend C without a toolkit: the six texts, the project, the commands against a fake toolchain."""

import os
import stat
import sys
from pathlib import Path

import pytest

import kernelmill.bench.exemplars as package
from kernelmill import backends
from kernelmill.backends import ascendc
from kernelmill.backends.ascendc_source import Operator, check, read_operator, read_parts
from kernelmill.backends.base import BuildError, BuildSpec
from kernelmill.evaluate import Judge, Settings
from kernelmill.tasks import Candidate, Task

ROOT = Path(package.__file__).parent
EXEMPLARS = sorted(ROOT.glob("*/ascendc.py"))
ADD = (ROOT / "add" / "ascendc.py").read_text(encoding="utf-8")
REFERENCE = (ROOT / "add" / "reference.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", EXEMPLARS, ids=lambda p: p.parent.name)
def test_the_examples_agree_with_themselves(path):
    source = path.read_text(encoding="utf-8")
    assert check(source) == []
    assert backends.guess(source) == "ascendc"


def test_the_operator_is_read():
    parts, problems = read_parts(ADD)
    operator, more = read_operator(parts["project_json_src"])
    assert not problems and not more
    assert (operator.name, operator.file) == ("AddCustom", "add_custom")
    assert [a.name for a in operator.inputs] == ["x", "y"]
    assert operator.outputs[0].types == ("float",)


# What is changed in a right candidate, and the one sentence that it earns.
FAULTS = [
    ('"op": "AddCustom"', '"op": "add_custom"', "project_json_src: op must be a name like"),
    ('"op": "AddCustom"', '"op": "PlusCustom"', "no REGISTER_TILING_DATA_CLASS(PlusCustom, ...)"),
    ('"op": "AddCustom",', '"op": "AddCustom"', "project_json_src: no JSON"),
    ('"language": "cpp"', '"language": "rust"', "language must be cpp, got 'rust'"),
    ('{"name": "y", "param_type": "required"', '{"name": "y", "param_type": "must"',
     "input_desc[1]: param_type must be one of"),
    ('{"name": "y"', '{"name": "x"', "'x' is declared twice"),
    ('{"name": "z", "param_type": "required", "format": ["ND"], "type": ["float"]}',
     '{"name": "z", "format": ["ND"], "type": ["float8"]}', "output_desc[0]: type must list"),
    ('{"name": "z", "param_type": "required", "format": ["ND"], "type": ["float"]}',
     '{"name": "z", "format": [], "type": ["float"]}', "as many formats as types"),
    ("END_TILING_DATA_DEF;", "", "in pairs, got 1 and 0"),
    ("REGISTER_TILING_DATA_CLASS(AddCustom, AddCustomTiling)",
     "REGISTER_TILING_DATA_CLASS(AddCustom, Tiling)", "Tiling is not defined here"),
    ('#include "add_custom_tiling.h"', '#include "add_tiling.h"', "host_operator_src: does not"),
    ("OP_ADD(AddCustom);", "// OP_ADD(AddCustom);", "host_operator_src: no OP_ADD(AddCustom)"),
    ('Input("y")', 'Input("w")', "Inputs are ['x', 'w'], project_json_src declares ['x', 'y']"),
    ("context->SetBlockDim", "context->SetBlocks", "never calls SetBlockDim(...)"),
    ("tiling.set_stretch", "tiling.set_length", "set_length() sets no field"),
    ("GM_ADDR workspace, GM_ADDR tiling) {", "GM_ADDR tiling) {", "takes 4 arguments, but"),
    ("__aicore__ void add_custom(", "__aicore__ void plus_custom(", "void add_custom(...); it has"),
    ("plan.count, plan.stretch", "plan.count, plan.block", "plan.block is no field"),
    ("GET_TILING_DATA(plan, tiling);", "", "never reads the tiling"),
    ('#include "kernel_operator.h"', "", 'kernel_src: does not #include "kernel_operator.h"'),
    ("aclnnAddCustom, x, y, z", "aclnnAddCustom, x, z", "gets 2 arguments, the operator has 3"),
    ("aclnnAddCustom, x, y, z", "aclnnAdd, x, y, z", "no EXEC_NPU_CMD(aclnnAddCustom, ...); calls"),
    ('m.def("add", &add);', "", "the module defines no function"),
    ("custom_ops_lib.add(", "custom_ops_lib.plus(", "custom_ops_lib.plus is not defined by"),
    ("import custom_ops_lib\n", "import torch_npu as custom_ops_lib\n", "does not import cu"),
    ("class ModelNew", "class Model", "model_src: defines no class ModelNew"),
    ("    def forward", "  def forward(", "model_src: no Python"),
    ("adder.Run();\n}", "adder.Run();", "kernel_src: "),
    ("kernel_src = ", "kernel = ", "kernel_src: is missing"),
    ('kernel_src = """', 'kernel_src = str() + """', "kernel_src: line"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "told"), FAULTS, ids=[f[2][:40] for f in FAULTS])
def test_faults_are_named(right, wrong, told):
    assert right in ADD
    problems = check(ADD.replace(right, wrong, 1))
    assert any(told in problem for problem in problems), problems
    with pytest.raises(BuildError):
        ascendc.plan(ADD.replace(right, wrong, 1), Path("nowhere"))


def test_comments_and_strings_do_not_mislead():
    tricky = ADD.replace("OP_ADD(AddCustom);", 'OP_ADD(AddCustom);\nconst char* s = "} // {";')
    tricky = tricky.replace("adder.Run();", "adder.Run();  // } plan.nothing")
    assert check(tricky) == []
    assert check("x = (")[0].startswith("the file is no Python")


@pytest.mark.parametrize("name", ["AddCustom", "GemmAddRelu", "Softmax"])
def test_file_names(name):
    assert Operator(name, (), ()).file == "".join(
        f"_{c.lower()}" if c.isupper() else c for c in name
    ).strip("_")


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


MSOPGEN = """#!/bin/bash
# a frame as the toolkit makes it, with a build.sh that records what it was given
echo "msopgen $*" >> {log}
test -z "$ASCEND_CUSTOM_OPP_PATH" || exit 9
while [ $# -gt 0 ]; do case "$1" in -i) json=$2;; -out) out=$2;; esac; shift; done
grep -q AddCustom "$json" || exit 7
mkdir -p $out/op_host $out/op_kernel
cat > $out/build.sh <<'END'
echo build $(find op_host op_kernel -type f | sort) >> {log}
grep -q Adder op_kernel/add_custom.cpp || {{ echo "error: no Adder" >&2; exit 2; }}
mkdir -p build_out
cat > build_out/custom_opp_ubuntu_x86_64.run <<'RUN'
for a in "$@"; do case $a in --install-path=*) place=${{a#--install-path=}};; esac; done
echo "install" >> {log}
mkdir -p $place/vendors/customize/op_api/lib
RUN
END
"""
# In place of the compiled binding: a module of the same name that adds.
BIND = """
import sys, pathlib
assert sys.argv[1:] == ["build_ext", "--inplace"], sys.argv
assert "EXEC_NPU_CMD(aclnnAddCustom" in pathlib.Path("csrc/op.cpp").read_text()
assert pathlib.Path("csrc/pytorch_npu_helper.hpp").is_file()
pathlib.Path("custom_ops_lib.py").write_text("def add(x, y): return x + y")
"""


@pytest.fixture
def cann(tmp_path, monkeypatch):
    """A toolkit that makes folders instead of code."""
    home, log = tmp_path / "cann", tmp_path / "log"
    script(home / "python/site-packages/bin/msopgen", MSOPGEN.format(log=log))
    monkeypatch.setenv("ASCEND_HOME_PATH", str(home))
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", "/somebody/else")
    monkeypatch.setattr(ascendc, "SETUP", BIND)
    yield log
    sys.modules.pop("custom_ops_lib", None)


def test_a_candidate_is_built_up_to_the_compiler_call(cann, tmp_path):
    import torch

    made = ascendc.BACKEND.build(ADD, tmp_path / "work", BuildSpec())
    x, y = torch.rand(3, 5), torch.rand(3, 5)
    assert torch.equal(made()(x, y), x + y)
    lines = cann.read_text().splitlines()
    assert lines == [
        "msopgen gen -i add_custom.json -c ai_core-Ascend910B2 -lan cpp -out AddCustom",
        "build op_host/add_custom.cpp op_host/add_custom_tiling.h op_kernel/add_custom.cpp",
        "install",
    ]
    vendor = tmp_path / "work" / "ascend" / "opp" / "vendors" / "customize"
    assert os.environ["ASCEND_CUSTOM_OPP_PATH"] == str(vendor) and vendor.is_dir()
    assert str(tmp_path / "work" / "ascend" / "binding") not in sys.path


def test_another_chip_is_asked_for_by_a_variable(cann, tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELMILL_ASCEND_SOC", "Ascend310P3")
    ascendc.BACKEND.build(ADD, tmp_path / "work", BuildSpec())
    assert "ai_core-Ascend310P3" in cann.read_text()


def test_a_second_build_starts_anew(cann, tmp_path):
    for _ in range(2):
        ascendc.BACKEND.build(ADD, tmp_path / "work", BuildSpec())
    assert cann.read_text().count("msopgen") == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("Adder", "Summer"), "operator: exit code 2: error: no Adder"),
        (lambda text: text.replace("x, y, z);\n  return", "x, y, z );\n  return"), "binding: exit"),
    ],
)
def test_errors_of_the_tools_come_with_their_step(change, told, cann, tmp_path, monkeypatch):
    if "binding" in told:
        monkeypatch.setattr(ascendc, "SETUP", "raise SystemExit('no compiler')")
    with pytest.raises(BuildError, match=told):
        ascendc.BACKEND.build(change(ADD), tmp_path / "work", BuildSpec())


def test_an_installer_that_is_missing_is_said(cann, tmp_path):
    text = MSOPGEN.format(log=cann).replace("custom_opp_ubuntu_x86_64.run", "readme.txt")
    script(Path(os.environ["ASCEND_HOME_PATH"]) / "python/site-packages/bin/msopgen", text)
    with pytest.raises(BuildError, match="left no build_out/custom_opp"):
        ascendc.BACKEND.build(ADD, tmp_path / "work", BuildSpec())


def test_a_tool_that_hangs_is_ended(cann, tmp_path):
    home = Path(os.environ["ASCEND_HOME_PATH"])
    tool = script(home / "python/site-packages/bin/msopgen", "#!/bin/bash\nexec sleep 60\n")
    with pytest.raises(BuildError, match="msopgen: not done after 0 s"):
        ascendc.run(ascendc.plan(ADD, tmp_path), tool, timeout_s=0.2)


def test_without_a_toolkit_it_is_said(monkeypatch, tmp_path):
    for name in ascendc.HOMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ascendc, "DEFAULT_HOME", tmp_path / "none")
    found = ascendc.BACKEND.available()
    assert not found.usable and found.reason.startswith("toolkit not found")
    with pytest.raises(BuildError, match="toolkit not found"):
        ascendc.BACKEND.build(ADD, tmp_path, BuildSpec())
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path))
    assert "has no msopgen" in ascendc.BACKEND.available().reason


def test_a_toolkit_alone_is_not_enough(cann):
    assert "torch_npu is not installed" in ascendc.BACKEND.available().reason


@pytest.fixture(scope="module")
def judge():
    with Judge(Settings(timing=False, threads=1)) as made:
        yield made


def test_the_judge_checks_where_it_cannot_build(judge):
    if ascendc.toolkit()[0] is not None:
        pytest.skip("a CANN toolkit is installed, so the judge does not say that it is missing")
    task = Task("add", REFERENCE)
    answer = judge.evaluate(task, Candidate(ADD, "ascendc"))
    assert (answer.status, answer.stage) == ("error", "screen")
    assert answer.reasons[0].code == "backend_unavailable"
    assert "toolkit not found" in answer.reasons[0].message
    wrong = ADD.replace("aclnnAddCustom, x, y, z", "aclnnAddCustom, x, z")
    answer = judge.evaluate(task, Candidate(wrong, "ascendc"))
    assert answer.reasons[0].code == "build_failed"
    assert answer.reasons[0].message.startswith("python_bind_src: aclnnAddCustom gets 2")
