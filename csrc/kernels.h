/* kernels.h: the loops that programs run, over slots of lanes.
 *
 * A slot is one value of many samples: `lanes` doubles, one a sample. Slots stand one behind the other, so slot s of a
 * block starts at block + s * lanes. lanes is a multiple of PG_LANES, and slots are aligned to it, or lanes is 1.
 * Lanes from `real` on are padding: they hold some finite or other number, and nothing is ever summed over them.
 *
 * One source (kernels.inc) is compiled once for each instruction set. Every loop is vertical: no operation mixes lanes
 * except sums over samples, which go from the first sample to the last. So all sets give the same bits.
 * Nothing here allocates, checks an index, or knows how a program is encoded (program.h).
 */
#ifndef PG_KERNELS_H
#define PG_KERNELS_H

#include "arena.h" /* the op codes; before the system's headers, as lock.h wants it */

#include <stddef.h>
#include <stdint.h>

#define PG_LANES 8

/* z[i] = formula(a[i], b[i], c[i], d[i], k) for i < n. z overlaps no operand; operands an op does not have are NULL.
 *   value of an op       a = x, b = y
 *   its derivatives      a = g, b = x, c = y (NULL where there is none), d = z
 * k: the constant of a PG_KIND_CONSTANT op. */
typedef void pg_elementwise(double *z, const double *a, const double *b, const double *c, const double *d, double k,
                            size_t n);

/* The elementwise formulas of ops.h. NULL where an op has none (structural and n-ary ops; LOGSUMEXP has a dx, whose
 * d = z; SUM and DOT have none: they need no formula of their own). */
typedef struct {
    pg_elementwise *value[PG_OP_COUNT];
    pg_elementwise *dx[PG_OP_COUNT];
    pg_elementwise *dy[PG_OP_COUNT];
    /* z = logsumexp of the n slots that x names, over `lanes` lanes */
    void (*logsumexp)(double *z, const double *block, const uint32_t *x, size_t n, size_t lanes);
} pg_formulas;

/* What dense does to a sum before it is stored: the value or the derivative of an op, by ops.h's formula. h: the op's
 * value, of which the derivative is computed; the sum is g. From PG_FINISH_RELU_DX on, h is needed. */
typedef enum {
    PG_FINISH_NONE,
    PG_FINISH_RELU,
    PG_FINISH_RELU_DX,
    PG_FINISH_TANH_DX,
    PG_FINISH_SIGMOID_DX
} pg_finish;

typedef struct {
    const char *name;    /* "baseline", "avx2", "avx512" */
    int (*usable)(void); /* whether this processor has it */
    pg_formulas fast;    /* exp, log, tanh, sigmoid, softplus and erf of vmath.h */

    /* z[r] = start[r] + w(r, 0) * x[0] + w(r, 1) * x[1] + ..., left to right, for r < rows, where z and x are
     * neighbouring slots, w(r, j) = v[row[r] + col[j]] and start[r] is v[start[r]]; and then what `finish` says, where
     * h[r] are slots as z's (NULL if it needs none). */
    void (*dense)(double *z, const double *x, size_t lanes, const double *v, const uint32_t *row, const uint32_t *col,
                  const uint32_t *start, size_t rows, size_t cols, pg_finish finish, const double *h);
    /* g[row[r] + col[j]] += dy[r] * x[j] of sample 0, += of sample 1, ... for all r < rows, j < cols; `real` samples.
     * ones: 0, or x has another column, of ones, which has no slot: g[row[r] + col[cols]] += dy[r]. The targets are all
     * different. scratch: pg_outer_scratch doubles, aligned. */
    void (*outer)(double *g, const double *dy, const double *x, size_t lanes, size_t real, const uint32_t *row,
                  const uint32_t *col, size_t rows, size_t cols, size_t ones, double *scratch);
    /* g[at[i]] += x[i] of sample 0, += of sample 1, ... for i < n: neighbouring slots, different targets. */
    void (*accumulate)(double *g, const double *x, size_t lanes, size_t real, const uint32_t *at, size_t n);
    /* Samples as rows, n numbers each, into n neighbouring slots: z[j] of sample s = from[order[s] * stride + j], order NULL
     * for s itself. Padding repeats the last sample. real >= 1. */
    void (*load)(double *z, const double *from, size_t stride, const int64_t *order, size_t lanes, size_t real, size_t n);
    /* The way back: to[s * stride + j] = z[j] of sample s < real. */
    void (*store)(double *to, size_t stride, const double *z, size_t lanes, size_t real, size_t n);

    /* As dense, but x[1] is the slot before x, x[2] the one before that, ... */
    void (*dense_down)(double *z, const double *x, size_t lanes, const double *v, const uint32_t *row,
                       const uint32_t *col, const uint32_t *start, size_t rows, size_t cols, pg_finish finish,
                       const double *h);
    /* z = the sum of the n slots of block that x names, from the first on; of none: 0. */
    void (*sum)(double *z, const double *block, const uint32_t *x, size_t n, size_t lanes);
    /* z = start + x[0] * x[1] + x[2] * x[3] + ..., left to right: n pairs of slots of block. start: a slot, or NULL: the
     * first product starts; of none, 0. */
    void (*dot)(double *z, const double *block, const double *start, const uint32_t *x, size_t n, size_t lanes);
    /* z[k] of all lanes = v[k] for k < n: neighbouring slots. */
    void (*fill)(double *z, const double *v, size_t lanes, size_t n);
    /* g[i] += x[i] for i < n. They do not overlap. */
    void (*add)(double *g, const double *x, size_t n);
    /* x[i] -= rate * g[i], and then g[i] = 0, for i < n: gradient descent. They do not overlap. */
    void (*descend)(double *x, double *g, double rate, size_t n);
} pg_kernels;

/* From the smallest instruction set to the largest; NULL at the end. A set that this build left out has a name and is
 * never usable, and its other members are NULL. The first set is always usable. */
extern const pg_kernels *const pg_kernel_sets[];
/* libm, as the graph engine: the same bits as ops.h gives there. */
extern const pg_formulas pg_exact_formulas;

/* Doubles of scratch that outer needs for so many lanes. */
size_t pg_outer_scratch(size_t lanes);

#endif
