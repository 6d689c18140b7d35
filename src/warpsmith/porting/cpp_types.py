"""Element types by the names that C++ and PyTorch give them."""

from __future__ import annotations

from warpsmith.porting.expressions import Unresolved

SIZES = {
    **dict.fromkeys(("float", "int", "unsigned", "unsigned_int", "int32_t", "uint32_t", "half2", "__half2"), "4"),
    **dict.fromkeys(("half", "__half", "__nv_bfloat16", "short", "at_Half", "nv_bfloat16", "uint16_t", "int16_t"), "2"),
    **dict.fromkeys(("double", "int64_t", "long_long", "size_t", "long", "float2", "uint64_t"), "8"),
    **dict.fromkeys(("float4", "int4", "uint4"), "16"),
    **dict.fromkeys(("char", "int8_t", "uint8_t", "bool", "unsigned_char"), "1"),
}
TYPES = {"at::Half": "half", "c10::Half": "half", "at::BFloat16": "__nv_bfloat16", "c10::BFloat16": "__nv_bfloat16"}
DTYPES = {
    **dict.fromkeys(("float", "kFloat", "kFloat32", "torch::kFloat"), "float32"),
    **dict.fromkeys(("half", "__half", "kHalf", "kFloat16"), "float16"),
    **dict.fromkeys(("__nv_bfloat16", "kBFloat16"), "bfloat16"),
    **dict.fromkeys(("double", "kDouble", "kFloat64"), "float64"),
    **dict.fromkeys(("int", "unsigned", "kInt", "kInt32", "int32_t", "uint32_t"), "int32"),
    **dict.fromkeys(("int64_t", "kLong", "kInt64"), "int64"),
    **dict.fromkeys(("uint8_t", "kByte", "kUInt8", "char"), "uint8"),
}


def size_of(name: str) -> str:
    if name not in SIZES:
        raise Unresolved(f"`sizeof({name})` is not known here")
    return SIZES[name]
