// Headers that every CUDA file here may rely on without an include: fixed-width integers, INFINITY and the limits of
// float and int, half, bfloat16 and float8 types.
#pragma once

#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <stdint.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <assert.h>

#ifndef __cuda_cuda_h__
// The host fills it from [[tensormap]]; device code only takes its address. Same layout as in cuda.h.
typedef struct CUtensorMap_st {
    alignas(64) unsigned long long opaque[16];
} CUtensorMap;
#endif
