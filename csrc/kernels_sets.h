/* kernels_sets.h: the instruction sets that kernels.inc is compiled for, and what finds out whether the processor has
 * them.
 *
 * All sets are always there. One that the build left out (another architecture, an old compiler) has a name and nothing
 * else, and is never usable.
 */
#ifndef PG_KERNELS_SETS_H
#define PG_KERNELS_SETS_H

#include "kernels.h"

extern const pg_kernels pg_kernels_baseline, pg_kernels_avx2, pg_kernels_avx512;

/* outer transposes so many samples of so many columns at a time: at most 32 KiB, into a panel. Behind it there is room
 * for as many ones. */
#define PG_OUTER_SAMPLES 128
#define PG_OUTER_COLUMNS 32
static inline size_t pg_outer_samples(size_t lanes) { return lanes < PG_OUTER_SAMPLES ? lanes : PG_OUTER_SAMPLES; }
static inline size_t pg_outer_panel(size_t lanes) { return PG_OUTER_COLUMNS * pg_outer_samples(lanes); }

/* In kernels.c, which is compiled for every processor: the code of a set must not run before it was chosen. */
int pg_cpu_any(void);
int pg_cpu_none(void);
int pg_cpu_avx2(void);
int pg_cpu_avx512(void);

#endif
