// The same headers for a plain CUDA file, which knows nothing of kernel files: no names of ours, and a failed assertion
// says which it was.
#pragma once

#define WS_ASSERTIONS_SPEAK
#include "ws_headers.cuh"
