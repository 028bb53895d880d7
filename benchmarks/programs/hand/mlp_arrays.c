/* A multi-layer perceptron by hand, all samples at once: structure of arrays in plain loops, which compilers vectorise.
 *
 * A layer's values are rows of SAMPLES numbers; every innermost loop runs over the samples. Nothing but standard C: no
 * vector types and no blocks of registers, which mlp_lanes.c has. See mlp.h for what is given and what it computes.
 */
#include "mlp.h"

#include <string.h>

typedef double row[SAMPLES];

static row inputs[INPUTS], target[OUTPUTS];
static row value1[N1], value2[N2], value3[N3 + 1]; /* of each layer, after its activation */
static row d1[N1], d2[N2], d3[N3 + 1];             /* derivatives by each layer's sums, before its activation */

void prepare(const double *x, const double *y) {
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < INPUTS; i++) inputs[i][s] = x[s * INPUTS + i];
        for (int k = 0; k < OUTPUTS; k++) target[k][s] = LOSS == CROSS_ENTROPY ? k == (int)y[s] : y[s];
    }
}

enum { LANES = SAMPLES };
#include "loss_rows.h"

INLINE void forward(const double *restrict w, const row *restrict in, row *restrict out, int nin, int nout, int last) {
    for (int o = 0; o < nout; o++) {
        const double *weights = w + o * (nin + 1);
        double sum[SAMPLES];
        for (int s = 0; s < SAMPLES; s++) sum[s] = weights[nin];
        for (int i = 0; i < nin; i++)
            for (int s = 0; s < SAMPLES; s++) sum[s] += weights[i] * in[i][s];
        for (int s = 0; s < SAMPLES; s++)
            out[o][s] = last ? sum[s] : ACTIVATION == RELU ? (sum[s] > 0.0 ? sum[s] : 0.0) : tanh(sum[s]);
    }
}

/* The gradient of a layer, and, where wanted, the derivatives by the sums of the layer before. */
INLINE void backward(const double *restrict w, double *restrict g, const row *restrict in, const row *restrict d,
                     row *restrict din, int nin, int nout) {
    for (int o = 0; o < nout; o++) {
        double *to = g + o * (nin + 1), sum = 0.0;
        for (int i = 0; i < nin; i++) {
            double product = 0.0;
            for (int s = 0; s < SAMPLES; s++) product += d[o][s] * in[i][s];
            to[i] = product;
        }
        for (int s = 0; s < SAMPLES; s++) sum += d[o][s];
        to[nin] = sum;
    }
    if (!din) return;
    for (int i = 0; i < nin; i++) {
        double sum[SAMPLES] = {0};
        for (int o = 0; o < nout; o++)
            for (int s = 0; s < SAMPLES; s++) sum[s] += w[o * (nin + 1) + i] * d[o][s];
        for (int s = 0; s < SAMPLES; s++)
            din[i][s] = ACTIVATION == RELU ? (in[i][s] > 0.0 ? sum[s] : 0.0) : sum[s] * (1.0 - in[i][s] * in[i][s]);
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
    double loss = loss_of((const row *)value3, d3);
    backward(w + AT2, g + AT2, value2, d3, d2, N2, N3);
#else
    double loss = loss_of((const row *)value2, d2);
#endif
    backward(w + AT1, g + AT1, value1, d2, d1, N1, N2);
    backward(w, g, inputs, d1, NULL, N0, N1);
    if (PENALTY > 0.0)
        for (int i = 0; i < PARAMETERS; i++) {
            squares += parameters[i] * parameters[i];
            gradient[i] += 2.0 * PENALTY * parameters[i];
        }
    return loss / SAMPLES + PENALTY * squares;
}
