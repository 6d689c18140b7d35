// The records that Python (bindings.py), the host part (host.cpp) and every build of the machine share.
// Plain data without code, so that each translation unit may include it whatever its instruction set.
#pragma once
#include <stdint.h>

// One bytecode operation as lower.py writes it. Operands are byte offsets into a warp's register file.
struct WsOperation {
    uint32_t handler;  // index into the handler table, the same in every build
    uint32_t d, a, b, c, e;
    uint32_t list;    // first element of this operation's list, for those with more operands
    uint32_t site;    // index of the instruction it came from
    uint32_t flags;   // see WsFlag
    uint32_t port;    // index of the memory instruction among memory instructions
    uint32_t target;  // basic block a branch goes to
    uint32_t bytes;   // bytes a lane accesses, or a small integer parameter
    int64_t imm;      // address offset, or a parameter of the handler
};

enum WsFlag : uint32_t {
    WS_BACKWARD = 1,      // branch to this block or an earlier one
    WS_NEGATED = 2,       // acts where the predicate does not hold
    WS_WIDE = 4,          // the address register has 64 bits
    WS_SIGNED = 8,        // narrow loads sign-extend
    WS_SYNCHRONISES = 16,  // volatile, acquire, release, atomic: orders other accesses
    WS_POLLS = 32,  // branch of a loop that waits for what others write
    WS_BLOCK_SCOPE = 64,  // synchronises with threads of its block only
    WS_ACQUIRES = 128,
    WS_RELEASES = 256,
    WS_READ_ONLY_PATH = 512,  // what it reads must not change during the launch
    WS_AWAITS = 1024,         // read of a loop that waits for its value
    WS_ALIGNED = 2048,        // all lanes of a warp execute the barrier together
    WS_REPLACES = 4096,       // an exchange: a store that also reads
    WS_ANYWHERE = 8192        // lanes may meet at several instructions of its name
};

// A register that has its value before the first instruction: an immediate, a parameter, a special register.
enum WsSlotKind : uint32_t { WS_IMMEDIATE, WS_PARAM, WS_SPECIAL };
struct WsSlot {
    uint32_t offset, width;  // place in the register file; bytes of a lane, 4 or 8
    uint32_t kind, index;    // for a parameter its byte offset, for a special register its WsSpecial
    uint64_t bits;           // immediate; for a parameter its size in bytes
};
enum WsSpecial : uint32_t {
    WS_TID_X, WS_TID_Y, WS_TID_Z, WS_NTID_X, WS_NTID_Y, WS_NTID_Z,
    WS_CTAID_X, WS_CTAID_Y, WS_CTAID_Z, WS_NCTAID_X, WS_NCTAID_Y, WS_NCTAID_Z,
    WS_LANEID, WS_WARPID, WS_NWARPID, WS_SMID, WS_NSMID,
    WS_LANEMASK_EQ, WS_LANEMASK_LE, WS_LANEMASK_LT, WS_LANEMASK_GE, WS_LANEMASK_GT,
    WS_DYNAMIC_SHARED, WS_TOTAL_SHARED
};

struct WsBlock {
    uint32_t first;         // its first operation
    uint32_t instructions;  // PTX instructions in it
    uint32_t changes;       // it may change memory, atomics apart, or a barrier
    uint32_t listens;       // it may read what others write and mean it: volatile, atomic, an mbarrier
};

struct WsAllocation {
    uint64_t address, size;
    uint8_t* data;
    uint8_t* valid;  // one byte a byte, or null when everything was initialised
    uint32_t writable, unused;
};

struct WsCounters {  // machine.SiteCounters
    uint64_t requests, lanes, sectors, wavefronts, ideal, atomic_serial;
    uint64_t fresh;  // sectors that a load brought to its block for the first time
};

// What blocks ask of L2: an entry is so many sectors in a row, whose first is `address / 32` counted from the lowest
// global address, or, where it begins a block, that block's index.
enum WsAsks : uint32_t { WS_LOADS, WS_STORES, WS_UPDATES, WS_BEGINS };
enum { WS_COUNT_AT = 42, WS_ASKS_AT = 48, WS_PORT_AT = 50, WS_TRACED_PORTS = 1 << 14 };
enum { WS_MOST_ASKED = 1 << 22 };  // entries of one host thread beyond which nobody counts L2
struct WsTrace {
    uint64_t* entries;
    uint64_t count, capacity;
    uint32_t dropped;
    WsTrace* next;
};

// What the model of L2 says of one launch (l2.h); sectors.
struct WsL2 {
    uint64_t loads, load_hits, stores, atomics, atomic_hits;
    uint64_t fills;       // read from DRAM
    uint64_t written;     // modified sectors that had to leave
    uint64_t left_dirty;  // modified sectors that stayed
    uint64_t simulated;   // 0: the launch asked for too much to keep
};
// Sectors are told apart by how many of the blocks that ran touch them: 1, 2, ..., this many or more.
enum { WS_SHARING = 64 };

enum WsFaultKind : uint32_t {
    WS_NO_FAULT, WS_OUT_OF_BOUNDS, WS_READ_ONLY, WS_MISALIGNED, WS_UNINITIALISED, WS_RACE, WS_BARRIER,
    WS_DEADLOCK, WS_BUDGET, WS_TRAP
};
enum WsSpace : uint32_t { WS_GLOBAL, WS_SHARED, WS_LOCAL, WS_GENERIC, WS_CONST, WS_KERNEL_PARAM, WS_REGISTER };
// Why accesses race: nothing orders them, a load through the read-only path finds what the launch wrote, or no fence
// stands behind the strong read that told of the other.
enum WsRaceDetail : uint32_t { WS_UNORDERED, WS_STALE_PATH, WS_UNFENCED };
// Of a read of what nobody wrote.
enum WsUnreadDetail : uint32_t { WS_NEVER_WRITTEN, WS_STILL_IN_FLIGHT };
// What a deadlock is about: a barrier, a loop that waits for another block, or one that has nothing to wait for.
enum WsDeadlockDetail : uint32_t { WS_BARRIER_WAITS, WS_LOOP_WAITS, WS_LOOP_TURNS };
// What the budget ended: something that ran, or loops that waited while nothing changed.
enum WsBudgetDetail : uint32_t { WS_RUNS, WS_NOTHING_CHANGES };
// Why a barrier fault is one.
enum WsBarrierDetail : uint32_t {
    WS_DIFFERENT_BARRIERS, WS_DIFFERENT_INSTRUCTIONS, WS_DIFFERENT_COUNTS, WS_LANES_NEVER_ARRIVE, WS_BAD_BARRIER,
    WS_LANE_NOT_IN_MASK, WS_WARP_NOT_WHOLE, WS_PART_OF_WARP,
    WS_NO_MBARRIER, WS_TOO_MANY_ARRIVALS, WS_COMPLETES
};

struct WsFault {
    uint32_t kind, site, other_site, detail;
    uint32_t thread, other_thread;  // linear within the block
    uint32_t space, size;
    int64_t block;  // linear within the grid
    uint64_t address;
    int64_t allocation;  // index, or -1
    int64_t distance;    // bytes past the end (positive) or before the start (negative)
    int64_t other_block;
};

// Where lanes of a warp were when a launch hung or had spent its budget.
enum { WS_MOST_WAITING = 4096 };
enum WsWaitKind : uint32_t { WS_AT_BARRIER, WS_FOR_LANES, WS_IN_LOOP, WS_RUNNING, WS_IN_ENDLESS_LOOP };
struct WsWaiting {
    int64_t block;
    uint32_t warp, site, lanes, kind;
};

// What one thread passed to vprintf.
enum { WS_PRINT_BYTES = 256 };
struct WsPrinted {
    uint64_t format;
    int64_t block;
    uint32_t thread, unused;
    uint8_t arguments[WS_PRINT_BYTES];
};

// How threads of the program may order others through memory.
enum WsOrders : uint32_t {
    WS_FENCES = 1,
    WS_HANDS_OVER = 2  // strong stores, and strong loads that do not wait for what they find
};

struct WsLaunch {
    const WsOperation* operations;
    const uint32_t* lists;
    const WsSlot* slots;
    const WsBlock* blocks;
    const WsAllocation* allocations;
    const int64_t* run;  // linear indices of the blocks to run
    const uint8_t* params;
    uint64_t* block_warps;
    uint64_t* block_threads;
    uint64_t* guarded_warps;
    uint64_t* guarded_lanes;  // by instruction: lanes whose guard held, or that took the branch
    uint64_t* divergent;      // by instruction: executions of a branch that sent lanes to more than one place
    WsCounters* counters;
    // What each group of blocks counted (samples.h): rows of row_values; row_of is by position in `run`.
    uint64_t* rows;
    const uint32_t* row_of;
    // Sectors that a block touches, over all blocks, by how many blocks touch them (WS_SHARING): by allocation, and by
    // port where its load, or its store, is the block's first of the sector.
    uint64_t* allocation_sharing;
    uint64_t* port_sharing;
    uint64_t* distinct;         // by allocation: sectors that any block touches
    uint32_t* port_allocation;  // the allocation that a port touches first
    uint64_t* port_misses;         // by port: sectors that DRAM had to deliver
    WsPrinted* printed;
    WsWaiting* waiting;  // WS_MOST_WAITING places
    uint32_t operation_count, slot_count, block_count, allocation_count, site_count, port_count;
    uint32_t register_bytes, shared_bytes, dynamic_shared, local_bytes, print_capacity, sms;
    uint32_t grid[3], block[3];
    int64_t run_count;
    uint64_t seed;
    uint64_t address_base, address_stride_bits;
    uint64_t shared_window, local_window, const_window, param_window;
    uint64_t window_bytes;
    const uint8_t* constants;  // constant memory
    uint64_t constant_bytes, param_bytes;
    uint32_t threads, checks, count, isa;
    int64_t budget;  // warp instructions; what is left when the launch returns
    int64_t blocks_run;
    int64_t next_run;       // shared between host threads: position in `run`
    int64_t stop_after;     // position of the first block that faulted
    uint64_t heaviest_block;  // most warp instructions of one block
    uint64_t busiest_lanes;   // lanes that atomics brought to the global address with the most of them
    uint64_t busiest_blocks;  // and the blocks they came from
    void* updates;            // what host threads share to find it
    void* shadows;            // what their blocks did to global memory
    void* traces;  // what blocks asked of L2, from all host threads
    uint64_t l2_bytes;  // 0: nobody asks for L2
    uint32_t l2_ways, row_count;
    int64_t wave;  // blocks on the device at a time, for L2
    WsL2 l2;
    uint32_t print_count;
    uint32_t resident;  // blocks on the device at once, 0 where nobody waits for another block
    uint32_t orders;    // WsOrders
    uint32_t ended;     // host threads that are done
    uint32_t waiting_count;
    WsFault fault;
};

// One build of the machine for one instruction set.
struct WsMachine {
    const char* name;
    uint32_t handler_count;
    const char* (*handler_name)(uint32_t);
    // Runs blocks until none is left; one call a host thread. Returns false when memory ran out.
    bool (*work)(WsLaunch*);
};
