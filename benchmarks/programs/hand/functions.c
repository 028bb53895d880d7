/* Two scalar functions by hand, with their gradients: Rosenbrock's, and the energy of bodies that attract one another.
 *
 * Plain loops over arrays; sizes are arguments. Nothing is allocated or kept.
 */
#include <math.h>

/* The sum of 100 (x[i + 1] - x[i]^2)^2 + (1 - x[i])^2. */
double rosenbrock(int n, const double *restrict x, double *restrict g) {
    double total = 0.0;
    g[0] = 0.0;
    for (int i = 0; i < n - 1; i++) {
        double a = x[i + 1] - x[i] * x[i], b = 1.0 - x[i];
        total += 100.0 * a * a + b * b;
        g[i] += -400.0 * a * x[i] - 2.0 * b;
        g[i + 1] = 200.0 * a;
    }
    return total;
}

/* The sum over pairs of -m[i] m[j] / distance. x: three coordinates a body, one body after the other. */
double bodies(int n, const double *restrict m, const double *restrict x, double *restrict g) {
    double total = 0.0;
    for (int k = 0; k < 3 * n; k++) g[k] = 0.0;
    for (int i = 0; i < n; i++) {
        double gx = 0.0, gy = 0.0, gz = 0.0;
        for (int j = i + 1; j < n; j++) {
            double dx = x[3 * i] - x[3 * j], dy = x[3 * i + 1] - x[3 * j + 1], dz = x[3 * i + 2] - x[3 * j + 2];
            double square = dx * dx + dy * dy + dz * dz;
            double energy = -m[i] * m[j] / sqrt(square), slope = -energy / square;
            total += energy;
            gx += slope * dx, gy += slope * dy, gz += slope * dz;
            g[3 * j] -= slope * dx, g[3 * j + 1] -= slope * dy, g[3 * j + 2] -= slope * dz;
        }
        g[3 * i] += gx, g[3 * i + 1] += gy, g[3 * i + 2] += gz;
    }
    return total;
}
