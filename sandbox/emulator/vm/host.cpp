// The plain C interface that Python loads, and the threads that run a launch. Compiled without -m flags.
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "interface.h"
#include "l2.h"

extern "C" const WsMachine ws_machine_portable;
#if defined(__x86_64__)
extern "C" const WsMachine ws_machine_avx2, ws_machine_avx512;
#endif

namespace {

bool runs_here(const char* name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (!std::strcmp(name, "avx2")) return avx2;
    if (!std::strcmp(name, "avx512"))
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
    return !std::strcmp(name, "portable");
}

// Best first.
std::vector<const WsMachine*> machines() {
    std::vector<const WsMachine*> found;
#if defined(__x86_64__)
    for (const WsMachine* machine : {&ws_machine_avx512, &ws_machine_avx2})
        if (runs_here(machine->name)) found.push_back(machine);
#endif
    found.push_back(&ws_machine_portable);
    return found;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) const char* ws_source_digest() { return WS_SOURCE_DIGEST; }

// Name of the i-th instruction set that this processor has, best first; null behind the last.
__attribute__((visibility("default"))) const char* ws_isa_name(uint32_t i) {
    auto found = machines();
    return i < found.size() ? found[i]->name : nullptr;
}

__attribute__((visibility("default"))) const char* ws_handler_name(uint32_t index) {
    return ws_machine_portable.handler_name(index);
}

// Returns 0, or 1 when memory ran out. `launch->isa` indexes ws_isa_name.
__attribute__((visibility("default"))) int ws_launch(WsLaunch* launch) {
    const WsMachine* machine = machines()[launch->isa];
    uint32_t count = launch->threads ? launch->threads : 1;
    std::vector<char> worked(count, 0);
    std::vector<std::thread> others;
    for (uint32_t t = 1; t < count; t++) others.emplace_back([&, t] { worked[t] = machine->work(launch); });
    worked[0] = machine->work(launch);
    for (auto& other : others) other.join();
    std::free(launch->updates);
    launch->updates = nullptr;
    l2::simulate(launch);
    l2::release(launch);
    for (char ok : worked)
        if (!ok) return 1;
    return 0;
}

// Python finds the library by importing it; everything is called through the functions above.
__attribute__((visibility("default"))) PyObject* PyInit__vm() {
    static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_vm", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
    return PyModule_Create(&definition);
}
}
