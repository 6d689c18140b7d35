// One build of the machine: the handler table and the entry that host.cpp calls. Every machine_*.cpp includes this
// with its own namespace and compiler flags, and nothing with code is shared between them.
#pragma once
#include "atomics.h"
#include "calls.h"
#include "exchange.h"
#include "lanes.h"
#include "matrix.h"
#include "mbarrier.h"
#include "pessimism.h"
#include "products.h"
#include "quads.h"
#include "wide_atomics.h"
#include "wmma.h"
#include "meeting_places.h"
#include "window.h"

namespace WS_NS {
namespace {

struct Entry {
    const char* name;
    Handler variants[4];  // by checks * 2 + count
};

#define SAME(name, f) {name, {f, f, f, f}},
#define COUNTED(name, F) {name, {F<false>, F<true>, F<false>, F<true>}},
#define VARIANTS(name, F, ...)                                                                              \
    {name,                                                                                                  \
     {&F<__VA_ARGS__, false, false>::run, &F<__VA_ARGS__, false, true>::run, &F<__VA_ARGS__, true, false>::run, \
      &F<__VA_ARGS__, true, true>::run}},
// Without checks the distances of an earlier access serve again; with checks every access stands alone.
#define AGAIN(name, F, ...)                                                                                   \
    {name,                                                                                                    \
     {&F<__VA_ARGS__, false, false, true>::run, &F<__VA_ARGS__, false, true, true>::run,                      \
      &F<__VA_ARGS__, true, false>::run, &F<__VA_ARGS__, true, true>::run}},
#define AGAINS(type, E, space, SPACE)                                                                         \
    AGAIN("ld." space ".again." type, Load, SPACE, E, 1) AGAIN("ld." space ".again.v2." type, Load, SPACE, E, 2) \
    AGAIN("ld." space ".again.v4." type, Load, SPACE, E, 4) AGAIN("st." space ".again." type, Store, SPACE, E, 1) \
    AGAIN("st." space ".again.v2." type, Store, SPACE, E, 2) AGAIN("st." space ".again.v4." type, Store, SPACE, E, 4)
#define ACCESSES(type, E, space, SPACE)                                                         \
    VARIANTS("ld." space "." type, Load, SPACE, E, 1) VARIANTS("ld." space ".v2." type, Load, SPACE, E, 2) \
    VARIANTS("ld." space ".v4." type, Load, SPACE, E, 4)
#define WRITES(type, E, space, SPACE)                                                           \
    VARIANTS("st." space "." type, Store, SPACE, E, 1) VARIANTS("st." space ".v2." type, Store, SPACE, E, 2) \
    VARIANTS("st." space ".v4." type, Store, SPACE, E, 4)
#define READ_ANYWHERE(type, E)                                                                     \
    SAME("ld.any." type, (&LoadAnywhere<E, 1>::run)) SAME("ld.any.v2." type, (&LoadAnywhere<E, 2>::run)) \
    SAME("ld.any.v4." type, (&LoadAnywhere<E, 4>::run))
#define WRITE_ANYWHERE(type, E)                                                                       \
    SAME("st.any." type, (&StoreAnywhere<E, 1>::run)) SAME("st.any.v2." type, (&StoreAnywhere<E, 2>::run)) \
    SAME("st.any.v4." type, (&StoreAnywhere<E, 4>::run))
#define LANE_ROW(name, R, arity, types, expression) SAME("lane." name, (WS_JOIN(Row, __LINE__)::handler()))

static const Entry TABLE[] = {
#include "lane_rows.inc"
    ACCESSES("u8", u8, "global", WS_GLOBAL) ACCESSES("s8", s8, "global", WS_GLOBAL)
    ACCESSES("u16", u16, "global", WS_GLOBAL) ACCESSES("s16", s16, "global", WS_GLOBAL)
    ACCESSES("u32", u32, "global", WS_GLOBAL) ACCESSES("u64", u64, "global", WS_GLOBAL)
    ACCESSES("u8", u8, "shared", WS_SHARED) ACCESSES("s8", s8, "shared", WS_SHARED)
    ACCESSES("u16", u16, "shared", WS_SHARED) ACCESSES("s16", s16, "shared", WS_SHARED)
    ACCESSES("u32", u32, "shared", WS_SHARED) ACCESSES("u64", u64, "shared", WS_SHARED)
    WRITES("u8", u8, "global", WS_GLOBAL) WRITES("u16", u16, "global", WS_GLOBAL)
    WRITES("u32", u32, "global", WS_GLOBAL) WRITES("u64", u64, "global", WS_GLOBAL)
    WRITES("u8", u8, "shared", WS_SHARED) WRITES("u16", u16, "shared", WS_SHARED)
    WRITES("u32", u32, "shared", WS_SHARED) WRITES("u64", u64, "shared", WS_SHARED)
    AGAINS("u16", u16, "global", WS_GLOBAL) AGAINS("u32", u32, "global", WS_GLOBAL)
    AGAINS("u64", u64, "global", WS_GLOBAL) AGAINS("u16", u16, "shared", WS_SHARED)
    AGAINS("u32", u32, "shared", WS_SHARED) AGAINS("u64", u64, "shared", WS_SHARED)
    READ_ANYWHERE("u8", u8) READ_ANYWHERE("s8", s8) READ_ANYWHERE("u16", u16) READ_ANYWHERE("s16", s16)
    READ_ANYWHERE("u32", u32) READ_ANYWHERE("u64", u64)
    WRITE_ANYWHERE("u8", u8) WRITE_ANYWHERE("u16", u16) WRITE_ANYWHERE("u32", u32) WRITE_ANYWHERE("u64", u64)
    SAME("branch", branch) COUNTED("branch_if", branch_if) SAME("exit", exit_all) COUNTED("exit_if", exit_if) SAME("branch_indexed", branch_indexed)
    SAME("assert", assert_failed)
    COUNTED("guarded", guarded) COUNTED("split", split) SAME("trap", trap) SAME("nothing", nothing)
    SAME("bar.sync", bar_sync) SAME("bar.arrive", bar_arrive) SAME("bar.warp.sync", bar_warp_sync) SAME("fence", memory_fence)
    {"defined", {nothing, nothing, require_defined, require_defined}},
   
    SAME("shfl.up", shuffle<UP>) SAME("shfl.down", shuffle<DOWN>) SAME("shfl.bfly", shuffle<BUTTERFLY>)
    SAME("shfl.idx", shuffle<INDEX>) SAME("vote", vote) SAME("activemask", active_mask) SAME("match", match)
    SAME("redux", reduce) SAME("elect", elect)
    SAME("cp.async", cp_async) SAME("cp.async.commit_group", cp_async_commit)
    SAME("cp.async.wait_group", cp_async_wait) SAME("cp.async.wait_all", cp_async_wait_all)
    ATOMICS WIDE_ATOMICS MATRICES PERTURBATIONS PRODUCTS QUADS WMMAS MBARRIERS
    SAME("add64.same", add_same) SAME("printf", print) SAME("copy32", copy32) SAME("copy64", copy64)
    SAME("clock32", read_clock<u32>) SAME("clock64", read_clock<u64>)
    SAME("extend64.u", extend_unsigned) SAME("extend64.s", extend_signed) SAME("truncate32", truncate32)
};
#undef LANE_ROW

constexpr u32 COUNT = sizeof TABLE / sizeof TABLE[0];

static const char* handler_name(u32 index) { return index < COUNT ? TABLE[index].name : nullptr; }
static Handler handler_at(u32 index, bool checks, bool count) { return TABLE[index].variants[checks * 2 + count]; }

static u32 reporting;
static void lock_reports() {
    while (__atomic_exchange_n(&reporting, 1, __ATOMIC_ACQUIRE)) {
    }
}
static void unlock_reports() { __atomic_store_n(&reporting, 0, __ATOMIC_RELEASE); }

// What host threads do one at a time at their ends. A fault of an earlier block than the one recorded takes its
// place, so that threads do not matter.
static void report(WsLaunch* launch, Worker* k) {
    lock_reports();
    share_updates(launch, k);
    if (k->fault.kind &&
        (!launch->fault.kind || k->position <= __atomic_load_n(&launch->stop_after, __ATOMIC_RELAXED))) {
        launch->fault = k->fault;
        launch->waiting_count = 0;
        if (hung(k->fault)) note_block(k, what_runs(k->fault));
    }
    unlock_reports();
}

static void end(Worker* k) {
    add_up(k);
    report(k->launch, k);
    hand_over(k);
}

// The last of a host thread's reports, of which there is one at a time.
static void end(WsLaunch* launch, Common& common) {
    lock_reports();
    compare_shadows(launch, common.shadows);
    unlock_reports();
}

static bool work(WsLaunch* launch) {
    Common common = {};
    Window window = {};
    bool ready = share_among(common, launch, handler_at);
    Worker* k = ready ? add_worker(window, common, launch) : nullptr;
    if (k && launch->resident) ready = run_window(window, common);
    else if (k) run_blocks(k);
    for (u32 i = 0; k && i < window.count; i++) end(window.workers[i]);
    // Where blocks share the device there is one host thread, and those beside the one blamed wait too.
    for (u32 i = 0; k && launch->resident && hung(launch->fault) && i < window.count; i++)
        if (window.workers[i]->begun && !window.workers[i]->fault.kind)
            note_block(window.workers[i], what_runs(launch->fault));
    if (k) add_counts(launch, common);
    end(launch, common);
    release(window);
    release(launch, common);
    return ready && k;
}

}  // namespace
}  // namespace WS_NS

extern "C" const WsMachine WS_MACHINE;
const WsMachine WS_MACHINE = {WS_NAME, WS_NS::COUNT, WS_NS::handler_name, WS_NS::work};
