// Which instruction set the CPU has; compiled once per set, only the portable copy exports.
#include "simd.h"

#ifdef KM_ISA_portable
extern "C" __attribute__((visibility("default"))) const char* kernelmill_isa() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return "avx512";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "avx2";
#endif
    return "portable";
}
#endif
