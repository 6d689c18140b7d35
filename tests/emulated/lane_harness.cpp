// Runs each row of the lane table over arrays, for test_conformance_lanes.py: independent of the VM, quick to compile.
#include "scalar.h"

namespace {
using namespace WS_NS;

template <class T>
T load(u64 bits) {
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
template <>
pred load<pred>(u64 bits) { return bits != 0; }

template <class T>
u64 store(T value) {
    u64 bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
}

template <class... T>
struct Types {};

// Operand k of sample i is x[k * n + i].
template <class R, class A, class F>
void loop(F f, Types<A>, const u64* x, u64* r, int n) {
    for (int i = 0; i < n; i++) r[i] = store<R>(f(load<A>(x[i])));
}
template <class R, class A, class B, class F>
void loop(F f, Types<A, B>, const u64* x, u64* r, int n) {
    for (int i = 0; i < n; i++) r[i] = store<R>(f(load<A>(x[i]), load<B>(x[n + i])));
}
template <class R, class A, class B, class C, class F>
void loop(F f, Types<A, B, C>, const u64* x, u64* r, int n) {
    for (int i = 0; i < n; i++) r[i] = store<R>(f(load<A>(x[i]), load<B>(x[n + i]), load<C>(x[2 * n + i])));
}
template <class R, class A, class B, class C, class D, class F>
void loop(F f, Types<A, B, C, D>, const u64* x, u64* r, int n) {
    for (int i = 0; i < n; i++)
        r[i] = store<R>(f(load<A>(x[i]), load<B>(x[n + i]), load<C>(x[2 * n + i]), load<D>(x[3 * n + i])));
}

struct Row {
    const char* name;
    void (*run)(const u64*, u64*, int);
};

#define UNPACK(...) __VA_ARGS__
#define PARAMETERS_1 auto a
#define PARAMETERS_2 auto a, auto b
#define PARAMETERS_3 auto a, auto b, auto c
#define PARAMETERS_4 auto a, auto b, auto c, auto d
#define LANE_ROW(name, R, arity, args, expression)                                                   \
    {name, [](const u64* x, u64* r, int n) {                                                         \
         loop<R>([](PARAMETERS_##arity) -> R { return R(expression); }, Types<UNPACK args>{}, x, r, n); \
     }},
const Row rows[] = {
#include "lane_rows.inc"
};
}  // namespace

extern "C" int row_count() { return int(sizeof rows / sizeof *rows); }
extern "C" const char* row_name(int i) { return rows[i].name; }
extern "C" void row_run(int i, const uint64_t* x, uint64_t* r, int n) { rows[i].run(x, r, n); }
