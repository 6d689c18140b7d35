// Scalar functions that the rows of isa/*.py call from their C++ text.
//
// The VM applies them over 32 lanes in loops that gcc vectorises, so the common ones are branch-free. This file is
// compiled several times with different -m flags: set WS_NS to give each copy its own namespace. Compile with
// -ffp-contract=off (one rounding an instruction, the same on every machine); -fno-math-errno and
// -fno-trapping-math let gcc vectorise.
//
// f16 and bf16 travel as u16 bits, f16x2 and bf16x2 as u32 (low half first), tf32 as the upper bits of a u32.
#pragma once
#include "scalar_approximate.h"
#include "scalar_integers.h"
#include "scalar_small_floats.h"
#include "scalar_video.h"
