"""CUDA text through the real compiler: artifacts, failures at the author's own lines, the jail and the cache."""

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from warpsmith.core.artifact import Artifact
from warpsmith.core.candidate import TranslationUnit
from warpsmith.core.errors import ToolchainError
from warpsmith.core.outcome import CompileFailed, Stage
from warpsmith.sandbox.compile import CompileCache, CompileLimits, compile_cuda
from warpsmith.sandbox.compile.jail import call
from warpsmith.sandbox.compile.nvrtc import OPTIONS, program, request_for
from warpsmith.sandbox.compile.toolchain import find_toolchain
from warpsmith.sandbox.emulator.ptx import parse_module
from warpsmith.sandbox.jail.levels import Level
from warpsmith.sandbox.jail.wire import Packet
from warpsmith.sandbox.screen.ptx import screen_ptx

from ..jail.levels import here
from ..jail.processes import alive, command, descendants, wait_for


def unit(text: str, *names: str, preamble: str = "", appendix: str = "") -> TranslationUnit:
    return TranslationUnit(text=text, preamble=preamble, appendix=appendix, names=names or ("k",))


def compiled(text: str, *names: str, preamble: str = "", arch: str = "sm_90a") -> Artifact:
    result = compile_cuda(unit(text, *names, preamble=preamble), arch)
    assert isinstance(result, Artifact), result
    return result


def failure(text: str, *names: str, appendix: str = "", limits: CompileLimits | None = None) -> CompileFailed:
    result = compile_cuda(unit(text, *names, appendix=appendix), "sm_90a", limits=limits)
    assert isinstance(result, CompileFailed)
    return result


TEMPLATE = """// /// kernel
// ///
#include <mma.h>
template <int T>
__global__ void __launch_bounds__(T) gemm(const x_t* __restrict__ x, float* y, int M) {
    __shared__ float tile[T];
    tile[threadIdx.x] = ws::to_float(x[blockIdx.x * T + threadIdx.x]);
    __syncthreads();
    y[threadIdx.x] = tile[T - 1 - threadIdx.x] + M;
}
__global__ void reduce(float* y) { y[threadIdx.x] = -INFINITY; }
"""


@pytest.fixture(scope="module")
def template() -> Artifact:
    preamble = "using x_t = __half;\nconstexpr int BM = 64;\n"
    return compiled(TEMPLATE, "gemm<BM>", "reduce", preamble=preamble)


def test_name_expressions_are_lowered_to_the_entries_of_the_ptx(template: Artifact) -> None:
    module = parse_module(template.ptx)
    assert list(template.entries) == ["gemm<BM>", "reduce"]
    assert {entry.name for entry in module.entries} == set(template.entries.values())
    assert screen_ptx(module, template.entries.values()) is None


def test_lines_are_those_of_the_kernel_file(template: Artifact) -> None:
    entry = parse_module(template.ptx).entry(template.entries["gemm<BM>"])
    assert 8 in {instr.line for instr in entry.instructions if instr.opcode == "bar"}
    assert {7, 8, 9} <= {instr.line for instr in entry.instructions}


def test_resources_come_from_the_assembler(template: Artifact) -> None:
    used = template.resources[template.entries["gemm<BM>"]]
    assert (used.static_shared, used.max_threads, used.spill_stores) == (256, 64, 0)
    assert 8 <= used.registers <= 64
    assert template.cubin.startswith(b"\x7fELF")


def test_nothing_of_this_machine_is_in_the_ptx(template: Artifact) -> None:
    files = [line for line in template.ptx.splitlines() if ".file" in line]
    assert any('"candidate.cu"' in line for line in files)
    assert not [line for line in files if '"/' in line]


@pytest.mark.parametrize("arch", ["sm_80", "sm_89", "sm_100a"])
def test_other_architectures_compile(arch: str) -> None:
    made = compiled("__global__ void k(float* x) { x[0] = 1; }", arch=arch)
    assert (arch, arch) == (made.architecture, parse_module(made.ptx).target)


def test_an_unknown_architecture_is_our_error() -> None:
    with pytest.raises(ToolchainError, match="sm_90a"):
        compile_cuda(unit("__global__ void k() {}"), "sm_12")


def test_the_prelude_gives_types_limits_and_conversions() -> None:
    compiled(
        """#include <cstdint>
#include <stdint.h>
#include <cfloat>
#include <cmath>
#include <cassert>
#include <climits>
#include <stdio.h>
static_assert(sizeof(int64_t) == 8 && sizeof(std::uint32_t) == 4 && INT_MAX == 2147483647);
template <typename T> __device__ void twice(T* p) { p[0] = ws::from_float<T>(2 * ws::to_float(p[1])); }
__global__ void k(float* a, __half* b, __nv_bfloat16* c, __nv_fp8_e4m3* d, __nv_fp8_e5m2* e, double* f, int8_t* g,
                  const __grid_constant__ CUtensorMap map) {
    twice(a); twice(b); twice(c); twice(d); twice(e); twice(f); twice(g);
    a[1] = fmaxf(FLT_MAX, -INFINITY) + std::sqrt(a[2]) + M_PI + std::max(a[3], a[4]);
    assert(a[0] > 0);
}
"""
    )


HEADERS = ["cooperative_groups/reduce.h", "cuda_pipeline.h", "cuda/ptx", "cuda/std/limits", "limits"]
LARGE_HEADERS = [
    "cub/block/block_scan.cuh",
    "cub/warp/warp_reduce.cuh",
    "cuda/pipeline",
    "cuda/atomic",
    "cuda/std/array",
    "type_traits",
    "tuple",
    "utility",
    "functional",
]
BOMB = "#define A(x) x x x x x x x x\n__global__ void k(float* y) { A(A(A(A(A(A(A(y[0] = y[0] * y[1] + 2;))))))) }"


@pytest.mark.parametrize("header", HEADERS)
def test_an_allowed_header_compiles(header: str) -> None:
    compiled(f"#include <{header}>\n__global__ void k(float* x) {{ x[0] = 1; }}")


@pytest.mark.full
@pytest.mark.parametrize("header", LARGE_HEADERS)
def test_a_large_allowed_header_compiles(header: str) -> None:
    compiled(f"#include <{header}>\n__global__ void k(float* x) {{ x[0] = 1; }}")


def test_waiting_for_a_barrier_reads_no_clock() -> None:
    made = compiled(
        """#include <cuda/barrier>
__global__ void k(float* x) {
    __shared__ cuda::barrier<cuda::thread_scope_block> bar;
    if (threadIdx.x == 0) init(&bar, blockDim.x);
    __syncthreads();
    bar.arrive_and_wait();
    x[threadIdx.x] = 1;
}"""
    )
    assert screen_ptx(parse_module(made.ptx), made.entries.values()) is None


def test_an_error_is_quoted_at_the_authors_line() -> None:
    found = failure("// head\n__global__ void k(float* x) {\n    x[0] = foo;\n}")
    assert (found.line, found.stage) == (3, Stage.COMPILE)
    assert found.message == 'candidate.cu(3): error: identifier "foo" is undefined'
    assert "x[0] = foo;" in found.details[1]


def test_an_error_in_inline_assembly_is_brought_back_to_its_line() -> None:
    found = failure('// head\n__global__ void k(float* x) {\n    asm("frob.f32 %0, %0;" : "+f"(x[0]));\n}')
    assert found.line == 3
    assert "Not a name of any known instruction: 'frob'" in found.message


def test_a_plan_that_does_not_fit_the_kernel_is_named() -> None:
    found = failure("__global__ void k() {}", appendix='static_assert(false, "launch 2: argument 1 does not fit y");')
    assert "launch 2: argument 1 does not fit y" in found.message
    assert found.line is None


def test_a_kernel_name_that_does_not_exist_is_said_to_be_the_plans() -> None:
    assert 'the kernel\'s name: identifier "nope" is undefined' in failure("__global__ void k() {}", "nope").message


@pytest.mark.parametrize("name", ['k"\n#include "/etc/passwd', "k; int x", "", "#k", "k{}"])
def test_a_kernel_name_cannot_carry_text(name: str) -> None:
    assert "is not the name of a kernel" in failure("__global__ void k() {}", name).message


def test_an_error_inside_a_header_shows_no_text_of_the_header() -> None:
    found = failure(
        "#include <cuda/std/array>\n__global__ void k(float* x) {\n"
        "    cuda::std::array<float, 3> a;\n    x[0] = cuda::std::get<5>(a);\n}"
    )
    assert found.line == 4
    assert "Index out of bounds" in found.message
    assert not [line for line in found.details if "site-packages" in line or "_LIBCUDACXX" in line]


def test_an_undefined_name_in_a_condition_is_an_error_with_its_remedy() -> None:
    found = failure("__global__ void k() {}\n#if STAGES > 2\n#endif")
    assert found.line == 2
    assert "if constexpr" in found.message


def test_a_knob_in_if_constexpr_is_fine() -> None:
    text = "__global__ void k(int* x) { if constexpr (STAGES > 2) x[0] = STAGES; }"
    assert compiled(text, preamble="constexpr int STAGES = 3;\n").entries == {"k": "_Z1kPi"}


def test_a_screened_text_never_reaches_the_compiler() -> None:
    found = failure('__global__ void k() {}\n#include "/etc/passwd"')
    assert (found.stage, found.line) == (Stage.SCREEN, 2)


@pytest.mark.parametrize("level", [Level.BUBBLEWRAP, Level.LANDLOCK])
def test_the_jail_itself_cannot_read_other_files(tmp_path: Path, level: Level) -> None:
    here(level)
    secret = tmp_path / "secret.h"
    secret.write_text("the secret words\n")
    source = f'#include "{secret}"\n__global__ void k() {{}}\n'
    toolchain = find_toolchain()
    reply = call(program(toolchain), request_for(source, ("k",), OPTIONS, "sm_90a", toolchain), CompileLimits(), level)
    assert isinstance(reply, Packet)
    assert "secret words" not in json.dumps(reply.message)
    assert 6 == reply.message["status"], "NVRTC_ERROR_COMPILATION"


def test_a_compilation_bomb_is_stopped_and_named() -> None:
    begin = time.monotonic()
    found = failure(BOMB, limits=CompileLimits(seconds=2))
    assert "more than 2 seconds" in found.message
    assert time.monotonic() - begin < 8.0


def test_memory_is_limited() -> None:
    found = failure(BOMB, limits=CompileLimits(memory_bytes=600 << 20))
    assert "memory" in found.message


def test_the_compiler_dies_with_its_parent() -> None:
    program = (
        "import sys\n"
        "from warpsmith.core.candidate import TranslationUnit\n"
        "from warpsmith.sandbox.compile import compile_cuda\n"
        "print('started', flush=True)\n"
        "compile_cuda(TranslationUnit(text=sys.argv[1], preamble='', appendix='', names=('k',)), 'sm_90a')\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, BOMB], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"started\n"
    children = wait_for(lambda: _compilers(parent.pid))
    time.sleep(0.5)
    children = _compilers(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert children
    assert wait_for(lambda: not any(alive(child) for child in children))


def _compilers(process: int) -> list[int]:
    """Its compilers past their start-up, when the request for the signal has taken hold."""
    return [child for child in descendants(process) if "nvrtc_child" in command(child)]


def test_equal_texts_give_equal_bytes_whatever_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = compiled("__global__ void k(float* x) { x[0] = 1; }")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NVRTC_PREPEND_FLAGS", "-DEVIL")
    assert first == compiled("__global__ void k(float* x) { x[0] = 1; }")


def test_the_cache_gives_back_what_was_put(tmp_path: Path, template: Artifact) -> None:
    cache = CompileCache(tmp_path)
    key = hashlib.sha256(b"a").hexdigest()
    assert cache.get(key) is None
    cache.put(key, template)
    assert cache.get(key) == template


def test_a_cached_text_is_not_compiled_again(tmp_path: Path) -> None:
    cache = CompileCache(tmp_path)
    text = unit("__global__ void k(float* x) { x[0] = 2; }")
    first = compile_cuda(text, "sm_90a", cache)
    begin = time.monotonic()
    second = compile_cuda(text, "sm_90a", cache)
    assert first == second
    assert time.monotonic() - begin < 0.05
    assert compile_cuda(text, "sm_80", cache) != first


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "foreign"])
def test_a_damaged_entry_is_built_anew(tmp_path: Path, damage: str) -> None:
    cache = CompileCache(tmp_path)
    text = unit("__global__ void k(float* x) { x[0] = 3; }")
    first = compile_cuda(text, "sm_90a", cache)
    (path,) = tmp_path.rglob("*.json")
    data = path.read_bytes()
    foreign = hashlib.sha256(b"{}").hexdigest().encode() + b"\n{}"
    damaged = {"truncate": data[:-9], "flip": data[:-9] + b"#" + data[-8:], "empty": b"", "foreign": foreign}
    path.write_bytes(damaged[damage])
    assert compile_cuda(text, "sm_90a", cache) == first
    assert path.read_bytes() == data


def _make_once(folder: Path, artifact: Artifact, log: Path) -> None:
    def make() -> Artifact:
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(0.3)
        return artifact

    assert CompileCache(folder).once("b" * 64, make) == artifact


def _die_while_making(folder: Path) -> None:
    CompileCache(folder).once("b" * 64, lambda: os._exit(9))


def test_processes_that_want_one_artifact_make_it_once(tmp_path: Path, template: Artifact) -> None:
    context = multiprocessing.get_context("spawn")
    dead = context.Process(target=_die_while_making, args=(tmp_path,))
    dead.start()
    dead.join()
    makers = [context.Process(target=_make_once, args=(tmp_path, template, tmp_path / "log")) for _ in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert [0, 0, 0] == [maker.exitcode for maker in makers]
    assert "made\n" == (tmp_path / "log").read_text()


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    cache = CompileCache(tmp_path)
    wrong = unit("__global__ void k(float* x) { x[0] = y; }")
    assert [True, True] == [isinstance(compile_cuda(wrong, "sm_90a", cache), CompileFailed) for _ in range(2)]
    assert [] == list(tmp_path.rglob("*.json"))


def _write(folder: Path, artifact: Artifact) -> None:
    for _ in range(50):
        CompileCache(folder).put("a" * 64, artifact)


def test_concurrent_writers_leave_a_whole_entry(tmp_path: Path, template: Artifact) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path, template)) for _ in range(2)]
    for writer in writers:
        writer.start()
    seen = []
    while any(writer.is_alive() for writer in writers):
        seen.append(CompileCache(tmp_path).get("a" * 64))
    for writer in writers:
        writer.join()
    assert {0} == {writer.exitcode for writer in writers}
    first = next((at for at, found in enumerate(seen) if found is not None), len(seen))
    assert all(found == template for found in seen[first:])
    assert [path.name for path in (tmp_path / "aa").iterdir()] == ["a" * 62 + ".json"]
