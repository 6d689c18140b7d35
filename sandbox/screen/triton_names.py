"""Names a Triton kernel may use. Source: the language reference of Triton 3.6 and 3.7.

What is left out either runs Python at compile time, prints, or puts text into the PTX.
"""

from __future__ import annotations

from types import MappingProxyType


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LANGUAGE = _words("""
    abs advance arange argmax argmin associative_scan assume atomic_add atomic_and atomic_cas atomic_max atomic_min
    atomic_or atomic_xchg atomic_xor bfloat16 broadcast broadcast_to cast cat cdiv ceil clamp const constexpr cos
    cumprod cumsum debug_barrier device_assert div_rn dot dot_scaled dtype erf exp exp2 expand_dims fdiv flip float16
    float32 float64 float8e4b15 float8e4b8 float8e4nv float8e5 float8e5b16 floor fma full gather histogram int1 int16
    int32 int64 int8 interleave join load load_tensor_descriptor log log2 make_block_ptr make_tensor_descriptor
    max max_constancy max_contiguous maximum min minimum multiple_of num_programs pair_uniform_to_normal permute
    philox pi32_t pointer_type program_id PropagateNan rand rand4x randint randint4x randn randn4x range ravel reduce
    reduce_or reshape rsqrt sigmoid sin softmax sort split sqrt sqrt_rn squeeze static_assert static_range store
    store_tensor_descriptor sum swizzle2d tensor topk trans uint16 uint32 uint64 uint8 uint_to_uniform_float umulhi
    unsqueeze view void where xor_sum zeros zeros_like
""")
"""`tl.<name>`."""

MATH = _words("abs ceil cos div_rn erf exp exp2 fdiv floor fma log log2 rsqrt sin sqrt sqrt_rn umulhi")
"""`tl.math.<name>`."""

VALUES = _words("""
    ALL T NONE abs advance argmax argmin associative_scan atomic_add atomic_and atomic_cas atomic_max atomic_min
    atomic_or atomic_xchg atomic_xor block_shape broadcast_to cast cdiv ceil cos cumprod cumsum dtype element_ty erf
    exp exp2 expand_dims flip floor gather histogram int_bitwidth is_bf16 is_floating is_fp16 is_fp32 is_fp64 is_fp8
    is_int is_int_signed is_int_unsigned item load log log2 logical_and logical_or max min numel permute
    primitive_bitwidth ravel reduce reduce_or reshape rsqrt scalar scatter shape sigmoid sin softmax sort split sqrt
    sqrt_rn store sum to trans type value view xor_sum
""")
"""`<value>.<name>` of tensors, descriptors, element types and constants."""

LIBDEVICE = _words("""
    abs acos acosh asin asinh atan atan2 atanh brev byte_perm cbrt ceil clz copysign cos cosh cospi div_rd div_rn div_ru
    div_rz erf erfc erfcinv erfcx erfinv exp exp10 exp2 expm1 fast_cosf fast_dividef fast_exp10f fast_expf fast_log10f
    fast_log2f fast_logf fast_powf fast_sinf fast_tanf fast_tanhf fdim ffs finitef float2int_rd float2int_rn
    float2int_ru float2int_rz float2uint_rn float2uint_rz float_as_int float_as_uint floor fma fma_rd fma_rn fma_ru
    fma_rz fmod hypot ilogb int2float_rn int2float_rz int_as_float isfinited isinf isnan ldexp lgamma llrint llround
    log log10 log1p log2 logb mul24 mulhi nearbyint nextafter normcdf normcdfinv popc pow rcbrt remainder rhypot rint
    round rsqrt rsqrt_rn saturatef scalbn signbit sin sinh sinpi sqrt sqrt_rn tan tanh tgamma trunc uint2float_rn
    uint_as_float
""")
"""`libdevice.<name>`."""

BUILTINS = _words("range min max len float int")
TRITON = _words("cdiv next_power_of_2")
"""`triton.<name>` inside a kernel, over constants."""

REMEDIES = MappingProxyType(
    {
        "device_print": "Remove it: nothing that a kernel prints is read.",
        "static_print": "Remove it: nothing that a kernel prints is read.",
        "print": "Remove it: nothing that a kernel prints is read.",
        "inline_asm_elementwise": "Write the operation in tl.*, or write the kernel file in CUDA, whose inline PTX is "
        "welcome.",
        "globaltimer": "Kernels must not read clocks.",
        "smid": "Decide by `tl.program_id`: a kernel must not know which multiprocessor runs it.",
        "core": "Use what `tl.` itself offers.",
        "format": "Kernels hold numbers alone.",
        "constexpr_function": 'It runs Python: say the value in the plan, `constexpr = { BLOCK = "pow2ceil(N)" }`.',
        "autotune": "Say the configurations as knobs under [tune]: `BLOCK = [64, 128]`, `num_warps = [4, 8]`.",
        "Config": "Say the configurations as knobs under [tune]: `BLOCK = [64, 128]`, `num_warps = [4, 8]`.",
        "heuristics": 'Say it as an expression: `constexpr = { BLOCK = "pow2ceil(N)" }` in the [[launch]].',
        "language": "Write `tl.` for `triton.language.`.",
        "map_elementwise": "Write the operation over whole tensors.",
        "libdevice": "Write `from triton.language.extra import libdevice` below the imports, then `libdevice.tanh(x)`.",
        "extra": "Write `from triton.language.extra import libdevice` below the imports, then `libdevice.tanh(x)`.",
        "tanh": "Write `from triton.language.extra import libdevice` and `libdevice.tanh(x)`, or "
        "`2 * tl.sigmoid(2 * x) - 1`.",
        "pow": "Write `tl.exp2(y * tl.log2(x))`, or `from triton.language.extra import libdevice` and "
        "`libdevice.pow(x, y)`.",
        "abs": "Write `tl.abs`.",
        "sum": "Write `tl.sum`.",
        "bool": "Write `x != 0`.",
        "torch": "Element types are `tl.float16`; host code is not part of a kernel file.",
        "math": "Write `tl.math.exp2` or `tl.exp2`.",
        "mT": "Write `tl.trans(x)`.",
        "astype": "Write `x.to(tl.float32)`.",
        "data_ptr": "Parameters are pointers already.",
        "stride": "Tensors are contiguous: compute the stride from the dimensions.",
        "size": "Pass the dimension as a parameter of that name.",
    }
)
"""What to do instead, by the name that is not available."""
