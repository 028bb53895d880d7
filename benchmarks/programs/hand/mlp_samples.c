/* A multi-layer perceptron by hand, one sample after the other: plain loops, as one writes them first.
 *
 * Forward, loss, backward for each sample; the gradient is summed up over the samples. The compiler vectorises over the
 * inputs of a neuron where the language lets it. See mlp.h for what is given and what it computes.
 */
#include "mlp.h"

#include <string.h>

static double inputs[SAMPLES][INPUTS];
static double labels[SAMPLES];
static double value1[N1], value2[N2], value3[N3 + 1]; /* of each layer, after its activation */
static double d1[N1], d2[N2], d3[N3 + 1];             /* derivatives by each layer's sums, before its activation */

void prepare(const double *x, const double *y) {
    memcpy(inputs, x, sizeof inputs);
    memcpy(labels, y, sizeof labels);
}

/* The loss of one sample; its derivative by the scores, divided by SAMPLES, goes to d. */
static double loss_of(const double *score, double label, double *d) {
#if LOSS == HINGE
    double margin = 1.0 - label * score[0];
    d[0] = margin > 0.0 ? -label / SAMPLES : 0.0;
    return margin > 0.0 ? margin : 0.0;
#elif LOSS == SQUARES
    double error = score[0] - label;
    d[0] = 2.0 * error / SAMPLES;
    return error * error;
#else
    double largest = score[0], total = 0.0;
    for (int k = 1; k < OUTPUTS; k++) largest = score[k] > largest ? score[k] : largest;
    for (int k = 0; k < OUTPUTS; k++) total += d[k] = exp(score[k] - largest);
    for (int k = 0; k < OUTPUTS; k++) d[k] = (d[k] / total - (k == (int)label)) / SAMPLES;
    return log(total) + largest - score[(int)label];
#endif
}

INLINE void forward(const double *restrict w, const double *restrict in, double *restrict out, int nin, int nout,
                    int last) {
    for (int o = 0; o < nout; o++) {
        const double *row = w + o * (nin + 1);
        double sum = row[nin];
        for (int i = 0; i < nin; i++) sum += row[i] * in[i];
        out[o] = last ? sum : ACTIVATION == RELU ? (sum > 0.0 ? sum : 0.0) : tanh(sum);
    }
}

/* Adds to the gradient g of the layer; where wanted, gives the derivatives by the sums of the layer before. */
INLINE void backward(const double *restrict w, double *restrict g, const double *restrict in, const double *restrict d,
                     double *restrict din, int nin, int nout) {
    for (int o = 0; o < nout; o++) {
        double *row = g + o * (nin + 1);
        for (int i = 0; i < nin; i++) row[i] += d[o] * in[i];
        row[nin] += d[o];
    }
    if (!din) return;
    for (int i = 0; i < nin; i++) din[i] = 0.0;
    for (int o = 0; o < nout; o++) {
        const double *row = w + o * (nin + 1);
        for (int i = 0; i < nin; i++) din[i] += d[o] * row[i];
    }
    for (int i = 0; i < nin; i++)
        din[i] = ACTIVATION == RELU ? (in[i] > 0.0 ? din[i] : 0.0) : din[i] * (1.0 - in[i] * in[i]);
}

double value_and_grad(const double *restrict parameters, double *restrict gradient) {
    const double *w = parameters;
    double *g = gradient;
    double loss = 0.0, squares = 0.0;
    memset(gradient, 0, sizeof(double) * PARAMETERS);
    for (int s = 0; s < SAMPLES; s++) {
        const double *x = inputs[s];
        forward(w, x, value1, N0, N1, 0);
        forward(w + AT1, value1, value2, N1, N2, LAYERS == 2);
#if LAYERS == 3
        forward(w + AT2, value2, value3, N2, N3, 1);
        loss += loss_of(value3, labels[s], d3);
        backward(w + AT2, g + AT2, value2, d3, d2, N2, N3);
#else
        loss += loss_of(value2, labels[s], d2);
#endif
        backward(w + AT1, g + AT1, value1, d2, d1, N1, N2);
        backward(w, g, x, d1, NULL, N0, N1);
    }
    if (PENALTY > 0.0)
        for (int i = 0; i < PARAMETERS; i++) {
            squares += parameters[i] * parameters[i];
            gradient[i] += 2.0 * PENALTY * parameters[i];
        }
    return loss / SAMPLES + PENALTY * squares;
}
