// For every other processor.
#define WS_NS ws_portable
#define WS_NAME "portable"
#define WS_MACHINE ws_machine_portable
#include "build.h"
