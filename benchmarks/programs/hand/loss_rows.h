/* The losses over rows of samples, shared by mlp_lanes.c and mlp_arrays.c, which define LANES, the length of a row, and
 * `target`: labels, or for cross-entropy 1 for the class and 0 for the others. In plain loops.
 */
/* The sum of the losses, from scores that are rows of LANES samples; derivatives, divided by SAMPLES, go to d. */
static double loss_of(const double (*restrict score)[LANES], double (*restrict d)[LANES]) {
    double loss = 0.0;
#if LOSS == HINGE
    for (int s = 0; s < SAMPLES; s++) {
        double margin = 1.0 - target[0][s] * score[0][s];
        loss += margin > 0.0 ? margin : 0.0;
        d[0][s] = margin > 0.0 ? target[0][s] * (-1.0 / SAMPLES) : 0.0;
    }
#elif LOSS == SQUARES
    for (int s = 0; s < SAMPLES; s++) {
        double error = score[0][s] - target[0][s];
        loss += error * error;
        d[0][s] = error * (2.0 / SAMPLES);
    }
#else
    double largest[LANES], total[LANES] = {0};
    memcpy(largest, score[0], sizeof largest);
    for (int k = 1; k < OUTPUTS; k++)
        for (int s = 0; s < SAMPLES; s++) largest[s] = score[k][s] > largest[s] ? score[k][s] : largest[s];
    for (int k = 0; k < OUTPUTS; k++)
        for (int s = 0; s < SAMPLES; s++) total[s] += d[k][s] = exp(score[k][s] - largest[s]);
    for (int s = 0; s < SAMPLES; s++) {
        loss += log(total[s]) + largest[s];
        total[s] = (1.0 / SAMPLES) / total[s];
    }
    for (int k = 0; k < OUTPUTS; k++)
        for (int s = 0; s < SAMPLES; s++) {
            loss -= target[k][s] * score[k][s];
            d[k][s] = d[k][s] * total[s] - target[k][s] * (1.0 / SAMPLES);
        }
#endif
    return loss;
}
