"""The texts a CUDA kernel file compiles from: aliases and constants before it, checks of every launch behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from warpsmith.core.candidate import PRELUDE, TranslationUnit
from warpsmith.core.digest import digest_json, digest_text
from warpsmith.core.dtype import DType
from warpsmith.core.kernel_file.check import check, pointer_name
from warpsmith.core.kernel_file.dims import tensors_of
from warpsmith.core.kernel_file.lexer import CppToken, lex
from warpsmith.core.kernel_file.model import Argument, KernelFile, Launch
from warpsmith.core.kernel_file.names import buffer_dtype, names_of
from warpsmith.core.kernel_file.parse import TAKEN_TYPES
from warpsmith.core.kernel_file.triton_build import triton_builds
from warpsmith.core.task import Role, Task, Tensor, Workload

_VECTORS = ["float2", "float4", "double2", "int2", "int4", "uint2", "uint4", "longlong2", "ulonglong2"]
"""Types through which any element may be moved in 8 or 16 bytes."""
_FITTING: dict[DType, tuple[str, ...]] = {
    DType.FLOAT64: (),
    DType.FLOAT32: ("float3",),
    DType.FLOAT16: ("__half2", "unsigned short"),
    DType.BFLOAT16: ("__nv_bfloat162", "unsigned short"),
    DType.FLOAT8_E4M3: ("__nv_fp8x2_e4m3", "__nv_fp8x4_e4m3", "unsigned char"),
    DType.FLOAT8_E5M2: ("__nv_fp8x2_e5m2", "__nv_fp8x4_e5m2", "unsigned char"),
    DType.INT64: ("long", "unsigned long", "unsigned long long"),
    DType.INT32: ("unsigned", "int3", "uint3"),
    DType.INT16: ("unsigned short", "short2", "short4", "ushort2", "ushort4"),
    DType.INT8: ("char", "unsigned char", "char2", "char4", "uchar2", "uchar4", "int", "unsigned"),
    DType.UINT8: ("char", "signed char", "char2", "char4", "uchar2", "uchar4", "int", "unsigned"),
    DType.BOOL: ("unsigned char", "signed char", "char"),
}
"""Further element types a pointer to each dtype may have."""

_TRAITS = """\
namespace ws_plan {
template <class ws_T> struct ws_bare { using ws_type = ws_T; };
template <class ws_T> struct ws_bare<const ws_T> { using ws_type = ws_T; };
template <class ws_T> struct ws_bare<volatile ws_T> { using ws_type = ws_T; };
template <class ws_T> struct ws_bare<const volatile ws_T> { using ws_type = ws_T; };
template <class ws_T, class ws_U> constexpr bool ws_same = false;
template <class ws_T> constexpr bool ws_same<ws_T, ws_T> = true;
template <class ws_T> constexpr bool ws_is_const = false;
template <class ws_T> constexpr bool ws_is_const<const ws_T> = true;
template <class ws_T> constexpr bool ws_is_const<const volatile ws_T> = true;
template <int ws_I, class... ws_T> struct ws_nth { using ws_type = void; };
template <class ws_H, class... ws_T> struct ws_nth<0, ws_H, ws_T...> { using ws_type = ws_H; };
template <int ws_I, class ws_H, class... ws_T> struct ws_nth<ws_I, ws_H, ws_T...> : ws_nth<ws_I - 1, ws_T...> {};
template <class ws_F> struct ws_of { static constexpr int ws_count = -1; template <int ws_I> using ws_at = void; };
template <class... ws_P> struct ws_of<void (*)(ws_P...)> {
    static constexpr int ws_count = sizeof...(ws_P);
    template <int ws_I> using ws_at = typename ws_bare<typename ws_nth<ws_I, ws_P...>::ws_type>::ws_type;
};
template <class... ws_P> struct ws_of<void (*)(ws_P...) noexcept> : ws_of<void (*)(ws_P...)> {};
template <class ws_P, class... ws_E> struct ws_pointer { static constexpr bool ws_fits = false, ws_writes = false; };
template <class ws_T, class... ws_E> struct ws_pointer<ws_T*, ws_E...> {
    static constexpr bool ws_fits = (ws_same<typename ws_bare<ws_T>::ws_type, ws_E> || ...);
    static constexpr bool ws_writes = !ws_is_const<ws_T>;
};
template <class ws_T> constexpr bool ws_integer = ws_same<ws_T, int> || ws_same<ws_T, unsigned> || ws_same<ws_T, long>
    || ws_same<ws_T, unsigned long> || ws_same<ws_T, long long> || ws_same<ws_T, unsigned long long>;
}  // namespace ws_plan
"""
"""Names begin with `ws_`, since a macro of the file (`#define T float`) holds here too."""


def translation_unit(
    kernel_file: KernelFile, task: Task, workload: Workload, knobs: Mapping[str, int]
) -> TranslationUnit:
    """Texts of one build key of a CUDA file: the workload gives dtypes and the values of `constants`.

    `preamble` has an alias `<tensor>_t` for each tensor and buffer, then a `constexpr` integer for each knob, constant
    and `[let]` expression that depends on those alone. It stands behind the headers the file includes, which an alias
    or constant could break. `appendix` holds static_asserts; it stands behind the file, under a `#line` of its own.
    """
    kernel_file.check_knobs(knobs)
    check(kernel_file, task)
    names = tuple(dict.fromkeys(launch.kernel for launch in kernel_file.launches))
    preamble: list[str] = []
    for name, dtype in _elements(kernel_file, task, workload).items():
        if f"{name}_t" not in TAKEN_TYPES:
            preamble.append(f"using {name}_t = {dtype.c_type};")
    for name, value in compiled_in(kernel_file, task, workload, knobs).items():
        c_type = "int" if -(2**31) <= value < 2**31 else "long long"
        preamble.append(f"constexpr {c_type} {name} = {value};")
    checks: list[str] = []
    for number, launch in enumerate(kernel_file.launches, start=1):
        checks += _checks(number, launch, kernel_file, task, workload)
    return TranslationUnit(
        text=kernel_file.text,
        preamble="\n".join(preamble) + "\n",
        appendix=_TRAITS + "\n".join(checks) + "\n",
        names=names,
        prelude=_prelude(kernel_file.text),
    )


@lru_cache(maxsize=64)
def _prelude(text: str) -> str:
    """The header with `namespace ws`, unless the file has a `ws` of its own and never names the namespace."""
    source = lex(text)
    lines = (source.tokens, *source.directives)
    own = [_names_namespace(line, at) for line in lines for at, token in enumerate(line) if token.text == "ws"]
    return PRELUDE if not own or any(own) else "ws_headers.cuh"


def _names_namespace(tokens: Sequence[CppToken], at: int) -> bool:
    before = [token.text for token in tokens[max(0, at - 3) : at]]
    behind = tokens[at + 1].text if at + 1 < len(tokens) else ""
    return behind == "::" or "namespace" in before[-1:] or before[::2] == ["namespace", "="]


def compiled_in(kernel_file: KernelFile, task: Task, workload: Workload, knobs: Mapping[str, int]) -> dict[str, int]:
    """Value of every name the source may use as a constant: knobs, `constants`, and `[let]` names over those."""
    names = names_of(kernel_file, task, workload, knobs, sms=None)
    known = {name: names[name] for name in (*kernel_file.knobs, *kernel_file.constants)}
    for name, expression in kernel_file.let.items():
        if name.isupper() and expression.names <= set(known):
            known[name] = names[name]
    return known


def build_key(
    kernel_file: KernelFile, task: Task, workload: Workload, knobs: Mapping[str, int], *, sms: int | None = None
) -> str:
    """Name what the workload compiles to: equal keys give equal code.

    A digest over the text, knobs, dtypes and values of `constants`; for Triton over the specialised builds (`sms` is
    needed where a constexpr reads `SMS`).
    """
    elements = _elements(kernel_file, task, workload)
    parts: dict[str, object] = {
        "text": digest_text(kernel_file.text),
        "dtypes": {name: dtype.value for name, dtype in elements.items()},
    }
    if kernel_file.language == "triton":
        parts["builds"] = sorted(build.entry for build in triton_builds(kernel_file, task, workload, knobs, sms=sms))
    else:
        parts["constants"] = compiled_in(kernel_file, task, workload, knobs)
    return digest_json(parts)


def _elements(kernel_file: KernelFile, task: Task, workload: Workload) -> dict[str, DType]:
    elements = {tensor.name: task.dtype_of(tensor, workload) for tensor in tensors_of(task)}
    return elements | {buffer.name: buffer_dtype(buffer, task, workload) for buffer in kernel_file.buffers}


def _checks(number: int, launch: Launch, kernel_file: KernelFile, task: Task, workload: Workload) -> list[str]:
    """static_asserts of one launch: arity first, and each argument where the arity is right.

    Names stand in single quotes, since NVRTC prints a backtick as a question mark.
    """
    elements = _elements(kernel_file, task, workload)
    kernel, count, plan = launch.kernel, len(launch.arguments), f"ws_plan_launch_{number}"
    message = f"{launch.label}: {kernel} does not take {count} arguments. Write its parameters out, without macros."
    lines = [
        f"using {plan} = ws_plan::ws_of<decltype(&{kernel})>;",
        f'static_assert({plan}::ws_count == {count}, "{_quoted(message)}");',
    ]
    for index, argument in enumerate(launch.arguments):
        name = pointer_name(argument)
        place = f"{launch.label}: argument {index + 1} ('{argument.expression.text}') of {kernel}"
        parameter = f"{plan}::ws_at<{index}>"
        if name is None or name not in elements:
            message = f"{place} is an integer. Declare the parameter 'int {argument.parameter.name}' or 'long long'."
            asserts = [(f"ws_plan::ws_integer<{parameter}>", message)]
        else:
            read_only = _read_only(name, launch, kernel_file, task)
            asserts = _pointer_checks(place, parameter, argument, elements[name], read_only)
        lines += [f'static_assert({plan}::ws_count != {count} || {test}, "{_quoted(text)}");' for test, text in asserts]
    return lines


def _pointer_checks(
    place: str, parameter: str, argument: Argument, dtype: DType, read_only: bool
) -> list[tuple[str, str]]:
    """(condition, message) of an argument that is a tensor or buffer."""
    name = argument.expression.text.strip()
    declared = f"{'const ' if read_only else ''}{name}_t* {argument.parameter.name}"
    trait = f"ws_plan::ws_pointer<{', '.join((parameter, dtype.c_type, 'void', *_FITTING[dtype], *_VECTORS))}>"
    remedy = f"Declare the parameter '{declared}'."
    checks = [(f"{trait}::ws_fits", f"{place} does not fit: '{name}' holds {dtype.value}. {remedy}")]
    if read_only:
        checks.append((f"!{trait}::ws_writes", f"{place} is read-only. {remedy}"))
    return checks


def _read_only(name: str, launch: Launch, kernel_file: KernelFile, task: Task) -> bool:
    """Inputs always, prepared buffers outside `[[prepare]]`; in-place inputs are written."""
    for buffer in kernel_file.buffers:
        if buffer.name == name:
            return buffer.prepared and not launch.prepare
    tensor = task.tensor(name)
    return isinstance(tensor, Tensor) and tensor.role is not Role.INPLACE


def _quoted(message: str) -> str:
    return message.replace("\\", "\\\\").replace('"', '\\"')
