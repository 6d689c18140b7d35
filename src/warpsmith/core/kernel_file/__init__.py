"""The kernel file: device code with a declarative launch plan in its head block. See `docs/kernel-file.md`.

`parse_kernel_file` reads one, `check` holds it against a task, `bind` makes a plan for one workload, and
`translation_unit` gives the texts the compiler sees.
"""

from warpsmith.core.kernel_file.bind import MOST_SHARED, bind, inside_domain
from warpsmith.core.kernel_file.check import check
from warpsmith.core.kernel_file.dims import dimension_names, dims_of, tensor_shape
from warpsmith.core.kernel_file.explain import ends_too_soon, explain_compile_error, line_of_entry
from warpsmith.core.kernel_file.heavy import too_much
from warpsmith.core.kernel_file.model import Argument, Buffer, Fill, KernelFile, Launch, Parameter, Signature
from warpsmith.core.kernel_file.names import buffer_dtype
from warpsmith.core.kernel_file.parse import LARGEST_TEXT, parse_kernel_file
from warpsmith.core.kernel_file.translation_unit import build_key, compiled_in, translation_unit
from warpsmith.core.kernel_file.triton_build import TritonBuild, TritonUnit, triton_builds, triton_unit

__all__ = [
    "LARGEST_TEXT",
    "MOST_SHARED",
    "Argument",
    "Buffer",
    "Fill",
    "KernelFile",
    "Launch",
    "Parameter",
    "Signature",
    "TritonBuild",
    "TritonUnit",
    "bind",
    "buffer_dtype",
    "build_key",
    "check",
    "compiled_in",
    "dimension_names",
    "dims_of",
    "ends_too_soon",
    "explain_compile_error",
    "inside_domain",
    "line_of_entry",
    "parse_kernel_file",
    "tensor_shape",
    "too_much",
    "translation_unit",
    "triton_builds",
    "triton_unit",
]
