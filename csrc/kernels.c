/* kernels.c: the list of the instruction sets, and whether the processor and the operating system have them. What is in
 * them is in kernels.inc. */
#include "kernels_sets.h"

const pg_kernels *const pg_kernel_sets[] = {&pg_kernels_baseline, &pg_kernels_avx2, &pg_kernels_avx512, NULL};

int pg_cpu_any(void) { return 1; }
int pg_cpu_none(void) { return 0; }

#if defined(_MSC_VER) && defined(_M_X64)
#include <immintrin.h>
#include <intrin.h>

/* ebx of cpuid's leaf 7; 0 unless the operating system keeps the registers of `state`, bits of XCR0. */
static unsigned leaf_7(unsigned state) {
    int info[4];
    __cpuid(info, 0);
    if (info[0] < 7) return 0;
    __cpuid(info, 1);
    if (!((unsigned)info[2] >> 27 & 1)) return 0; /* OSXSAVE: _xgetbv is there */
    if (((unsigned)_xgetbv(0) & state) != state) return 0;
    __cpuidex(info, 7, 0);
    return (unsigned)info[1];
}

int pg_cpu_avx2(void) { return (int)(leaf_7(0x6) >> 5 & 1); }

int pg_cpu_avx512(void) {
    const unsigned wanted = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    return (leaf_7(0xe6) & wanted) == wanted;
}

#elif (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)

int pg_cpu_avx2(void) { return __builtin_cpu_supports("avx2") != 0; }

int pg_cpu_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
}

#else

int pg_cpu_avx2(void) { return 0; }
int pg_cpu_avx512(void) { return 0; }

#endif

size_t pg_outer_scratch(size_t lanes) { return pg_outer_panel(lanes) + pg_outer_samples(lanes); }
