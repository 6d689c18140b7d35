// A libcuda.so.1 that does nothing but say how it was called: whether cuda-bindings hands over what we mean.
// Handles are told by their values; every call is a line on stderr.
#define _GNU_SOURCE
#include <cuda.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#undef cuGetProcAddress
#define SAY(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr))

CUresult s_cuInit(unsigned f) { SAY("cuInit %u", f); return 0; }
CUresult s_cuDriverGetVersion(int* v) { *v = 13000; return 0; }
CUresult s_cuDeviceGetCount(int* c) { *c = 1; return 0; }
CUresult s_cuDeviceGet(CUdevice* d, int o) { *d = o; return 0; }
CUresult s_cuDeviceGetName(char* n, int len, CUdevice d) { snprintf(n, len,"NVIDIA Stub"); return 0; }
CUresult s_cuDeviceGetUuid(CUuuid* u, CUdevice d) { for (int i = 0; i < 16; i++) u->bytes[i] = i * 16 + 1; return 0; }
CUresult s_cuDeviceTotalMem(size_t* b, CUdevice d) { *b = 1ull << 37; return 0; }
CUresult s_cuDeviceGetAttribute(int* p, CUdevice_attribute a, CUdevice d) { *p = (int)a; return 0; }
CUresult s_cuDevicePrimaryCtxRetain(CUcontext* c, CUdevice d) {
    SAY("retain dev %d", d);
    *c = (CUcontext)0xC0;
    return 0;
}
CUresult s_cuCtxSetCurrent(CUcontext c) { SAY("setcurrent %p", c); return 0; }
CUresult s_cuModuleLoadData(CUmodule* m, const void* i) {
    SAY("load %.4s", (char*)i+1);
    *m = (CUmodule)0xAD;
    return 0;
}
CUresult s_cuModuleGetFunction(CUfunction* f, CUmodule m, const char* n) {
    SAY("getfunction %p %s", m, n);
    *f = (CUfunction)0xF0;
    return 0;
}
CUresult s_cuFuncGetParamInfo(CUfunction f, size_t i, size_t* o, size_t* s) {
    SAY("param %p %zu", f, i);
    if (i > 2) return CUDA_ERROR_INVALID_VALUE;
    *o = i * 8;
    *s = i == 2 ? 4 : 8;
    return 0;
}
CUresult s_cuFuncGetAttribute(int* p, CUfunction_attribute a, CUfunction f) {
    SAY("attr %d %p", a, f);
    *p = 100 + a;
    return 0;
}
CUresult s_cuFuncSetAttribute(CUfunction f, CUfunction_attribute a, int v) {
    SAY("setattr %p %d %d", f, a, v);
    return 0;
}
CUresult s_cuOccupancyMaxActiveBlocksPerMultiprocessor(int* n, CUfunction f, int b, size_t s) {
    SAY("occ %p %d %zu", f, b, s);
    *n = 7;
    return 0;
}
CUresult s_cuMemGetAllocationGranularity(size_t* g, const CUmemAllocationProp* p, CUmemAllocationGranularity_flags o) {
    SAY("gran type %d loc %d id %d opt %d", p->type, p->location.type, p->location.id, o);
    *g = 2 << 20;
    return 0;
}
CUresult s_cuMemAddressReserve(CUdeviceptr* p, size_t s, size_t al, CUdeviceptr a, unsigned long long f) {
    SAY("reserve %zu %zu %llx %llu", s, al, (unsigned long long)a, f);
    *p = 0x7f0000000000ull;
    return 0;
}
CUresult s_cuMemAddressFree(CUdeviceptr p, size_t s) { SAY("addrfree %llx %zu", p, s); return 0; }
CUresult s_cuMemCreate(CUmemGenericAllocationHandle* h, size_t s, const CUmemAllocationProp* p, unsigned long long f) {
    SAY("create %zu type %d loc %d id %d flags %llu", s, p->type, p->location.type, p->location.id, f);
    *h = 0x1234567890ull;
    return 0;
}
CUresult s_cuMemRelease(CUmemGenericAllocationHandle h) { SAY("release %llx", h); return 0; }
CUresult s_cuMemMap(CUdeviceptr p, size_t s, size_t o, CUmemGenericAllocationHandle h, unsigned long long f) {
    SAY("map %llx %zu %zu %llx %llu", p, s, o, h, f);
    return 0;
}
CUresult s_cuMemSetAccess(CUdeviceptr p, size_t s, const CUmemAccessDesc* d, size_t n) {
    SAY("access %llx %zu loc %d id %d flags %d n %zu", p, s, d->location.type, d->location.id, d->flags, n);
    return 0;
}
CUresult s_cuMemUnmap(CUdeviceptr p, size_t s) { SAY("unmap %llx %zu", p, s); return 0; }
CUresult s_cuMemAlloc(CUdeviceptr* p, size_t s) { SAY("alloc %zu", s); *p = 0x7e0000000000ull; return 0; }
CUresult s_cuMemFree(CUdeviceptr p) { SAY("free %llx", p); return 0; }
CUresult s_cuMemGetInfo(size_t* f, size_t* t) { *f = 5; *t = 9; return 0; }
CUresult s_cuMemcpyHtoDAsync(CUdeviceptr d, const void* s, size_t n, CUstream st) {
    SAY("h2d %llx first %d n %zu stream %p", d, *(unsigned char*)s, n, st);
    return 0;
}
CUresult s_cuMemcpyDtoHAsync(void* d, CUdeviceptr s, size_t n, CUstream st) {
    SAY("d2h %llx n %zu stream %p", s, n, st);
    memset(d, 42, n);
    return 0;
}
CUresult s_cuMemcpyDtoDAsync(CUdeviceptr d, CUdeviceptr s, size_t n, CUstream st) {
    SAY("d2d %llx %llx %zu %p", d, s, n, st);
    return 0;
}
CUresult s_cuMemsetD8Async(CUdeviceptr d, unsigned char v, size_t n, CUstream st) {
    SAY("memset %llx %d %zu %p", d, v, n, st);
    return 0;
}
CUresult s_cuStreamCreate(CUstream* s, unsigned f) { SAY("stream flags %u", f); *s = (CUstream)0x57; return 0; }
CUresult s_cuStreamQuery(CUstream s) { static int n; SAY("query %p", s); return n++ % 2 ? 0 : CUDA_ERROR_NOT_READY; }
CUresult s_cuStreamSynchronize(CUstream s) { SAY("sync %p", s); return 0; }
CUresult s_cuStreamBeginCapture(CUstream s, CUstreamCaptureMode m) {
    SAY("begincapture %p mode %d", s, m);
    return 0;
}
CUresult s_cuStreamEndCapture(CUstream s, CUgraph* g) { SAY("endcapture %p", s); *g = (CUgraph)0x61; return 0; }
CUresult s_cuGraphInstantiateWithFlags(CUgraphExec* e, CUgraph g, unsigned long long f) {
    SAY("instantiate %p %llu", g, f);
    *e = (CUgraphExec)0xE1;
    return 0;
}
CUresult s_cuGraphDestroy(CUgraph g) { SAY("graphdestroy %p", g); return 0; }
CUresult s_cuGraphLaunch(CUgraphExec e, CUstream s) { SAY("graphlaunch %p %p", e, s); return 0; }
CUresult s_cuGraphExecDestroy(CUgraphExec e) { SAY("execdestroy %p", e); return 0; }
CUresult s_cuLaunchKernelEx(const CUlaunchConfig* c, CUfunction f, void** p, void** x) {
    const unsigned g[] = {c->gridDimX, c->gridDimY, c->gridDimZ}, b[] = {c->blockDimX, c->blockDimY, c->blockDimZ};
    SAY("launch %p grid %u %u %u block %u %u %u shared %u stream %p", f, g[0], g[1], g[2], b[0], b[1], b[2],
        c->sharedMemBytes, c->hStream);
    if (c->numAttrs) SAY("attributes %u: %d is %d", c->numAttrs, (int)c->attrs[0].id, c->attrs[0].value.cooperative);
    SAY("params %llx %llx %d %p", *(unsigned long long*)p[0], *(unsigned long long*)p[1], *(int*)p[2], x);
    return c->gridDimY == 9 ? CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES : 0;
}
CUresult s_cuEventCreate(CUevent* e, unsigned f) { SAY("event flags %u", f); *e = (CUevent)0xEE; return 0; }
CUresult s_cuEventRecord(CUevent e, CUstream s) { SAY("record %p %p", e, s); return 0; }
CUresult s_cuEventElapsedTime(float* ms, CUevent a, CUevent b) { *ms = 1.5f; return 0; }
CUresult s_cuEventDestroy(CUevent e) { SAY("eventdestroy %p", e); return 0; }
CUresult s_cuCtxResetPersistingL2Cache(void) { SAY("resetL2"); return 0; }
CUresult s_cuGetErrorString(CUresult e, const char** s) { *s="words for it"; return 0; }
CUresult s_cuGetErrorName(CUresult e, const char** s) { *s="NAME"; return 0; }

// What cuda-bindings asks for every other symbol.
CUresult cuGetProcAddress_v2(const char* symbol, void** found, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult* status) {
    char name[200];
    snprintf(name, sizeof name, "s_%s", symbol);
    *found = dlsym(dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_NOW), name);
    if (!strcmp(symbol, "cuGetProcAddress")) *found = cuGetProcAddress_v2;
    if (status) *status = *found ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return *found ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
