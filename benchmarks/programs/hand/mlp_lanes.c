/* A multi-layer perceptron by hand, all samples at once: structure of arrays, a sample a SIMD lane, register-blocked.
 *
 * Meant to be as fast as one file of C reasonably is: compiled with -Ofast, which may reorder sums, contract to fused
 * multiply-adds and take libmvec's functions. Needs gcc or clang, for their vector types. See mlp.h for what is given.
 *
 * A layer's values are `units` rows of LANES samples. Each product is done in blocks of BLOCK x BLOCK vectors that
 * stay in registers. Padding lanes hold whatever their inputs, zeros, give; their derivatives are zero.
 */
#include "mlp.h"

#include <string.h>

#define UNROLL _Pragma("GCC unroll 8")

#if defined(__AVX512F__) && SAMPLES >= 8
enum { WIDTH = 8, BLOCK = 4 };
#elif defined(__AVX512F__)
enum { WIDTH = 4, BLOCK = 4 };
#else
enum { WIDTH = 4, BLOCK = 3 };
#endif
enum { VECTORS = (SAMPLES + WIDTH - 1) / WIDTH, LANES = VECTORS * WIDTH };

typedef double vec __attribute__((vector_size(8 * WIDTH)));
typedef long long bits __attribute__((vector_size(8 * WIDTH)));
typedef double loose __attribute__((vector_size(8 * WIDTH), aligned(8))); /* from rows of any alignment */

/* x in the lanes where y is positive, else 0. */
INLINE vec where_positive(vec y, vec x) { return (vec)((bits)x & (y > 0.0)); }

static vec inputs[INPUTS * VECTORS];
static double rows[SAMPLES][INPUTS]; /* the same, a sample a row */
/* Of each layer the values, after its activation, and the derivatives by its sums, before it. */
static vec value1[N1 * VECTORS], value2[N2 * VECTORS], value3[(N3 + 1) * VECTORS];
static vec d1[N1 * VECTORS], d2[N2 * VECTORS], d3[(N3 + 1) * VECTORS];
static double target[OUTPUTS][LANES]; /* labels; for cross-entropy, 1 for the class */

void prepare(const double *x, const double *y) {
    memcpy(rows, x, sizeof rows);
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < INPUTS; i++) ((double *)inputs)[i * LANES + s] = x[s * INPUTS + i];
        for (int k = 0; k < OUTPUTS; k++) target[k][s] = LOSS == CROSS_ENTROPY ? k == (int)y[s] : y[s];
    }
}

#include "loss_rows.h"

/* ---- out[o] = bias + sum of w[o][i] in[i] ---- */

INLINE void forward_block(int outs, int vecs, int nin, const double *restrict w, const vec *restrict in,
                          vec *restrict out, int relu) {
    vec sum[BLOCK][BLOCK];
    UNROLL for (int o = 0; o < outs; o++)
        UNROLL for (int v = 0; v < vecs; v++) sum[o][v] = (vec){} + w[o * (nin + 1) + nin];
    for (int i = 0; i < nin; i++)
        UNROLL for (int o = 0; o < outs; o++)
            UNROLL for (int v = 0; v < vecs; v++) sum[o][v] += w[o * (nin + 1) + i] * in[i * VECTORS + v];
    UNROLL for (int o = 0; o < outs; o++)
        UNROLL for (int v = 0; v < vecs; v++)
            out[o * VECTORS + v] = relu ? where_positive(sum[o][v], sum[o][v]) : sum[o][v];
}

INLINE void forward_rows(int outs, int nin, const double *w, const vec *in, vec *out, int relu) {
    const int blocked = VECTORS - VECTORS % BLOCK;
    for (int v = 0; v < blocked; v += BLOCK)
        forward_block(outs, BLOCK, nin, w, in + v, out + v, relu);
    for (int v = blocked; v < VECTORS; v++)
        forward_block(outs, 1, nin, w, in + v, out + v, relu);
}

INLINE void forward(const double *w, const vec *in, vec *out, int nin, int nout, int last) {
    const int relu = !last && ACTIVATION == RELU;
    const int blocked = nout - nout % BLOCK;
    for (int o = 0; o < blocked; o += BLOCK) forward_rows(BLOCK, nin, w + o * (nin + 1), in, out + o * VECTORS, relu);
    for (int o = blocked; o < nout; o++) forward_rows(1, nin, w + o * (nin + 1), in, out + o * VECTORS, relu);
    if (!last && ACTIVATION == TANH) {
        double *x = (double *)out;
        for (int k = 0; k < nout * LANES; k++) x[k] = tanh(x[k]);
    }
}

/* ---- by the inputs: din[i] = sum of w[o][i] d[o], times the derivative of the activation ---- */

INLINE void inputs_block(int ins, int vecs, int nin, int nout, const double *restrict w,
                         const vec *restrict d, const vec *restrict in,
                         vec *restrict din) {
    vec sum[BLOCK][BLOCK] = {{{0}}};
    for (int o = 0; o < nout; o++)
        UNROLL for (int i = 0; i < ins; i++)
            UNROLL for (int v = 0; v < vecs; v++) sum[i][v] += w[o * (nin + 1) + i] * d[o * VECTORS + v];
    UNROLL for (int i = 0; i < ins; i++)
        UNROLL for (int v = 0; v < vecs; v++) {
            vec z = in[i * VECTORS + v];
            din[i * VECTORS + v] = ACTIVATION == RELU ? where_positive(z, sum[i][v]) : sum[i][v] * (1.0 - z * z);
        }
}

INLINE void inputs_rows(int ins, int nin, int nout, const double *w, const vec *d, const vec *in,
                        vec *din) {
    const int blocked = VECTORS - VECTORS % BLOCK;
    for (int v = 0; v < blocked; v += BLOCK)
        inputs_block(ins, BLOCK, nin, nout, w, d + v, in + v,
                     din + v);
    for (int v = blocked; v < VECTORS; v++)
        inputs_block(ins, 1, nin, nout, w, d + v, in + v,
                     din + v);
}

INLINE void by_inputs(const double *w, const vec *d, const vec *in, vec *din, int nin,
                      int nout) {
    const int blocked = nin - nin % BLOCK;
    for (int i = 0; i < blocked; i += BLOCK)
        inputs_rows(BLOCK, nin, nout, w + i, d, in + i * VECTORS, din + i * VECTORS);
    for (int i = blocked; i < nin; i++) inputs_rows(1, nin, nout, w + i, d, in + i * VECTORS, din + i * VECTORS);
}

/* ---- by the weights: g[o][i] = sum over the samples of d[o] in[i] ---- */

INLINE double across(vec x) {
    double sum = 0.0;
    UNROLL for (int k = 0; k < WIDTH; k++) sum += x[k];
    return sum;
}

INLINE void weights_block(int outs, int ins, int nin, const vec *restrict d,
                          const vec *restrict in, double *restrict g) {
    vec sum[BLOCK][BLOCK] = {{{0}}};
    for (int v = 0; v < VECTORS; v++)
        UNROLL for (int o = 0; o < outs; o++)
            UNROLL for (int i = 0; i < ins; i++) sum[o][i] += d[o * VECTORS + v] * in[i * VECTORS + v];
    UNROLL for (int o = 0; o < outs; o++)
        UNROLL for (int i = 0; i < ins; i++) g[o * (nin + 1) + i] = across(sum[o][i]);
}

INLINE void weights_rows(int outs, int nin, const vec *d, const vec *in, double *g) {
    const int blocked = nin - nin % BLOCK;
    for (int i = 0; i < blocked; i += BLOCK) weights_block(outs, BLOCK, nin, d, in + i * VECTORS, g + i);
    for (int i = blocked; i < nin; i++) weights_block(outs, 1, nin, d, in + i * VECTORS, g + i);
}

/* The first layer's inputs stand as rows, too: with a vector of inputs there is nothing to sum across lanes. */
INLINE void first_block(int outs, int vecs, const vec *restrict d, const double *restrict row,
                        double *restrict g) {
    vec sum[BLOCK][BLOCK] = {{{0}}};
    for (int s = 0; s < SAMPLES; s++)
        UNROLL for (int o = 0; o < outs; o++)
            UNROLL for (int v = 0; v < vecs; v++)
                sum[o][v] += ((const double *)(d + o * VECTORS))[s] * *(const loose *)(row + s * INPUTS + v * WIDTH);
    UNROLL for (int o = 0; o < outs; o++)
        UNROLL for (int v = 0; v < vecs; v++) *(loose *)(g + o * (INPUTS + 1) + v * WIDTH) = sum[o][v];
}

INLINE void first_rows(int outs, const vec *d, double *g) {
    int i = 0;
    for (; i + BLOCK * WIDTH <= INPUTS; i += BLOCK * WIDTH) first_block(outs, BLOCK, d, rows[0] + i, g + i);
    for (; i < INPUTS; i += WIDTH) first_block(outs, 1, d, rows[0] + i, g + i);
}

INLINE void by_weights(const vec *d, const vec *in, double *g, int nin, int nout, int first) {
    const int by_rows = first && INPUTS % WIDTH == 0;
    const int blocked = nout - nout % BLOCK;
    for (int o = 0; o < blocked; o += BLOCK)
        if (by_rows) first_rows(BLOCK, d + o * VECTORS, g + o * (nin + 1));
        else weights_rows(BLOCK, nin, d + o * VECTORS, in, g + o * (nin + 1));
    for (int o = blocked; o < nout; o++)
        if (by_rows) first_rows(1, d + o * VECTORS, g + o * (nin + 1));
        else weights_rows(1, nin, d + o * VECTORS, in, g + o * (nin + 1));
    for (int o = 0; o < nout; o++) {
        vec sum = {0};
        for (int v = 0; v < VECTORS; v++) sum += d[o * VECTORS + v];
        g[o * (nin + 1) + nin] = across(sum);
    }
}

double value_and_grad(const double *restrict parameters, double *restrict gradient) {
    const double *w = parameters;
    double *g = gradient;
    double squares = 0.0;
    forward(w, inputs, value1, N0, N1, 0);
    forward(w + AT1, value1, value2, N1, N2, LAYERS == 2);
#if LAYERS == 3
    forward(w + AT2, value2, value3, N2, N3, 1);
    double loss = loss_of((const double(*)[LANES])value3, (double(*)[LANES])d3);
    by_weights(d3, value2, g + AT2, N2, N3, 0);
    by_inputs(w + AT2, d3, value2, d2, N2, N3);
#else
    double loss = loss_of((const double(*)[LANES])value2, (double(*)[LANES])d2);
#endif
    by_weights(d2, value1, g + AT1, N1, N2, 0);
    by_inputs(w + AT1, d2, value1, d1, N1, N2);
    by_weights(d1, inputs, g, N0, N1, 1);
    if (PENALTY > 0.0)
        for (int i = 0; i < PARAMETERS; i++) {
            squares += parameters[i] * parameters[i];
            gradient[i] += 2.0 * PENALTY * parameters[i];
        }
    return loss / SAMPLES + PENALTY * squares;
}
