/* kernels_avx512.c: the kernels for x86-64 with AVX-512 (F, DQ, VL, BW), if the build gives this file the flags for it
 * (setup.py). */
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__AVX512BW__)
#define PG_SET pg_kernels_avx512
#define PG_SET_NAME "avx512"
#define PG_SET_USABLE pg_cpu_avx512
#include "kernels.inc"
#else
#include "kernels_sets.h"
const pg_kernels pg_kernels_avx512 = {.name = "avx512", .usable = pg_cpu_none};
#endif
