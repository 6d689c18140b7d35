// What every CUDA kernel file may rely on without an include: ws_headers.cuh, and ws::to_float / ws::from_float.
#pragma once

#include "ws_headers.cuh"

namespace ws {

__device__ __forceinline__ float to_float(float v) { return v; }
__device__ __forceinline__ float to_float(double v) { return static_cast<float>(v); }
__device__ __forceinline__ float to_float(__half v) { return __half2float(v); }
__device__ __forceinline__ float to_float(__nv_bfloat16 v) { return __bfloat162float(v); }
__device__ __forceinline__ float to_float(__nv_fp8_e4m3 v) { return static_cast<float>(v); }
__device__ __forceinline__ float to_float(__nv_fp8_e5m2 v) { return static_cast<float>(v); }
__device__ __forceinline__ float to_float(int v) { return static_cast<float>(v); }
__device__ __forceinline__ float to_float(unsigned v) { return static_cast<float>(v); }
__device__ __forceinline__ float to_float(signed char v) { return static_cast<float>(v); }
__device__ __forceinline__ float to_float(unsigned char v) { return static_cast<float>(v); }
__device__ __forceinline__ float to_float(short v) { return static_cast<float>(v); }
__device__ __forceinline__ float to_float(unsigned short v) { return static_cast<float>(v); }
__device__ __forceinline__ float to_float(long long v) { return static_cast<float>(v); }
__device__ __forceinline__ float to_float(bool v) { return v ? 1.0f : 0.0f; }

template <typename T>
struct from_float_to {
    static __device__ __forceinline__ T of(float v) { return static_cast<T>(v); }
};
template <>
struct from_float_to<__half> {
    static __device__ __forceinline__ __half of(float v) { return __float2half_rn(v); }
};
template <>
struct from_float_to<__nv_bfloat16> {
    static __device__ __forceinline__ __nv_bfloat16 of(float v) { return __float2bfloat16_rn(v); }
};

// Rounds to nearest even for floating types; float8 saturates, as cuda_fp8.h does; integers truncate.
template <typename T>
__device__ __forceinline__ T from_float(float v) {
    return from_float_to<T>::of(v);
}

}  // namespace ws
