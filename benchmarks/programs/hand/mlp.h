/* What the hand-written networks share: sizes fixed when compiled, the layout of parameters, the calls from Python.
 *
 * Given with -D: SAMPLES; LAYERS, 2 or 3; S0, S1, S2, S3, the sizes, inputs first; ACTIVATION of the hidden layers and
 * LOSS, by the names below; PENALTY. Parameters are flat, in micrograd's order: for each neuron of each
 * layer its weights, then its bias. The loss is the mean over the samples, plus PENALTY times the sum of all squared
 * parameters. The including file gives prepare() and value_and_grad(). Not reentrant: buffers are static.
 */
#include <math.h>
#include <stddef.h>

#define RELU 1
#define TANH 2
#define HINGE 1
#define CROSS_ENTROPY 2
#define SQUARES 3

#define INLINE static inline __attribute__((always_inline))

/* What a layer is called with: where its parameters begin, its inputs and outputs. The layers are written out and not
 * looped over: gcc 12 gets `restrict` wrong in functions that it inlines into a loop that it unrolls. */
#if LAYERS == 3
enum { N0 = S0, N1 = S1, N2 = S2, N3 = S3 };
#else
enum { N0 = S0, N1 = S1, N2 = S2, N3 = 0 };
#endif
enum { INPUTS = S0, OUTPUTS = LAYERS == 3 ? N3 : N2 };
enum { AT1 = N1 * (N0 + 1), AT2 = AT1 + N2 * (N1 + 1), PARAMETERS = AT2 + N3 * (N2 + 1) };

/* Keeps the data set. x: SAMPLES x INPUTS; y: one number a sample, for cross-entropy the class. */
void prepare(const double *x, const double *y);

/* The loss; the gradient goes to `gradient`, in the order of the parameters. */
double value_and_grad(const double *restrict parameters, double *restrict gradient);

/* Gradient descent; the losses before each step go to `losses`. */
void train(double *restrict parameters, double rate, int steps, double *losses) {
    static double gradient[PARAMETERS];
    for (int k = 0; k < steps; k++) {
        losses[k] = value_and_grad(parameters, gradient);
        for (int i = 0; i < PARAMETERS; i++) parameters[i] -= rate * gradient[i];
    }
}
