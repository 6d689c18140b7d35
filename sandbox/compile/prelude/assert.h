// A failed assertion of a kernel file traps: the run ends as a crash at that line, with nothing printed. That of a plain
// file calls the device runtime with what failed.
#pragma once

#undef assert
#ifdef NDEBUG
#define assert(condition) ((void)0)
#elif defined(WS_ASSERTIONS_SPEAK)
#define assert(condition) ((condition) ? (void)0 : __assertfail(#condition, __FILE__, __LINE__, __func__, 1))
#else
#define assert(condition) ((condition) ? (void)0 : __trap())
#endif
