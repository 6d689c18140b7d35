// A failed assertion traps: the run ends as a crash at that line, with nothing printed.
#pragma once

#undef assert
#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define assert(condition) ((condition) ? (void)0 : __trap())
#endif
