"""Mistakes authors make in a kernel file, and the literal message each gets."""

from __future__ import annotations

import pytest

from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file import parse_kernel_file

KERNEL = "__global__ void copy(const x_t* x, y_t* y, int N) {}\n"
LAUNCH = '[[launch]]\nkernel = "copy"\ngrid = "cdiv(N, 256)"\nblock = 256\n'
TRITON = (
    "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef copy(x, y, N, BLOCK: tl.constexpr):\n    pass\n"
)
TRITON_LAUNCH = '[[launch]]\nkernel = "copy"\ngrid = "cdiv(N, 64)"\nconstexpr = { BLOCK = "64" }\n'


def kernel_file(toml: str, source: str = KERNEL, marker: str = "//") -> str:
    lines = "".join(f"{marker} {line}".rstrip() + "\n" for line in toml.splitlines())
    return f"{marker} /// kernel\n{lines}{marker} ///\n{source}"


def message(text: str) -> str:
    with pytest.raises(KernelFileError) as caught:
        parse_kernel_file(text, file="copy.cu")
    return str(caught.value)


def head_message(toml: str) -> str:
    return message(kernel_file(toml))


def source_message(source: str) -> str:
    return message(kernel_file(f'task = "copy"\n{LAUNCH}', source))


def triton_message(source: str = TRITON, toml: str = TRITON_LAUNCH) -> str:
    return message(kernel_file(f'task = "copy"\n{toml}', source, "#"))


def test_the_file_that_the_mistakes_vary_is_good() -> None:
    assert parse_kernel_file(kernel_file(f'task = "copy"\n{LAUNCH}')).task == "copy"
    assert parse_kernel_file(kernel_file(f'task = "copy"\n{TRITON_LAUNCH}', TRITON, "#")).language == "triton"


def test_a_top_level_key_after_a_table_header_would_be_a_knob() -> None:
    assert head_message(f'task = "copy"\n[tune]\nBM = [1]\nconstants = ["G"]\n{LAUNCH}') == (
        "copy.cu:5:4: `constants` stands below [tune], where TOML makes it a knob. "
        "Move it above the first [table], next to `task`."
    )
    assert head_message(f'task = "copy"\n[let]\nrequires = "N > 0"\n{LAUNCH}') == (
        "copy.cu:4:4: `requires` stands below [let], where TOML makes it a named expression. "
        "Move it above the first [table], next to `task`."
    )
    assert head_message(f'{LAUNCH}task = "copy"\n') == (
        "copy.cu:6:4: `task` stands below [[launch]], where TOML makes it a part of it. "
        "Move it above the first [table], next to `task`."
    )


@pytest.mark.parametrize(
    ("place", "shown", "source"),
    [
        ("8:1", "#include <torch/extension.h>", f"#include <torch/extension.h>\n{KERNEL}"),
        ("9:42", "<<<...>>>", f"{KERNEL}__global__ void k(int n) {{}} void go() {{ k<<<1, 1>>>(2); }}\n"),
        ("9:1", "PYBIND11_MODULE", f"{KERNEL}PYBIND11_MODULE(copy, m) {{}}\n"),
        ("9:1", "torch::", f"{KERNEL}torch::Tensor run(torch::Tensor x) {{ return x; }}\n"),
        ("9:20", "cudaMalloc", f"{KERNEL}void f(float* p) {{ cudaMalloc(&p, 4); }}\n"),
        ("9:5", "int main", f"{KERNEL}int main() {{ return 0; }}\n"),
    ],
)
def test_host_code_is_refused_at_its_line(place: str, shown: str, source: str) -> None:
    assert source_message(source) == (
        f"copy.cu:{place}: `{shown}`: host code is not part of a kernel file. "
        "Delete it: a kernel file has device code only, and a [[launch]] in the head block says what the launcher runs."
    )


def test_device_names_that_look_like_host_names_are_fine() -> None:
    source = KERNEL.replace("{}", "{ cudaGridDependencySynchronize(); pool.free(); at[0] = 1; } // cudaMalloc torch::")
    assert parse_kernel_file(kernel_file(f'task = "copy"\n{LAUNCH}', source)).task == "copy"


def test_scratch_from_the_device_heap_is_a_buffer() -> None:
    assert source_message(KERNEL.replace("{}", "{ float* p = (float*)malloc(4); }")) == (
        "copy.cu:8:72: `malloc` cannot be called in a kernel. "
        "Scratch is a `[[buffer]]` of the head block, allocated by the launcher."
    )


@pytest.mark.parametrize(
    ("expected", "launch"),
    [
        ('[[launch]] has no `grid`. Add `grid = "cdiv(N, 256)"`.', 'kernel = "copy"\nblock = 256'),
        ("[[launch]] has no `block`. Add `block = 256`.", 'kernel = "copy"\ngrid = 1'),
        ('[[launch]] has no `kernel`. Add `kernel = "gemm<BM, BN>"`.', "grid = 1\nblock = 256"),
        (
            "copy.cu:4:14: The source declares no kernel `copi` (`__global__ void`). Did you mean `copy`?",
            'kernel = "copi"\ngrid = 1\nblock = 1',
        ),
        (
            'copy.cu:4:14: `copy` is not a template (line 8). Write `kernel = "copy"`, or make it one: '
            "`template <int TM>`.",
            'kernel = "copy<8>"\ngrid = 1\nblock = 1',
        ),
        ("copy.cu:7:4: There is no key `smem` in [[launch]]. It is called `shared`.", f"{LAUNCH[11:]}smem = 4"),
        ("There is no key `blok` in [[launch]]. Did you mean `block`?", 'kernel = "copy"\ngrid = 1\nblok = 1'),
        ("There is no key `num_warps` in [[launch]]. It belongs to Triton kernel files", f"{LAUNCH[11:]}num_warps = 4"),
        ("`cluster` is not in version 1 of the format yet (version 1.1). Remove it.", f"{LAUNCH[11:]}cluster = 2"),
        ("`grid` has 4 extents; 1 to 3 are allowed.", 'kernel = "copy"\ngrid = [1, 1, 1, 1]\nblock = 1'),
        ("`block` holds 1.5, which is neither an integer nor an expression", 'kernel = "copy"\ngrid = 1\nblock = 1.5'),
        ("`copy` has no parameter `n`. Did you mean `N`?", f'{LAUNCH[11:]}args = {{ n = "2" }}'),
        (
            "`args` lists 2 arguments, but `copy` takes 3: x, y, N. "
            "Leave `args` away to bind by name, or list one for each parameter.",
            f'{LAUNCH[11:]}args = ["x", "y"]',
        ),
        (
            "copy.cu:5:14: In `N / 256`: `/` is not an operator here. Write `//` to round down or `cdiv(a, b)`",
            'kernel = "copy"\ngrid = "N / 256"\nblock = 256',
        ),
        (
            "The line holds U+00A0 NO-BREAK SPACE: write keys and blanks in ASCII.",
            f"{LAUNCH[11:]}shared\u00a0= 4",
        ),
        (
            "copy.cu:5:11: The head block is not TOML: Invalid value. "
            'Put expressions and names in quotes: `grid = "cdiv(N, 256)"`, `grid = ["cdiv(N, BN)", "M"]`.',
            'kernel = "copy"\ngrid = cdiv(N, 256)\nblock = 256',
        ),
    ],
)
def test_a_launch_says_what_it_lacks(expected: str, launch: str) -> None:
    assert expected in head_message(f'task = "copy"\n[[launch]]\n{launch}\n')


def test_a_template_wants_its_arguments_and_no_c_linkage() -> None:
    template = "template <int TM, int TN>\n" + KERNEL
    assert source_message(template) == (
        'copy.cu:4:14: `copy` is a template (line 9). Give its arguments: `kernel = "copy<TM, TN>"`.'
    )
    with_arguments = LAUNCH.replace('"copy"', '"copy<1, 2>"')
    assert message(kernel_file(f'task = "copy"\n{with_arguments}', f'extern "C" {template}')) == (
        'copy.cu:4:14: Kernel `copy` is a template, which cannot be `extern "C"`. '
        'Remove `extern "C"` at line 9; it is never needed.'
    )


@pytest.mark.parametrize(
    ("expected", "tune"),
    [
        ("Knob `BM` must have a list of integers. Write `BM = [64, 128]`; for a switch `BM = [0, 1]`.", "BM = [true]"),
        ("Knob `BM` must have a list of integers.", "BM = [1.5]"),
        ("Knob `BM` must have a list of integers.", "BM = []"),
        ("Knob `BM` lists a value twice.", "BM = [1, 1]"),
        ("Knob `BM` lists 4294967296, which is no 32-bit integer.", "BM = [4294967296]"),
        ("`bm` cannot be the name of a knob. Knobs have two or more capitals", "bm = [1]"),
        ("`M` cannot be the name of a knob.", "M = [1]"),
        ("`SMS` cannot be the name of a knob.", "SMS = [1]"),
        ("`FLT_MAX` cannot be the name of a knob.", "FLT_MAX = [1]"),
        ("`BN` is not a knob. Known are: BM.", 'BM = [1]\nwhere = "BN > 0"'),
        ("`where` excludes the default, the first value of every knob.", 'BM = [1, 2]\nwhere = "BM > 1"'),
        ("[tune] allows 400 combinations; at most 256 are tried.", f"AA = {list(range(20))}\nBB = {list(range(20))}"),
        ("[tune] has 1000000 combinations.", "\n".join(f"K{at} = {list(range(10))}" for at in range(6))),
    ],
)
def test_knobs_are_few_integers_with_plain_names(expected: str, tune: str) -> None:
    assert expected in head_message(f'task = "copy"\n[tune]\n{tune}\n{LAUNCH}')


@pytest.mark.parametrize(
    ("expected", "buffer"),
    [
        ('`float` is not an element type. Write `dtype = "float32"`.', 'name = "b"\nshape = [1]\ndtype = "float"'),
        ("`flat32` is not an element type. Did you mean `float32`?", 'name = "b"\nshape = [1]\ndtype = "flat32"'),
        ("[[buffer]] has no `shape`.", 'name = "b"\ndtype = "int32"'),
        ("`init` must be 0 or -1.", 'name = "b"\nshape = [1]\ndtype = "int32"\ninit = 7'),
        ("There is no key `size` in [[buffer]]. It is called `shape`.", 'name = "b"\nsize = [1]\ndtype = "int32"'),
        ("`size` cannot be the name of a buffer.", 'name = "size"\nshape = [1]\ndtype = "int32"'),
    ],
)
def test_a_buffer_says_what_is_wrong_with_it(expected: str, buffer: str) -> None:
    assert expected in head_message(f'task = "copy"\n[[buffer]]\n{buffer}\n{LAUNCH}')


@pytest.mark.parametrize(
    ("text", "file", "marker", "last"),
    [
        ("", "copy.py", "#", "num_warps = 4"),
        (TRITON, "", "#", "num_warps = 4"),
        ("# /// kernel\n# ///\n", "", "#", "num_warps = 4"),
        ("", "copy.cu", "//", "block = 256"),
        (KERNEL, "", "//", "block = 256"),
    ],
)
def test_the_head_block_that_is_shown_is_in_the_comments_of_the_files_language(
    text: str, file: str, marker: str, last: str
) -> None:
    with pytest.raises(KernelFileError) as caught:
        parse_kernel_file(text, file=file)
    first, *shown, _ = caught.value.remedy.split("\n")
    assert "Start the file with:" == first
    assert all(line.startswith(marker) for line in shown)
    assert f"{marker} {last}" in shown


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("copy.cu:1: There is no head block. Start the file with:\n// /// kernel\n", KERNEL),
        ("copy.cu:1: `// /// kernels` does not open a head block. Write exactly `// /// kernel`", "// /// kernels\n"),
        (
            "copy.cu:3: The head block opened at line 1 is not closed. End it with `// ///` before this line.",
            '// /// kernel\n// task = "x"\nint x;\n',
        ),
        (
            "copy.cu:1: The head block at line 2 must stand at the top of the file. Move it above this line.",
            "int x;\n// /// kernel\n// ///\n",
        ),
        (
            "copy.cu:4: A second head block opens here; the first is at line 1. Keep exactly one.",
            '// /// kernel\n// task = "x"\n// ///\n// /// kernel\n// ///\n',
        ),
        ("copy.cu:1: The head block is empty.", "// /// kernel\n// ///\n"),
        (
            "copy.cu:2:4: There is no key `taks`. Did you mean `task`?",
            kernel_file(f'taks = "copy"\n{LAUNCH}'),
        ),
        (
            "copy.cu:2:4: There is no key `language`. Remove it: a head block behind `//` is CUDA",
            kernel_file(f'language = "cuda"\n{LAUNCH}'),
        ),
        ("copy.cu:2: There is no [[launch]]. Add one", kernel_file('task = "copy"')),
        ("copy.cu:3: `launch` must be a list of tables. Write `[[launch]]` with two brackets.",
         kernel_file('task = "copy"\n[launch]\nkernel = "copy"')),
        ("The file has 300000 bytes; at most 262144 are allowed.", "/" * 300_000),
        ("`/*` comment is not closed", kernel_file(f'task = "copy"\n{LAUNCH}', "/* never")),
    ],
)  # fmt: skip
def test_a_head_block_stands_once_closed_at_the_top(expected: str, text: str) -> None:
    assert expected in message(text)


@pytest.mark.parametrize(
    ("character", "named"),
    [("\0", "U+0000"), ("\x1b", "U+001B a control character"), ("\x9b", "U+009B"), ("\u202e", "U+202E RIGHT-TO-LEFT")],
)
def test_characters_that_nobody_sees_are_refused_even_in_comments(character: str, named: str) -> None:
    text = kernel_file(f'task = "copy"\n{LAUNCH}', f"{KERNEL}// hidden {character}\n")
    with pytest.raises(KernelFileError) as caught:
        parse_kernel_file(text)
    assert named in caught.value.message
    assert len(text.split("\n")) - 1 == caught.value.line


def test_words_of_any_language_may_stand_in_comments() -> None:
    source = f"{KERNEL}// gr\u00f6\u00dfer \u03b1 \u2264 \u4e2d\n"
    assert parse_kernel_file(kernel_file(f'task = "copy"\n{LAUNCH}', source)).task == "copy"


def test_parameters_need_names() -> None:
    assert source_message("__global__ void copy(const x_t*, y_t* y, int N) {}\n") == (
        "copy.cu:8: Parameter 1 of `copy` has no name that can be read. "
        "Arguments bind by name: write `const x_t* x`, `int M`."
    )


@pytest.mark.parametrize(
    ("expected", "old", "new"),
    [
        (
            "`@triton.autotune` is not part of a kernel file. Say the configurations as knobs under [tune]: "
            "`BLOCK = [64, 128]`, `num_warps = [4, 8]`.",
            "@triton.jit",
            "@triton.autotune(configs=[], key=[])\n@triton.jit",
        ),
        (
            "`@triton.heuristics` is not part of a kernel file. Say it as an expression: "
            '`constexpr = { BLOCK = "pow2ceil(N)" }` in the [[launch]].',
            "@triton.jit",
            "@triton.heuristics({})\n@triton.jit",
        ),
        (
            "`num_warps` is a compile option, not a parameter of `copy`. Remove it from the signature and write "
            "`num_warps = [4, 8]` under [tune], or in the [[launch]].",
            "BLOCK: tl",
            "num_warps, BLOCK: tl",
        ),
        (
            "`run` has no `@triton.jit`: host code is not part of a kernel file.",
            "@triton.jit",
            "def run(): pass\n@triton.jit",
        ),
        (
            "`import torch`: a Triton kernel file imports triton and triton.language only.",
            "import triton\n",
            "import torch\n",
        ),
        ("Host code is not part of a kernel file.", "@triton.jit", "print(1)\n@triton.jit"),
        ("Only literal constants may stand beside the kernels.", "@triton.jit", "SIZE = open('x')\n@triton.jit"),
        ("`@triton.constexpr_function` is not accepted.", "@triton.jit", "@triton.constexpr_function"),
        ("A parameter's default must be a literal.", "constexpr):", "constexpr = print()):"),
        ("The Python nests too deeply.", "tl.constexpr", "a" + ".b" * 500),
        ("The Python does not parse", "pass", "pass pass"),
        ("`copy` takes `*rest`. Name every parameter.", "BLOCK: tl.constexpr", "*rest"),
    ],
)
def test_triton_sources_hold_jit_functions_only(expected: str, old: str, new: str) -> None:
    assert expected in triton_message(TRITON.replace(old, new, 1))


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ("There is no key `block` in [[launch]]. A Triton launch has `num_warps = 4`", "block = 128"),
        ("There is no key `shared` in [[launch]]. Triton computes shared memory itself.", "shared = 128"),
    ],
)
def test_triton_launches_have_no_block(expected: str, line: str) -> None:
    assert expected in triton_message(toml=f"{TRITON_LAUNCH}{line}\n")
