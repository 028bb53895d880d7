/* test_ops.c: the op table: the value and derivative of every op at many points and at the edges, each status by an
 * operand that provokes it, and op codes and ids that are none.
 *
 * Formulas here are written from mathematics in long double, not from ops.h; derivatives are also compared with
 * central differences. Which bits a formula must give is the subject of the Python tests, which have the reference.
 * PG_ERR_NOMEM is in test_alloc.c; graphs of more than one op are in test_graph.c.
 */
#define _DEFAULT_SOURCE 1 /* mmap */
#include "check.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

static int op_mul, op_neg, op_pow_const, op_dot;

/* ---- the oracle ---- */

typedef long double real;

static real f_neg(real x, real y) { return (void)y, -x; }
static real d_neg(real x, real y) { return (void)x, (void)y, -1; }
static real one(real x, real y) { return (void)x, (void)y, 1; }
static real f_add(real x, real y) { return x + y; }
static real f_sub(real x, real y) { return x - y; }
static real f_mul(real x, real y) { return x * y; }
static real dx_mul(real x, real y) { return (void)x, y; }
static real dy_mul(real x, real y) { return (void)y, x; }
static real f_div(real x, real y) { return x / y; }
static real dx_div(real x, real y) { return (void)x, 1 / y; }
static real dy_div(real x, real y) { return -x / (y * y); }
static real f_pow(real x, real y) { return expl(y * logl(x)); }
static real dx_pow(real x, real y) { return y * expl(y * logl(x)) / x; }
static real dy_pow(real x, real y) { return logl(x) * expl(y * logl(x)); }
static real f_exp(real x, real y) { return (void)y, expl(x); }
static real f_log(real x, real y) { return (void)y, logl(x); }
static real d_log(real x, real y) { return (void)y, 1 / x; }
static real f_sqrt(real x, real y) { return (void)y, sqrtl(x); }
static real d_sqrt(real x, real y) { return (void)y, 0.5L / sqrtl(x); }
static real f_sin(real x, real y) { return (void)y, sinl(x); }
static real d_sin(real x, real y) { return (void)y, cosl(x); }
static real f_cos(real x, real y) { return (void)y, cosl(x); }
static real d_cos(real x, real y) { return (void)y, -sinl(x); }
static real f_tanh(real x, real y) { return (void)y, (expl(2 * x) - 1) / (expl(2 * x) + 1); }
static real d_tanh(real x, real y) { return (void)y, 1 / (coshl(x) * coshl(x)); }
static real f_sigmoid(real x, real y) { return (void)y, (1 + tanhl(x / 2)) / 2; }
static real d_sigmoid(real x, real y) { return (void)y, 1 / (4 * coshl(x / 2) * coshl(x / 2)); }
static real f_softplus(real x, real y) { return (void)y, logl(1 + expl(x)); }
static real f_relu(real x, real y) { return (void)y, x > 0 ? x : 0; }
static real d_relu(real x, real y) { return (void)y, x > 0 ? 1 : 0; }
static real f_leaky(real x, real k) { return x > 0 ? x : k * x; }
static real d_leaky(real x, real k) { return x > 0 ? 1 : k; }
static real f_elu(real x, real k) { return x > 0 ? x : k * (expl(x) - 1); }
static real d_elu(real x, real k) { return x > 0 ? 1 : k * expl(x); }
static real f_silu(real x, real y) { return (void)y, x / (1 + expl(-x)); }
static real d_silu(real x, real y) { return f_sigmoid(x, y) + x * d_sigmoid(x, y); }
static real cdf(real x) { return (1 + erfl(x / sqrtl(2))) / 2; }
static real f_gelu(real x, real y) { return (void)y, x * cdf(x); }
static real d_gelu(real x, real y) { return (void)y, cdf(x) + x * expl(-x * x / 2) / sqrtl(8 * atanl(1)); }
static real f_abs(real x, real y) { return (void)y, x < 0 ? -x : x; }
static real d_abs(real x, real y) { return (void)y, x < 0 ? -1 : 1; }
static real f_maximum(real x, real y) { return x > y ? x : y; }
static real dx_maximum(real x, real y) { return x > y ? 1 : 0; }
static real dy_maximum(real x, real y) { return x > y ? 0 : 1; }
static real f_minimum(real x, real y) { return x < y ? x : y; }
static real f_erf(real x, real y) { return (void)y, erfl(x); }
static real d_erf(real x, real y) { return (void)y, expl(-x * x) / sqrtl(atanl(1)); }
static real f_erfc(real x, real y) { return (void)y, erfcl(x); }
static real d_erfc(real x, real y) { return (void)y, -expl(-x * x) / sqrtl(atanl(1)); }

typedef real formula(real x, real y);

/* One row per op with one or two operands; y is the constant of an op that has one. Points come from the ranges. */
typedef struct {
    const char *name;
    formula *value, *dx, *dy;
    double x_low, x_high, y_low, y_high;
    int exact; /* IEEE says which bits: no tolerance */
} oracle_row;

static const oracle_row oracle[] = {
    {"neg", f_neg, d_neg, NULL, -9, 9, 0, 0, 1},
    {"add", f_add, one, one, -9, 9, -9, 9, 1},
    {"sub", f_sub, one, d_neg, -9, 9, -9, 9, 1},
    {"mul", f_mul, dx_mul, dy_mul, -9, 9, -9, 9, 1},
    {"div", f_div, dx_div, dy_div, -9, 9, 0.2, 9, 0},
    {"pow_const", f_pow, dx_pow, NULL, 0.1, 4, -3, 3, 0},
    {"pow", f_pow, dx_pow, dy_pow, 0.1, 4, -3, 3, 0},
    {"exp", f_exp, f_exp, NULL, -9, 9, 0, 0, 0},
    {"log", f_log, d_log, NULL, 0.1, 9, 0, 0, 0},
    {"sqrt", f_sqrt, d_sqrt, NULL, 0.1, 9, 0, 0, 0},
    {"sin", f_sin, d_sin, NULL, -9, 9, 0, 0, 0},
    {"cos", f_cos, d_cos, NULL, -9, 9, 0, 0, 0},
    {"tanh", f_tanh, d_tanh, NULL, -3, 3, 0, 0, 0},
    {"sigmoid", f_sigmoid, d_sigmoid, NULL, -9, 9, 0, 0, 0},
    {"softplus", f_softplus, f_sigmoid, NULL, -9, 9, 0, 0, 0},
    {"relu", f_relu, d_relu, NULL, -9, 9, 0, 0, 1},
    {"leaky_relu", f_leaky, d_leaky, NULL, -9, 9, 0.01, 0.9, 0},
    {"elu", f_elu, d_elu, NULL, -4, 4, 0.2, 2, 0},
    {"silu", f_silu, d_silu, NULL, -9, 9, 0, 0, 0},
    {"gelu", f_gelu, d_gelu, NULL, -5, 5, 0, 0, 0},
    {"abs", f_abs, d_abs, NULL, -9, 9, 0, 0, 1},
    {"maximum", f_maximum, dx_maximum, dy_maximum, -9, 9, -9, 9, 1},
    {"minimum", f_minimum, dy_maximum, dx_maximum, -9, 9, -9, 9, 1},
    {"erf", f_erf, d_erf, NULL, -4, 4, 0, 0, 0},
    {"erfc", f_erfc, d_erfc, NULL, -4, 9, 0, 0, 0},
};

static const oracle_row *oracle_of(const char *name) {
    for (size_t i = 0; i < sizeof oracle / sizeof *oracle; i++)
        if (strcmp(oracle[i].name, name) == 0) return &oracle[i];
    return NULL;
}

/* ---- the table ---- */

/* Codes are written into saved models: append-only. ORDER OP */
static void test_the_table(void) {
    static const char *const names[] = {"free", "leaf", "const", "user", "neg", "add", "sub", "mul", "div", "pow_const",
        "pow", "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "softplus", "relu", "leaky_relu", "elu", "silu",
        "gelu", "abs", "maximum", "minimum", "sum", "dot", "logsumexp", "erf", "erfc"};
    const int known = (int)(sizeof names / sizeof *names);
    CHECK((int)pg_op_count() >= known);
    for (int op = 0; op < known; op++) CHECK(strcmp(pg_op_describe(op)->name, names[op]) == 0);
    for (int op = 0; op < (int)pg_op_count(); op++) {
        const pg_op_info *info = pg_op_describe(op);
        CHECK(info->name[0] != '\0');
        for (int other = 0; other < op; other++) CHECK(strcmp(info->name, pg_op_describe(other)->name) != 0);
        CHECK((info->kind == PG_KIND_CONSTANT) == (info->parameter[0] != '\0'));
        if (info->kind == PG_KIND_STRUCTURAL) continue;
        CHECK(info->symbol[0] != '\0');
        CHECK(info->doc[0] != '\0');
        int fixed = info->kind != PG_KIND_NARY;
        CHECK(!fixed || oracle_of(info->name)); /* a new op needs a row above */
    }
    CHECK(pg_op_describe(-1) == NULL);
    CHECK(pg_op_describe((int)pg_op_count()) == NULL);
    CHECK(pg_op_describe(INT32_MAX) == NULL);
    CHECK(pg_op_describe(INT32_MIN) == NULL);
    CHECK(strlen(pg_build_compiler()) > 0);
    CHECK(strlen(pg_build_isa()) > 0);
    CHECK(strlen(pg_cpu_isa()) > 0);
    for (int status = 0; status >= PG_ERR_COMPLEX; status--) {
        CHECK(strcmp(pg_status_text(status), pg_status_text(1)) != 0);
        for (int other = 0; other > status; other--) CHECK(strcmp(pg_status_text(status), pg_status_text(other)) != 0);
    }
    CHECK(strcmp(pg_status_text(PG_ERR_ISA - 1), pg_status_text(1)) == 0);
}

/* Makes the node of an op with one or two operands. */
static pg_result apply(pg_arena *arena, int op, pg_id x, pg_id y, double k) {
    switch (pg_op_describe(op)->kind) {
    case PG_KIND_UNARY: return pg_unary(arena, op, x);
    case PG_KIND_CONSTANT: return pg_constant(arena, op, x, k);
    default: return pg_binary(arena, op, x, y);
    }
}

static double slope(int op, double x, double y, double hx, double hy) {
    int status;
    return (pg_op_value(op, x + hx, y + hy, &status) - pg_op_value(op, x - hx, y - hy, &status)) / (2 * (hx + hy));
}

/* Value, derivatives and accumulation at one point, under an upstream gradient of 1.75. */
static void check_point(pg_arena *arena, int op, const oracle_row *row, double x, double y) {
    const double tolerance = row->exact ? 0.0 : 1e-14, h = 1e-5;
    const int binary = pg_op_describe(op)->kind == PG_KIND_BINARY;
    int status = PG_ERR_OP;
    pg_id a = MADE(pg_leaf(arena, x)), b = MADE(pg_leaf(arena, y)), c = MADE(apply(arena, op, a, b, y));
    pg_id root = MADE(pg_binary_right(arena, op_mul, c, 1.75));
    pg_set_grad(arena, a, 0.5); /* what is there is added to, not replaced */
    pg_set_grad(arena, b, 0.25);
    CHECK_NEAR(pg_data(arena, c), (double)row->value(x, y), tolerance);
    CHECK_SAME(pg_op_value(op, x, y, &status), pg_data(arena, c));
    CHECK_INT(status, PG_OK);
    CHECK_SAME(pg_grad(arena, c), 0.0);
    BACKWARD(arena, root);
    double dx = (double)row->dx(x, y), dy = row->dy ? (double)row->dy(x, y) : 0.0;
    CHECK_SAME(pg_grad(arena, c), 1.75);
    CHECK_NEAR(pg_grad(arena, a), 0.5 + 1.75 * dx, tolerance);
    CHECK_NEAR(pg_grad(arena, b), 0.25 + 1.75 * dy, tolerance);
    CHECK_NEAR(slope(op, x, y, h, 0), dx, 1e-6);
    if (binary) CHECK_NEAR(slope(op, x, y, 0, h), dy, 1e-6);
    CHECK_INT(pg_step(arena, c), PG_OK); /* one step by itself gives the same again */
    CHECK_NEAR(pg_grad(arena, a), 0.5 + 1.75 * dx + 1.75 * dx, tolerance);
    CHECK_SAME(pg_data(arena, a), x);
    for (pg_id id, i = 0; i < 4; i++) {
        id = i == 0 ? a : i == 1 ? b : i == 2 ? c : root;
        CHECK_INT(pg_release(arena, id), 0);
    }
}

static void test_values_and_derivatives(void) {
    pg_arena *arena = check_arena(0);
    check_random random = {1234567891011u};
    for (int op = 0; op < (int)pg_op_count(); op++) {
        const oracle_row *row = oracle_of(pg_op_describe(op)->name);
        if (!row) continue;
        for (size_t i = 0; i < 200; i++) {
            double x = check_uniform(&random, row->x_low, row->x_high);
            double y = check_uniform(&random, row->y_low, row->y_high);
            if (fabs(x) < 0.05 || fabs(x - y) < 0.05) continue; /* kinks are for test_special_gradients */
            check_point(arena, op, row, x, y);
        }
    }
    CHECK_INT(LIVE(arena), 0);
    pg_arena_free(arena);
}

/* The same operand on both sides: both derivatives reach it. */
static void test_one_operand_twice(void) {
    pg_arena *arena = check_arena(0);
    for (size_t i = 0; i < sizeof oracle / sizeof *oracle; i++) {
        const oracle_row *row = &oracle[i];
        if (!row->dy) continue;
        pg_id a = MADE(pg_leaf(arena, 1.25)), c = MADE(pg_binary(arena, check_op(row->name), a, a));
        BACKWARD(arena, c);
        CHECK_NEAR(pg_data(arena, c), (double)row->value(1.25L, 1.25L), 1e-12);
        CHECK_NEAR(pg_grad(arena, a), (double)(row->dx(1.25L, 1.25L) + row->dy(1.25L, 1.25L)), 1e-12);
        CHECK_INT(pg_release(arena, a), 0);
        CHECK_INT(pg_release(arena, c), 0);
    }
    pg_arena_free(arena);
}

static void test_sum_and_dot(void) {
    enum { N = 9 };
    pg_arena *arena = check_arena(0);
    check_random random = {99u};
    pg_id w[N], x[N], bias = MADE(pg_leaf(arena, 0.3));
    for (size_t i = 0; i < N; i++) {
        w[i] = MADE(pg_leaf(arena, check_uniform(&random, -2, 2)));
        x[i] = MADE(pg_leaf(arena, check_uniform(&random, -2, 2)));
    }
    for (size_t n = 0; n <= N; n++)
        for (int which = 0; which < 3; which++) { /* sum, dot, dot with a bias */
            double want = which == 2 ? 0.3 : 0.0;
            for (size_t i = 0; i < n; i++) { /* left to right; an unbiased sum starts from its first term */
                double term = which == 0 ? pg_data(arena, x[i]) : pg_data(arena, w[i]) * pg_data(arena, x[i]);
                want = i == 0 && which != 2 ? term : want + term;
                pg_set_grad(arena, w[i], 0.5);
                pg_set_grad(arena, x[i], 0.25);
            }
            pg_set_grad(arena, bias, 0.125);
            pg_id filler = MADE(pg_sum(arena, x, 1));
            pg_id s = MADE(which == 0 ? pg_sum(arena, x, n) : pg_dot(arena, w, x, n, which == 2 ? bias : PG_NONE));
            pg_id root = MADE(pg_binary_left(arena, op_mul, 3.0, s));
            CHECK_SAME(pg_data(arena, s), want);
            BACKWARD(arena, root);
            for (size_t i = 0; i < n; i++) {
                CHECK_SAME(pg_grad(arena, w[i]), which == 0 ? 0.5 : 0.5 + 3.0 * pg_data(arena, x[i]));
                CHECK_SAME(pg_grad(arena, x[i]), which == 0 ? 3.25 : 0.25 + 3.0 * pg_data(arena, w[i]));
            }
            CHECK_SAME(pg_grad(arena, bias), which == 2 ? 3.125 : 0.125);
            CHECK_INT(pg_release(arena, root), 0);
            CHECK_INT(pg_release(arena, s), 0);
            CHECK_INT(pg_release(arena, filler), 0);
        }
    /* -0.0 and the lone operand: 0.0 + -0.0 would be 0.0 */
    pg_id minus_zero = MADE(pg_leaf(arena, -0.0)), unit = MADE(pg_leaf(arena, 1.0));
    CHECK_SAME(pg_data(arena, MADE(pg_sum(arena, &minus_zero, 1))), -0.0);
    CHECK_SAME(pg_data(arena, MADE(pg_dot(arena, &minus_zero, &unit, 1, PG_NONE))), -0.0);
    CHECK_SAME(pg_data(arena, MADE(pg_dot(arena, NULL, NULL, 0, minus_zero))), -0.0);
    /* weights and inputs may be the same nodes: a sum of squares */
    pg_id squares = MADE(pg_dot(arena, x, x, N, PG_NONE));
    for (size_t i = 0; i < N; i++) pg_set_grad(arena, x[i], 0.0);
    BACKWARD(arena, squares);
    for (size_t i = 0; i < N; i++) CHECK_SAME(pg_grad(arena, x[i]), 2.0 * pg_data(arena, x[i]));
    pg_arena_free(arena);
}

/* With no list in the arena at all, the n-ary ops of nothing have no memory to look at. */
static void test_sum_and_dot_of_nothing(void) {
    pg_arena *arena = check_arena(0);
    pg_id s = MADE(pg_sum(arena, NULL, 0)), d = MADE(pg_dot(arena, NULL, NULL, 0, PG_NONE));
    pg_id u = MADE(pg_user(arena, 2.0, NULL, 0));
    CHECK_SAME(pg_data(arena, s), 0.0);
    CHECK_SAME(pg_data(arena, d), 0.0);
    CHECK_SAME(pg_data(arena, u), 2.0);
    const pg_id nodes[] = {s, d, u};
    for (size_t i = 0; i < 3; i++) {
        BACKWARD(arena, nodes[i]);
        CHECK_SAME(pg_grad(arena, nodes[i]), 1.0);
        CHECK_INT(pg_operands(arena, nodes[i], NULL, 0), 0);
        CHECK_INT(pg_release(arena, nodes[i]), 0);
    }
    CHECK_INT(LIVE(arena), 0);
    pg_arena_free(arena);
}

/* ---- statuses ---- */

typedef struct {
    const char *name;
    double x, y; /* y: the second operand, or the constant */
    int status;
    double value; /* if PG_OK: these bits */
} special_row;

/* What Python's own arithmetic does at the edges (a status where it raises), and what never overflows. */
static const special_row specials[] = {
    {"div", 1, 0, PG_ERR_ZERO_DIVISION, 0},
    {"div", 0, -0.0, PG_ERR_ZERO_DIVISION, 0},
    {"div", INFINITY, 0, PG_ERR_ZERO_DIVISION, 0},
    {"div", NAN, 0, PG_ERR_ZERO_DIVISION, 0},
    {"div", 1, INFINITY, PG_OK, 0.0},
    {"div", 1e308, 1e-308, PG_OK, INFINITY},
    {"mul", 1e308, 10, PG_OK, INFINITY},
    {"mul", 0, INFINITY, PG_OK, NAN},
    {"add", 1.7e308, 1.7e308, PG_OK, INFINITY},
    {"sub", INFINITY, INFINITY, PG_OK, NAN},
    {"neg", 0.0, 0, PG_OK, -0.0},
    {"exp", 710, 0, PG_ERR_OVERFLOW, 0},
    {"exp", 1000, 0, PG_ERR_OVERFLOW, 0},
    {"exp", 709, 0, PG_OK, 8.2184074615549724e+307},
    {"exp", -1000, 0, PG_OK, 0.0},
    {"exp", INFINITY, 0, PG_OK, INFINITY},
    {"exp", -INFINITY, 0, PG_OK, 0.0},
    {"exp", NAN, 0, PG_OK, NAN},
    {"log", 0, 0, PG_ERR_DOMAIN, 0},
    {"log", -0.0, 0, PG_ERR_DOMAIN, 0},
    {"log", -1, 0, PG_ERR_DOMAIN, 0},
    {"log", -INFINITY, 0, PG_ERR_DOMAIN, 0},
    {"log", INFINITY, 0, PG_OK, INFINITY},
    {"log", NAN, 0, PG_OK, NAN},
    {"log", 1, 0, PG_OK, 0.0},
    {"sqrt", -1, 0, PG_ERR_DOMAIN, 0},
    {"sqrt", -INFINITY, 0, PG_ERR_DOMAIN, 0},
    {"sqrt", -0.0, 0, PG_OK, -0.0},
    {"sqrt", INFINITY, 0, PG_OK, INFINITY},
    {"sqrt", NAN, 0, PG_OK, NAN},
    {"sin", INFINITY, 0, PG_ERR_DOMAIN, 0},
    {"sin", -INFINITY, 0, PG_ERR_DOMAIN, 0},
    {"cos", INFINITY, 0, PG_ERR_DOMAIN, 0},
    {"cos", NAN, 0, PG_OK, NAN},
    {"pow", 0, -1, PG_ERR_ZERO_DIVISION, 0},
    {"pow", -0.0, -0.5, PG_ERR_ZERO_DIVISION, 0},
    {"pow", -8, 1.0 / 3, PG_ERR_COMPLEX, 0},
    {"pow", -2, 3, PG_OK, -8.0},
    {"pow", -2, -2, PG_OK, 0.25},
    {"pow", 2, 1024, PG_ERR_OVERFLOW, 0},
    {"pow", -10, 309, PG_ERR_OVERFLOW, 0},
    {"pow", 2, -2000, PG_OK, 0.0},
    {"pow", 0, 0, PG_OK, 1.0},
    {"pow", NAN, 0, PG_OK, 1.0},
    {"pow", 1, NAN, PG_OK, 1.0},
    {"pow", 2, NAN, PG_OK, NAN},
    {"pow", 0, -INFINITY, PG_OK, INFINITY},
    {"pow", INFINITY, 2, PG_OK, INFINITY},
    {"pow", 2, INFINITY, PG_OK, INFINITY},
    {"pow", -2, INFINITY, PG_OK, INFINITY},
    {"pow", -INFINITY, 0.5, PG_OK, INFINITY},
    {"pow_const", 0, -1, PG_ERR_ZERO_DIVISION, 0},
    {"pow_const", -1, 0.5, PG_ERR_COMPLEX, 0},
    {"pow_const", 1e200, 2, PG_ERR_OVERFLOW, 0},
    {"pow_const", INFINITY, 2, PG_OK, INFINITY},
    {"tanh", 1000, 0, PG_OK, 1.0},
    {"tanh", -INFINITY, 0, PG_OK, -1.0},
    {"sigmoid", -800, 0, PG_OK, 0.0},
    {"sigmoid", 800, 0, PG_OK, 1.0},
    {"sigmoid", -INFINITY, 0, PG_OK, 0.0},
    {"sigmoid", NAN, 0, PG_OK, NAN},
    {"sigmoid", 0, 0, PG_OK, 0.5},
    {"softplus", 1000, 0, PG_OK, 1000.0},
    {"softplus", -1000, 0, PG_OK, 0.0},
    {"softplus", INFINITY, 0, PG_OK, INFINITY},
    {"relu", NAN, 0, PG_OK, NAN},
    {"relu", -0.0, 0, PG_OK, -0.0},
    {"relu", -INFINITY, 0, PG_OK, 0.0},
    {"leaky_relu", -INFINITY, 0.5, PG_OK, -INFINITY},
    {"elu", -1000, 2, PG_OK, -2.0},
    {"silu", -1000, 0, PG_OK, -0.0},
    {"silu", 1000, 0, PG_OK, 1000.0},
    {"gelu", 1000, 0, PG_OK, 1000.0},
    {"gelu", -1000, 0, PG_OK, -0.0},
    {"abs", -0.0, 0, PG_OK, 0.0},
    {"abs", -INFINITY, 0, PG_OK, INFINITY},
    {"maximum", NAN, 1, PG_OK, NAN},
    {"maximum", 1, NAN, PG_OK, NAN},
    {"minimum", NAN, 1, PG_OK, NAN},
    {"minimum", 1, NAN, PG_OK, NAN},
    {"maximum", -INFINITY, 1, PG_OK, 1.0},
    {"minimum", -INFINITY, 1, PG_OK, -INFINITY},
};

static void check_made_or(pg_arena *arena, pg_result made, const special_row *row) {
    if (row->status != PG_OK) {
        CHECK_INT(made, row->status);
        return;
    }
    pg_id id = MADE(made);
    CHECK_SAME(pg_data(arena, id), row->value);
    CHECK_INT(pg_release(arena, id), 0);
}

/* Every way of making the node gives the same status, and an op that fails leaves the arena as it was. */
static void test_special_values(void) {
    pg_arena *arena = check_arena(0);
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
        const special_row *row = &specials[i];
        const int op = check_op(row->name), binary = pg_op_describe(op)->kind == PG_KIND_BINARY;
        int status = 1;
        pg_id x = MADE(pg_leaf(arena, row->x)), y = MADE(pg_leaf(arena, row->y));
        check_made_or(arena, apply(arena, op, x, y, row->y), row);
        if (binary) check_made_or(arena, pg_binary_right(arena, op, x, row->y), row);
        if (binary) check_made_or(arena, pg_binary_left(arena, op, row->x, y), row);
        double value = pg_op_value(op, row->x, row->y, &status);
        CHECK_INT(status, row->status);
        if (status == PG_OK) CHECK_SAME(value, row->value);
        CHECK_INT(LIVE(arena), 2);
        CHECK_INT(pg_uses(arena, x), 1);
        CHECK_INT(pg_uses(arena, y), 1);
        CHECK_INT(pg_release(arena, x), 0);
        CHECK_INT(pg_release(arena, y), 0);
    }
    pg_arena_free(arena);
}

typedef struct {
    const char *name;
    double x, y, upstream, dx, dy; /* dy is not looked at for an op without a second operand */
} gradient_row;

/* Derivatives follow IEEE 754 and never fail. */
static const gradient_row gradients[] = {
    {"sqrt", 0, 0, 1, INFINITY, 0},
    {"pow", 0, 0, 1, 0.0, 0.0},
    {"pow", 3, 0, 1, 0.0, 1.0986122886681098},
    {"pow", 0, 2, 1, 0.0, 0.0},
    {"pow", -2, 3, 1, 12.0, NAN},
    {"pow_const", 0, 0, 1, 0.0, 0},
    {"pow_const", 5, 0, INFINITY, 0.0, 0},
    {"pow_const", 0, 1, 1, 1.0, 0},
    {"pow_const", 0, 2, 1, 0.0, 0},
    {"pow_const", -3, 2, 1, -6.0, 0},
    {"pow_const", 0, 0.5, 1, INFINITY, 0},
    {"relu", 0, 0, 1, 0.0, 0},
    {"relu", -1, 0, INFINITY, 0.0, 0}, /* masked: not 0 * inf */
    {"relu", -1, 0, NAN, 0.0, 0},
    {"relu", NAN, 0, 1, 0.0, 0},
    {"relu", 2, 0, INFINITY, INFINITY, 0},
    {"leaky_relu", 0, 0.25, 1, 0.25, 0},
    {"elu", 0, 0.5, 1, 0.5, 0},
    {"abs", 0, 0, 1, 0.0, 0},
    {"abs", NAN, 0, 1, NAN, 0},
    {"maximum", 2, 2, 1, 0.5, 0.5},
    {"minimum", 2, 2, 1, 0.5, 0.5},
    {"maximum", 1, 2, INFINITY, 0.0, INFINITY},
    {"minimum", 1, 2, INFINITY, INFINITY, 0.0},
    {"mul", INFINITY, 0, 0, 0.0, NAN}, /* a zero gradient is propagated like any other */
    {"exp", INFINITY, 0, 0, NAN, 0},
    {"sigmoid", -800, 0, 1, 0.0, 0},
    {"sigmoid", 0, 0, 1, 0.25, 0},
    {"softplus", -800, 0, 1, 0.0, 0},
    {"softplus", 800, 0, 1, 1.0, 0},
    {"tanh", 1000, 0, 1, 0.0, 0},
    {"tanh", 0, 0, 1, 1.0, 0},
    {"gelu", 0, 0, 1, 0.5, 0},
    {"silu", 0, 0, 1, 0.5, 0},
    {"cos", 0, 0, 1, 0.0, 0}, /* -0.0, added to 0.0 */
    {"sin", 0, 0, 1, 1.0, 0},
};

static void test_special_gradients(void) {
    pg_arena *arena = check_arena(0);
    for (size_t i = 0; i < sizeof gradients / sizeof *gradients; i++) {
        const gradient_row *row = &gradients[i];
        const int op = check_op(row->name);
        pg_id x = MADE(pg_leaf(arena, row->x)), y = MADE(pg_leaf(arena, row->y));
        pg_id z = MADE(apply(arena, op, x, y, row->y));
        pg_set_grad(arena, z, row->upstream);
        CHECK_INT(pg_step(arena, z), PG_OK);
        CHECK_SAME(pg_grad(arena, x), row->dx);
        if (pg_op_describe(op)->kind == PG_KIND_BINARY) CHECK_SAME(pg_grad(arena, y), row->dy);
        CHECK_INT(pg_release(arena, x), 0);
        CHECK_INT(pg_release(arena, y), 0);
        CHECK_INT(pg_release(arena, z), 0);
    }
    CHECK_INT(LIVE(arena), 0);
    pg_arena_free(arena);
}

/* Every op code and beyond through every function, with good and with bad ids: a status, never a crash. */
static void test_bad_ops_and_ids(void) {
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.5)), y = MADE(pg_leaf(arena, 0.5)), dead = MADE(pg_leaf(arena, 1.0));
    CHECK_INT(pg_release(arena, dead), 0);
    const int ops[] = {-1, -1000000, INT32_MIN, (int)pg_op_count(), 255, 256, 65536 + op_mul, INT32_MAX};
    const size_t n_ops = pg_op_count() + sizeof ops / sizeof *ops;
    const pg_id bad[] = {PG_NONE,          dead,         4095,              4096,      4097, 8192,
                         PG_MAX_NODES - 1, PG_MAX_NODES, UINT32_MAX - 4095, UINT32_MAX};
    for (size_t i = 0; i < n_ops; i++) {
        int op = i < pg_op_count() ? (int)i : ops[i - pg_op_count()];
        const pg_op_info *info = pg_op_describe(op);
        int kind = info ? (int)info->kind : -1;
        pg_result unary = pg_unary(arena, op, x), constant = pg_constant(arena, op, x, 0.5);
        pg_result binary = pg_binary(arena, op, x, y), right = pg_binary_right(arena, op, x, 0.5);
        pg_result left = pg_binary_left(arena, op, 1.5, y);
        CHECK(kind == PG_KIND_UNARY ? unary > 0 : unary == PG_ERR_OP);
        CHECK(kind == PG_KIND_CONSTANT ? constant > 0 : constant == PG_ERR_OP);
        CHECK(kind == PG_KIND_BINARY ? binary > 0 : binary == PG_ERR_OP);
        CHECK(kind == PG_KIND_BINARY ? right > 0 : right == PG_ERR_OP);
        CHECK(kind == PG_KIND_BINARY ? left > 0 : left == PG_ERR_OP);
        const pg_result made[] = {unary, constant, binary, right, left};
        for (size_t j = 0; j < 5; j++)
            if (made[j] > 0) CHECK_INT(pg_release(arena, PG_RESULT_ID(made[j])), 0);
        int status = 1, plain = kind == PG_KIND_UNARY || kind == PG_KIND_CONSTANT || kind == PG_KIND_BINARY;
        double value = pg_op_value(op, 1.5, 0.5, &status);
        CHECK_INT(status, plain ? PG_OK : PG_ERR_OP);
        CHECK(plain || isnan(value));
        for (size_t j = 0; j < sizeof bad / sizeof *bad; j++) {
            const pg_result got[] = {pg_unary(arena, op, bad[j]), pg_constant(arena, op, bad[j], 0.5),
                pg_binary(arena, op, x, bad[j]), pg_binary(arena, op, bad[j], y), pg_binary(arena, op, bad[j], bad[j]),
                pg_binary_right(arena, op, bad[j], 0.5), pg_binary_left(arena, op, 1.5, bad[j])};
            for (size_t k = 0; k < sizeof got / sizeof *got; k++) CHECK(got[k] == PG_ERR_ID || got[k] == PG_ERR_OP);
        }
        CHECK_INT(LIVE(arena), 2);
    }
    for (size_t j = 0; j < sizeof bad / sizeof *bad; j++) {
        const pg_id good[] = {x, y, x}, one_bad[] = {x, bad[j], y};
        CHECK_INT(pg_sum(arena, one_bad, 3), PG_ERR_ID);
        CHECK_INT(pg_user(arena, 1.0, one_bad, 3), PG_ERR_ID);
        CHECK_INT(pg_dot(arena, one_bad, good, 3, PG_NONE), PG_ERR_ID);
        CHECK_INT(pg_dot(arena, good, one_bad, 3, PG_NONE), PG_ERR_ID);
        CHECK_INT(pg_restore(arena, op_dot, one_bad, 3, 0, 0, 0), PG_ERR_ID);
        CHECK_INT(pg_restore(arena, op_neg, &bad[j], 1, 0, 0, 0), PG_ERR_ID);
        CHECK_INT(pg_restore(arena, op_pow_const, &bad[j], 1, 0, 0, 0), PG_ERR_ID);
        if (bad[j] != PG_NONE) CHECK_INT(pg_dot(arena, good, good, 3, bad[j]), PG_ERR_ID);
        int status = PG_OK;
        CHECK(pg_sweep_new(arena, bad[j], &status) == NULL);
        CHECK_INT(status, PG_ERR_ID);
        CHECK_INT(pg_step(arena, bad[j]), PG_ERR_ID);
        CHECK_INT(pg_uses(arena, x), 1);
        CHECK_INT(pg_uses(arena, y), 1);
        CHECK_INT(LIVE(arena), 2);
    }
    pg_arena_free(arena);
}

/* PG_ERR_FULL from an operand list that is too long. The ids are one file's pages mapped over and over, so 4 GiB
 * of them cost 16 MB. The other way to provoke it, 2**30 nodes, takes 43 GB and is not tested. */
static void test_a_list_too_long(void) {
#if defined(__unix__) || defined(__APPLE__)
    if (sizeof(size_t) < 8 || check_scaled(100, 1) < 100) return;
    const size_t chunk = (size_t)16 << 20, ids = ((size_t)1 << 30) + 1, bytes = ids * sizeof(pg_id);
    const size_t chunks = (bytes + chunk - 1) / chunk;
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0));
    FILE *file = tmpfile();
    pg_id *part = check_memory(chunk, 1);
    for (size_t i = 0; i < chunk / sizeof *part; i++) part[i] = x;
    int ready = file && fwrite(part, 1, chunk, file) == chunk && fflush(file) == 0;
    char *all = ready ? mmap(NULL, chunks * chunk, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    ready = all != MAP_FAILED;
    for (size_t i = 0; ready && i < chunks; i++)
        ready = mmap(all + i * chunk, chunk, PROT_READ, MAP_SHARED | MAP_FIXED, fileno(file), 0) != MAP_FAILED;
    if (ready) {
        CHECK_INT(pg_sum(arena, (const pg_id *)all, ids), PG_ERR_FULL);
        CHECK_INT(pg_uses(arena, x), 1);
        CHECK_INT(LIVE(arena), 1);
        CHECK(check_stats(arena).bytes < chunk);
    } else {
        fprintf(stderr, "no room to map 4 GiB: PG_ERR_FULL is not tested\n");
    }
    if (all != MAP_FAILED) (void)munmap(all, chunks * chunk);
    if (file) (void)fclose(file);
    free(part);
    pg_arena_free(arena);
#endif
}

int main(void) {
    op_mul = check_op("mul");
    op_neg = check_op("neg");
    op_pow_const = check_op("pow_const");
    op_dot = check_op("dot");
    test_the_table();
    test_values_and_derivatives();
    test_one_operand_twice();
    test_sum_and_dot();
    test_sum_and_dot_of_nothing();
    test_special_values();
    test_special_gradients();
    test_bad_ops_and_ids();
    test_a_list_too_long();
    return check_finish();
}
