/* kernels_baseline.c: the kernels for what every processor of this architecture has. */
#define PG_SET pg_kernels_baseline
#define PG_SET_NAME "baseline"
#define PG_SET_USABLE pg_cpu_any
#include "kernels.inc"
