// For processors with AVX2, FMA and F16C.
#define WS_NS ws_avx2
#define WS_NAME "avx2"
#define WS_MACHINE ws_machine_avx2
#include "build.h"
