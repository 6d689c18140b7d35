// For processors with AVX-512 F, BW, DQ and VL.
#define WS_NS ws_avx512
#define WS_NAME "avx512"
#define WS_MACHINE ws_machine_avx512
#include "build.h"
