/* test_kernels.c: the loops of programs (kernels.h), each instruction set this machine has, bit for bit against the
 * naive loops that kernels.h states them by.
 *
 * Shapes, lanes, numbers of samples and tables of offsets are random within each test; numbers include infinities,
 * nans, zeros of both signs and denormal numbers. What lies around the results must stay as it was.
 */
#include "kernels.h"

#include "check.h"

#define AROUND 16 /* guard doubles on both sides of a result */
#define GUARD 12345.678

static check_random dice = {UINT64_C(0x9e3779b97f4a7c15)};

/* n doubles at a multiple of 64 bytes, as slots are, with guards before and behind. */
typedef struct {
    void *memory;
    double *at;
    size_t n;
} buffer;

static buffer buffer_new(size_t n) {
    buffer made = {check_memory(n + 2 * AROUND + 8, sizeof(double)), NULL, n};
    uintptr_t place = ((uintptr_t)made.memory + 63) / 64 * 64;
    made.at = (double *)place + AROUND;
    for (size_t i = 0; i < AROUND; i++) made.at[-1 - (ptrdiff_t)i] = made.at[n + i] = GUARD;
    return made;
}

static void buffer_free(buffer b) {
    for (size_t i = 0; i < AROUND; i++) {
        CHECK_SAME(b.at[-1 - (ptrdiff_t)i], GUARD);
        CHECK_SAME(b.at[b.n + i], GUARD);
    }
    free(b.memory);
}

static double number(int wild) {
    static const double odd[] = {0.0, -0.0, INFINITY, -INFINITY, 5e-324, -0x1p-1022, 0x1.fffffffffffffp1023, NAN};
    if (wild && check_below(&dice, 12) == 0) return odd[check_below(&dice, sizeof odd / sizeof *odd)];
    return check_uniform(&dice, -2.0, 2.0);
}

static buffer buffer_random(size_t n, int wild) {
    buffer made = buffer_new(n);
    for (size_t i = 0; i < n; i++) made.at[i] = number(wild);
    return made;
}

static buffer buffer_copy(buffer from) {
    buffer made = buffer_new(from.n);
    memcpy(made.at, from.at, from.n * sizeof(double));
    return made;
}

/* Tables such that row[r] + col[j] are all different and below rows * cols + 64. Kind 0: one row behind the other;
 * 1: transposed; 2: permuted; 3: one row behind the other but for one column. */
static void tables(uint32_t *row, uint32_t *col, size_t rows, size_t cols, size_t kind) {
    size_t base = check_below(&dice, 32);
    for (size_t r = 0; r < rows; r++) row[r] = (uint32_t)(base + (kind == 1 ? r : r * cols));
    for (size_t j = 0; j < cols; j++) col[j] = (uint32_t)(kind == 1 ? j * rows : j);
    if (kind == 2) {
        for (size_t i = rows; i > 1; i--) {
            size_t other = check_below(&dice, i);
            uint32_t moved = row[i - 1];
            row[i - 1] = row[other], row[other] = moved;
        }
    }
    if (kind == 2 || kind == 3) {
        for (size_t i = cols; i > 1; i--) {
            size_t other = kind == 3 ? (i == cols ? 0 : i - 1) : check_below(&dice, i);
            uint32_t moved = col[i - 1];
            col[i - 1] = col[other], col[other] = moved;
        }
    }
}

static uint32_t *indices(size_t n) { return check_memory(n, sizeof(uint32_t)); }

static void same_numbers(const pg_kernels *set, const char *what, buffer got, buffer want, size_t rows, size_t cols,
                         size_t lanes, size_t real) {
    for (size_t i = 0; i < want.n; i++) {
        if (check_same_bits(got.at[i], want.at[i])) continue;
        fprintf(stderr, "%s %s: %zu rows, %zu cols, %zu lanes, %zu real: [%zu]\n", set->name, what, rows, cols, lanes,
                real, i);
        CHECK_SAME(got.at[i], want.at[i]);
        return;
    }
    CHECK(1);
}

static double finished(double sum, double h, pg_finish finish) {
    switch (finish) {
    case PG_FINISH_RELU: return sum < 0.0 ? 0.0 : sum;
    case PG_FINISH_RELU_DX: return h > 0.0 ? sum : 0.0;
    case PG_FINISH_TANH_DX: return sum * (1.0 - h * h);
    case PG_FINISH_SIGMOID_DX: return sum * (h * (1.0 - h));
    default: return sum;
    }
}

static void test_dense(const pg_kernels *set, size_t rows, size_t cols, size_t lanes, size_t kind) {
    int wild = (int)check_below(&dice, 2);
    buffer v = buffer_random(rows * cols + 64 + rows, wild), x = buffer_random(cols * lanes, wild);
    buffer got = buffer_new(rows * lanes), want = buffer_new(rows * lanes), h = buffer_random(rows * lanes, wild);
    pg_finish finish = (pg_finish)check_below(&dice, PG_FINISH_SIGMOID_DX + 1);
    uint32_t *row = indices(rows), *col = indices(cols), *start = indices(rows);
    tables(row, col, rows, cols, kind);
    for (size_t r = 0; r < rows; r++) start[r] = (uint32_t)check_below(&dice, v.n);
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < lanes; i++) {
            double sum = v.at[start[r]];
            for (size_t j = 0; j < cols; j++) sum += v.at[row[r] + col[j]] * x.at[j * lanes + i];
            want.at[r * lanes + i] = finished(sum, h.at[r * lanes + i], finish);
        }
    }
    set->dense(got.at, x.at, lanes, v.at, row, col, start, rows, cols, finish, h.at);
    same_numbers(set, "dense", got, want, rows, cols, lanes, lanes);
    buffer turned = buffer_new(cols * lanes), down = buffer_new(rows * lanes);
    for (size_t j = 0; j < cols; j++)
        memcpy(turned.at + (cols - 1 - j) * lanes, x.at + j * lanes, lanes * sizeof(double));
    set->dense_down(down.at, turned.at + (cols ? cols - 1 : 0) * lanes, lanes, v.at, row, col, start, rows, cols,
                    finish, finish > PG_FINISH_RELU ? h.at : NULL);
    same_numbers(set, "dense_down", down, want, rows, cols, lanes, lanes);
    buffer_free(turned), buffer_free(down);
    free(row), free(col), free(start);
    buffer_free(v), buffer_free(x), buffer_free(got), buffer_free(want), buffer_free(h);
}

static void test_outer(const pg_kernels *set, size_t rows, size_t cols, size_t lanes, size_t real, size_t kind) {
    int wild = (int)check_below(&dice, 2);
    const size_t ones = cols ? check_below(&dice, 2) : 0;
    buffer got = buffer_random(rows * (cols + ones) + 64, wild), want = buffer_copy(got);
    buffer dy = buffer_random(rows * lanes, wild), x = buffer_random(cols * lanes, wild);
    buffer scratch = buffer_new(pg_outer_scratch(lanes));
    uint32_t *row = indices(rows), *col = indices(cols + ones);
    tables(row, col, rows, cols + ones, kind);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < cols + ones; j++)
            for (size_t i = 0; i < real; i++)
                want.at[row[r] + col[j]] += dy.at[r * lanes + i] * (j < cols ? x.at[j * lanes + i] : 1.0);
    set->outer(got.at, dy.at, x.at, lanes, real, row, col, rows, cols, ones, scratch.at);
    same_numbers(set, "outer", got, want, rows, cols, lanes, real);
    free(row), free(col);
    buffer_free(got), buffer_free(want), buffer_free(dy), buffer_free(x), buffer_free(scratch);
}

static void test_accumulate(const pg_kernels *set, size_t n, size_t lanes, size_t real, size_t kind) {
    int wild = (int)check_below(&dice, 2);
    buffer got = buffer_random(n + 64, wild), want = buffer_copy(got), x = buffer_random(n * lanes, wild);
    uint32_t *at = indices(n), *one = indices(1);
    tables(one, at, 1, n, kind);
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < real; i++) want.at[at[j]] += x.at[j * lanes + i];
    set->accumulate(got.at, x.at, lanes, real, at, n);
    same_numbers(set, "accumulate", got, want, n, 1, lanes, real);
    free(at), free(one);
    buffer_free(got), buffer_free(want), buffer_free(x);
}

static void test_terms(const pg_kernels *set, size_t n, size_t lanes) {
    int wild = (int)check_below(&dice, 2);
    size_t slots = 1 + check_below(&dice, 20);
    buffer block = buffer_random(slots * lanes, wild), start = buffer_random(lanes, wild);
    buffer got = buffer_new(lanes), want = buffer_new(lanes);
    uint32_t *x = indices(2 * n);
    for (size_t i = 0; i < 2 * n; i++) x[i] = (uint32_t)check_below(&dice, slots);
    for (size_t l = 0; l < lanes; l++) {
        want.at[l] = n ? block.at[x[0] * lanes + l] : 0.0;
        for (size_t i = 1; i < n; i++) want.at[l] += block.at[x[i] * lanes + l];
    }
    set->sum(got.at, block.at, x, n, lanes);
    same_numbers(set, "sum", got, want, 1, n, lanes, lanes);
    for (int started = 0; started < 2; started++) {
        for (size_t l = 0; l < lanes; l++) {
            want.at[l] = started ? start.at[l] : 0.0;
            for (size_t i = 0; i < n; i++) {
                double term = block.at[x[2 * i] * lanes + l] * block.at[x[2 * i + 1] * lanes + l];
                want.at[l] = i == 0 && !started ? term : want.at[l] + term;
            }
        }
        set->dot(got.at, block.at, started ? start.at : NULL, x, n, lanes);
        same_numbers(set, "dot", got, want, (size_t)started, n, lanes, lanes);
    }
    free(x);
    buffer_free(block), buffer_free(start), buffer_free(got), buffer_free(want);
}

static void test_moves(const pg_kernels *set, size_t n, size_t lanes, size_t real, int ordered) {
    size_t stride = n + check_below(&dice, 5), samples = real + 7;
    buffer from = buffer_random(samples * stride, 1), slots = buffer_new(n * lanes), want = buffer_new(n * lanes);
    int64_t *order = check_memory(real, sizeof *order);
    for (size_t i = 0; i < real; i++) order[i] = (int64_t)check_below(&dice, samples);
    for (size_t i = 0; i < lanes; i++) {
        size_t sample = i < real ? i : real - 1;
        if (ordered) sample = (size_t)order[sample];
        for (size_t j = 0; j < n; j++) want.at[j * lanes + i] = from.at[sample * stride + j];
    }
    set->load(slots.at, from.at, stride, ordered ? order : NULL, lanes, real, n);
    same_numbers(set, "load", slots, want, 1, n, lanes, real);
    buffer got = buffer_random(samples * stride, 1), stored = buffer_copy(got);
    for (size_t i = 0; i < real; i++)
        for (size_t j = 0; j < n; j++) stored.at[i * stride + j] = want.at[j * lanes + i];
    set->store(got.at, stride, slots.at, lanes, real, n);
    same_numbers(set, "store", got, stored, 1, n, lanes, real);
    free(order);
    buffer_free(from), buffer_free(slots), buffer_free(want), buffer_free(got), buffer_free(stored);
}

static void test_fill(const pg_kernels *set, size_t n, size_t lanes) {
    buffer v = buffer_random(n, 1), got = buffer_new(n * lanes), want = buffer_new(n * lanes);
    for (size_t k = 0; k < n; k++)
        for (size_t l = 0; l < lanes; l++) want.at[k * lanes + l] = v.at[k];
    set->fill(got.at, v.at, lanes, n);
    same_numbers(set, "fill", got, want, 1, n, lanes, lanes);
    buffer_free(v), buffer_free(got), buffer_free(want);
}

static void test_descend(const pg_kernels *set, size_t n) {
    buffer x = buffer_random(n, 1), g = buffer_random(n, 1), want = buffer_copy(x), none = buffer_new(n);
    const double rate = number(0);
    for (size_t i = 0; i < n; i++) want.at[i] -= rate * g.at[i], none.at[i] = 0.0;
    set->descend(x.at, g.at, rate, n);
    same_numbers(set, "descend", x, want, 1, n, n, n);
    same_numbers(set, "descend, gradient", g, none, 1, n, n, n);
    buffer_free(x), buffer_free(g), buffer_free(want), buffer_free(none);
}

static void test_add(const pg_kernels *set, size_t n) {
    buffer g = buffer_random(n, 1), x = buffer_random(n, 1), want = buffer_copy(g);
    for (size_t i = 0; i < n; i++) want.at[i] += x.at[i];
    set->add(g.at, x.at, n);
    same_numbers(set, "add", g, want, 1, n, n, n);
    buffer_free(g), buffer_free(x), buffer_free(want);
}

/* Every set computes the elementwise formulas alike. */
static void test_formulas(const pg_kernels *set) {
    const pg_kernels *first = pg_kernel_sets[0];
    for (size_t n = 1; n <= 64; n = n == 1 ? 8 : n + 8) {
        buffer a = buffer_random(n, 1), b = buffer_random(n, 1), c = buffer_random(n, 1), d = buffer_random(n, 1);
        buffer got = buffer_new(n), want = buffer_new(n);
        for (int op = 0; op < PG_OP_COUNT; op++) {
            pg_elementwise *const mine[] = {set->fast.value[op], set->fast.dx[op], set->fast.dy[op]};
            pg_elementwise *const theirs[] = {first->fast.value[op], first->fast.dx[op], first->fast.dy[op]};
            for (size_t i = 0; i < 3; i++) {
                CHECK(!mine[i] == !theirs[i]);
                if (!mine[i] || !theirs[i]) continue;
                mine[i](got.at, a.at, b.at, c.at, d.at, 1.5, n);
                theirs[i](want.at, a.at, b.at, c.at, d.at, 1.5, n);
                same_numbers(set, pg_op_describe(op)->name, got, want, i, 0, n, n);
            }
        }
        buffer_free(a), buffer_free(b), buffer_free(c), buffer_free(d), buffer_free(got), buffer_free(want);
    }
}

static void test_set(const pg_kernels *set) {
    static const size_t lane_counts[] = {1, 8, 16, 24, 32, 40, 64, 104, 128, 200};
    const size_t lane_kinds = sizeof lane_counts / sizeof *lane_counts;
    test_formulas(set);
    for (size_t rows = 0; rows <= 40; rows++) {
        for (size_t cols = 0; cols <= 40; cols++) {
            size_t lanes = lane_counts[check_below(&dice, lane_kinds)], kind = check_below(&dice, 4);
            size_t real = 1 + check_below(&dice, lanes);
            test_dense(set, rows, cols, lanes, kind);
            test_dense(set, rows, cols, 1, kind);
            test_outer(set, rows, cols, lanes, real, kind);
            test_outer(set, rows, cols, 1, 1, kind);
        }
    }
    for (size_t i = 0; i < lane_kinds; i++) {
        for (size_t kind = 0; kind < 4; kind++) {
            size_t lanes = lane_counts[i];
            test_dense(set, 10 + kind, 784, lanes, kind);
            test_dense(set, 784, 10 + kind, lanes, kind);
            test_outer(set, 10 + kind, 784, lanes, lanes, kind);
            test_outer(set, 784, 10 + kind, lanes, lanes - lanes / 3, kind);
            test_outer(set, 784, 100, lanes, lanes - lanes / 3, kind);
        }
        for (size_t n = 0; n <= 70; n++) {
            size_t lanes = lane_counts[i];
            test_terms(set, n, lanes);
            test_descend(set, n);
            test_add(set, n);
            test_fill(set, n, lanes);
            test_accumulate(set, n, lanes, 1 + check_below(&dice, lanes), check_below(&dice, 4));
            test_moves(set, n, lanes, 1 + check_below(&dice, lanes), (int)(n % 2));
            test_moves(set, n, lanes, lanes, (int)(n / 2 % 2));
        }
        test_moves(set, 784, lane_counts[i], lane_counts[i], 0);
        test_moves(set, 785, lane_counts[i], 1 + check_below(&dice, lane_counts[i]), 1);
        test_accumulate(set, 785, lane_counts[i], lane_counts[i], 0);
    }
}

int main(void) {
    CHECK(pg_kernel_sets[0]->usable());
    for (size_t i = 0; pg_kernel_sets[i]; i++) {
        const pg_kernels *set = pg_kernel_sets[i];
        printf("%s%s ", set->name, set->usable() ? "" : " (not usable here)");
        if (set->usable()) test_set(set);
    }
    return check_finish();
}
