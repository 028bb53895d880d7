/* kernels_avx2.c: the kernels for x86-64 with AVX2, if the build gives this file the flags for it (setup.py). */
#if defined(__AVX2__)
#define PG_SET pg_kernels_avx2
#define PG_SET_NAME "avx2"
#define PG_SET_USABLE pg_cpu_avx2
#include "kernels.inc"
#else
#include "kernels_sets.h"
const pg_kernels pg_kernels_avx2 = {.name = "avx2", .usable = pg_cpu_none};
#endif
