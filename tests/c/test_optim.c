/* test_optim.c: many parameters in one call: their numbers and gradients, clipping, and the rules, each against its
 * formula written out for one parameter; counts around a block's length; plain arrays against nodes; ids of no node;
 * nothing allocated.
 *
 * The last bit, and every odd number, is compared with Python in tests/test_updates.py.
 */
#include "check.h"

enum { MOST = 300 };

typedef struct {
    pg_arena *arena;
    pg_id ids[MOST];
    double data[MOST], grad[MOST], state[3 * MOST];
    size_t n;
} fixture;

/* n parameters with random numbers, and between them nodes that no call may touch. */
static void start(fixture *f, size_t n, int flags) {
    check_random random = {88172645463325252u + n};
    memset(f, 0, sizeof *f);
    f->arena = check_arena(flags);
    f->n = n;
    for (size_t i = 0; i < n; i++) {
        f->data[i] = check_uniform(&random, -2.0, 2.0);
        f->grad[i] = check_uniform(&random, -1.0, 1.0);
        (void)MADE(pg_leaf(f->arena, 7.0));
        f->ids[n - 1 - i] = MADE(pg_leaf(f->arena, 0.0)); /* in descending order */
    }
    CHECK_INT(pg_put_data(f->arena, f->ids, n, f->data), PG_OK);
    CHECK_INT(pg_put_grads(f->arena, f->ids, n, f->grad), PG_OK);
}

static void check_numbers(fixture *f) {
    double read[MOST];
    CHECK_INT(pg_get_data(f->arena, f->ids, f->n, read), PG_OK);
    size_t wrong = 0;
    for (size_t i = 0; i < f->n; i++) {
        CHECK_NEAR(read[i], f->data[i], 1e-12);
        wrong += !check_same_bits(read[i], pg_data(f->arena, f->ids[i]));
        wrong += !check_same_bits(f->grad[i], pg_grad(f->arena, f->ids[i]));
    }
    for (pg_id id = 1; id < 2 * f->n; id += 2) wrong += pg_data(f->arena, id) != 7.0 || pg_grad(f->arena, id) != 0.0;
    CHECK_INT(wrong, 0);
}

/* ---- numbers and clipping ---- */

static void test_numbers(void) {
    fixture f;
    start(&f, 40, 0);
    double read[MOST];
    check_numbers(&f);
    CHECK_INT(pg_get_grads(f.arena, f.ids, 40, read), PG_OK);
    CHECK(memcmp(read, f.grad, 40 * sizeof *read) == 0);
    CHECK_INT(pg_get_grads(f.arena, f.ids + 3, 1, read), PG_OK); /* one number, no more */
    CHECK(read[0] == f.grad[3] && read[1] == f.grad[1]);
    CHECK_INT(pg_zero_grads(f.arena, f.ids + 10, 20), PG_OK);
    memset(f.grad + 10, 0, 20 * sizeof *f.grad);
    check_numbers(&f);
    pg_arena_free(f.arena);
}

static void test_clipping(void) {
    fixture f;
    double norm = -1.0;
    start(&f, 5, 0);
    const double grads[] = {3.0, -4.0, -0.0, (double)INFINITY, (double)NAN};
    memcpy(f.grad, grads, sizeof grads);
    CHECK_INT(pg_put_grads(f.arena, f.ids, 5, grads), PG_OK);
    CHECK_INT(pg_grad_norm(f.arena, f.ids, 3, &norm), PG_OK);
    CHECK_SAME(norm, 5.0);
    CHECK_INT(pg_grad_norm(f.arena, f.ids, 4, &norm), PG_OK);
    CHECK_SAME(norm, (double)INFINITY);
    CHECK_INT(pg_grad_norm(f.arena, f.ids, 5, &norm), PG_OK);
    CHECK_SAME(norm, (double)NAN);
    CHECK_INT(pg_clamp_grads(f.arena, f.ids, 5, 3.5), PG_OK);
    f.grad[1] = -3.5;
    f.grad[3] = 3.5;
    check_numbers(&f);
    CHECK_INT(pg_scale_grads(f.arena, f.ids, 3, -2.0), PG_OK);
    f.grad[0] = -6.0;
    f.grad[1] = 7.0;
    f.grad[2] = 0.0;
    check_numbers(&f);
    pg_arena_free(f.arena);
}

/* ---- the rules, one parameter at a time ---- */

typedef void scalar_rule(double *x, double g, double *state, const double *s);

static void scalar_sgd(double *x, double g, double *state, const double *s) {
    g += s[3] * *x;
    if (s[1] > 0.0) {
        state[0] = s[1] * state[0] + g;
        g = s[2] > 0.0 ? g + s[1] * state[0] : state[0];
    }
    *x -= s[0] * g;
}

static void scalar_adam(double *x, double g, double *state, const double *s) {
    g += s[4] * *x;
    state[0] = s[1] * state[0] + (1.0 - s[1]) * g;
    state[1] = s[2] * state[1] + (1.0 - s[2]) * g * g;
    double m = state[0] / (1.0 - pow(s[1], s[5])), v = state[1] / (1.0 - pow(s[2], s[5]));
    *x -= s[0] * m / (sqrt(v) + s[3]);
}

static void scalar_adamw(double *x, double g, double *state, const double *s) {
    const double plain[] = {s[0], s[1], s[2], s[3], 0.0, s[5]};
    *x -= s[0] * s[4] * *x;
    scalar_adam(x, g, state, plain);
}

static void scalar_rmsprop(double *x, double g, double *state, const double *s) {
    double *mean = &state[s[3] > 0.0 ? 2 : 1];
    g += s[5] * *x;
    state[0] = s[1] * state[0] + (1.0 - s[1]) * g * g;
    double variance = state[0];
    if (s[4] > 0.0) {
        *mean = s[1] * *mean + (1.0 - s[1]) * g;
        variance -= *mean * *mean;
    }
    double move = g / (sqrt(variance) + s[2]);
    if (s[3] > 0.0) move = state[1] = s[3] * state[1] + move;
    *x -= s[0] * move;
}

static const struct {
    int rule;
    scalar_rule *scalar;
    size_t slots, settings;
    double values[6];
} cases[] = {
    {PG_RULE_SGD, scalar_sgd, 0, 4, {0.1, 0.0, 0.0, 0.0}},
    {PG_RULE_SGD, scalar_sgd, 0, 4, {0.1, 0.0, 1.0, 0.3}},
    {PG_RULE_SGD, scalar_sgd, 1, 4, {0.1, 0.9, 0.0, 0.0}},
    {PG_RULE_SGD, scalar_sgd, 1, 4, {0.1, 0.9, 1.0, 0.3}},
    {PG_RULE_ADAM, scalar_adam, 2, 6, {0.1, 0.9, 0.99, 1e-8, 0.0, 0.0}},
    {PG_RULE_ADAM, scalar_adam, 2, 6, {0.1, 0.5, 0.8, 1e-3, 0.3, 0.0}},
    {PG_RULE_ADAMW, scalar_adamw, 2, 6, {0.1, 0.9, 0.99, 1e-8, 0.3, 0.0}},
    {PG_RULE_RMSPROP, scalar_rmsprop, 1, 6, {0.1, 0.9, 1e-8, 0.0, 0.0, 0.0}},
    {PG_RULE_RMSPROP, scalar_rmsprop, 2, 6, {0.1, 0.9, 1e-8, 0.5, 0.0, 0.3}},
    {PG_RULE_RMSPROP, scalar_rmsprop, 2, 6, {0.1, 0.9, 1e-3, 0.0, 1.0, 0.0}},
    {PG_RULE_RMSPROP, scalar_rmsprop, 3, 6, {0.1, 0.9, 1e-3, 0.5, 1.0, 0.3}},
};

static void test_rule(size_t which, size_t n, int flags) {
    fixture f;
    double settings[6], expected[3 * MOST] = {0.0};
    size_t slots = cases[which].slots;
    start(&f, n, flags);
    memcpy(settings, cases[which].values, sizeof settings);
    CHECK_INT(pg_rule_slots(cases[which].rule, settings), slots);
    CHECK_INT(pg_rule_describe(cases[which].rule)->setting_count, cases[which].settings);
    for (int step = 1; step <= 5; step++) {
        if (cases[which].rule == PG_RULE_ADAM || cases[which].rule == PG_RULE_ADAMW) settings[5] = step;
        for (size_t i = 0; i < n; i++) {
            f.grad[i] += 0.1;
            double own[3] = {0.0};
            for (size_t k = 0; k < slots; k++) own[k] = expected[k * n + i];
            cases[which].scalar(&f.data[i], f.grad[i], own, settings);
            for (size_t k = 0; k < slots; k++) expected[k * n + i] = own[k];
        }
        CHECK_INT(pg_put_grads(f.arena, f.ids, n, f.grad), PG_OK);
        CHECK_INT(pg_optimise(f.arena, cases[which].rule, f.ids, n, settings, slots ? f.state : NULL), PG_OK);
        check_numbers(&f);
        for (size_t i = 0; i < slots * n; i++) CHECK_NEAR(f.state[i], expected[i], 1e-12);
        for (size_t i = slots * n; i < 3 * MOST; i++) CHECK(f.state[i] == 0.0);
    }
    pg_arena_free(f.arena);
}

static void test_rules(void) {
    const size_t counts[] = {1, 2, 127, 128, 129, 256, 300};
    for (size_t which = 0; which < sizeof cases / sizeof *cases; which++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            test_rule(which, counts[i], i % 2 ? PG_ARENA_LOCKED : 0);
    for (int rule = 0; pg_rule_describe(rule); rule++) {
        const char *settings = pg_rule_describe(rule)->settings;
        size_t words = 1;
        for (const char *c = settings; *c; c++) words += *c == ' ';
        CHECK_INT(pg_rule_describe(rule)->setting_count, words);
        CHECK(strncmp(settings, "lr ", 3) == 0);
    }
}

/* ---- plain arrays ---- */

typedef struct {
    double before, data[MOST], between, grad[MOST], behind;
} guarded;

/* A plain array goes where nodes go, to the bit, and nothing beside it changes. zeros: without gradients. */
static void test_array(size_t which, size_t n, int zeros) {
    fixture f;
    guarded a = {.before = 7.0, .between = 8.0, .behind = 9.0};
    double settings[6], state[3 * MOST + 1] = {0.0}, read[MOST];
    const size_t slots = cases[which].slots;
    start(&f, n, 0);
    memcpy(settings, cases[which].values, sizeof settings);
    memcpy(a.data, f.data, sizeof a.data);
    if (zeros) memset(f.grad, 0, sizeof f.grad);
    CHECK_INT(pg_put_grads(f.arena, f.ids, n, f.grad), PG_OK);
    memcpy(a.grad, f.grad, sizeof a.grad);
    state[slots * n] = 5.0;
    for (int step = 1; step <= 3; step++) {
        if (cases[which].rule == PG_RULE_ADAM || cases[which].rule == PG_RULE_ADAMW) settings[5] = step;
        CHECK_INT(pg_optimise(f.arena, cases[which].rule, f.ids, n, settings, f.state), PG_OK);
        CHECK_INT(pg_optimise_array(cases[which].rule, a.data, zeros ? NULL : a.grad, n, settings, state), PG_OK);
    }
    CHECK_INT(pg_get_data(f.arena, f.ids, n, read), PG_OK);
    CHECK(memcmp(read, a.data, n * sizeof *read) == 0);
    CHECK(memcmp(a.data + n, f.data + n, (MOST - n) * sizeof *read) == 0);
    CHECK(memcmp(a.grad, f.grad, sizeof a.grad) == 0);
    CHECK(memcmp(state, f.state, slots * n * sizeof *state) == 0 && state[slots * n] == 5.0);
    CHECK(a.before == 7.0 && a.between == 8.0 && a.behind == 9.0);
    pg_arena_free(f.arena);
}

static void test_arrays(void) {
    const size_t counts[] = {1, 127, 128, 129, 256, 300};
    for (size_t which = 0; which < sizeof cases / sizeof *cases; which++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (int zeros = 0; zeros < 2; zeros++) test_array(which, counts[i], zeros);
}

/* The gradients may be the data themselves. */
static void test_array_along_itself(void) {
    double x[MOST], y[MOST], g[MOST], state[MOST] = {0.0}, other[MOST] = {0.0};
    const double settings[] = {0.1, 0.5, 1.0, 0.3};
    for (size_t i = 0; i < MOST; i++) x[i] = y[i] = g[i] = (double)i - 100.0;
    CHECK_INT(pg_optimise_array(PG_RULE_SGD, x, g, MOST, settings, state), PG_OK);
    CHECK_INT(pg_optimise_array(PG_RULE_SGD, y, y, MOST, settings, other), PG_OK);
    CHECK(memcmp(x, y, sizeof x) == 0 && memcmp(state, other, sizeof state) == 0 && x[0] != g[0]);
}

static void test_no_array(void) {
    double x = 1.0, g = 1.0;
    const double settings[6] = {0.1, 0.0, 0.0, 0.0, 0.0, 0.0};
    for (int rule = 0; rule < 4; rule++) CHECK_INT(pg_optimise_array(rule, NULL, NULL, 0, NULL, NULL), PG_OK);
    CHECK_INT(pg_optimise_array(-1, &x, &g, 1, settings, NULL), PG_ERR_OP);
    CHECK_INT(pg_optimise_array(4, &x, &g, 1, settings, NULL), PG_ERR_OP);
    CHECK_INT(pg_optimise_array(4, NULL, NULL, 0, NULL, NULL), PG_ERR_OP);
    CHECK_SAME(x, 1.0);
}

/* ---- errors ---- */

static pg_result call(int which, pg_arena *arena, const pg_id *ids, size_t n, double *numbers) {
    const double settings[6] = {0.1, 0.9, 0.5, 0.1, 0.1, 1.0};
    switch (which) {
    case 0: return pg_get_data(arena, ids, n, numbers);
    case 1: return pg_get_grads(arena, ids, n, numbers);
    case 2: return pg_put_data(arena, ids, n, numbers);
    case 3: return pg_put_grads(arena, ids, n, numbers);
    case 4: return pg_zero_grads(arena, ids, n);
    case 5: return pg_grad_norm(arena, ids, n, numbers);
    case 6: return pg_scale_grads(arena, ids, n, 3.0);
    case 7: return pg_clamp_grads(arena, ids, n, 0.01);
    default: return pg_optimise(arena, which - 8, ids, n, settings, numbers);
    }
}
enum { CALLS = 12 };

static void test_ids_of_no_node(void) {
    fixture f;
    start(&f, MOST, PG_ARENA_LOCKED);
    pg_id dead = MADE(pg_leaf(f.arena, 1.0)), good = f.ids[200];
    CHECK_INT(pg_release(f.arena, dead), 0);
    const pg_id wrong[] = {dead, PG_NONE, UINT32_MAX, UINT32_C(1) << 30};
    for (int which = 0; which < CALLS; which++) {
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            f.ids[200] = wrong[i];
            CHECK_INT(call(which, f.arena, f.ids, MOST, f.state), PG_ERR_ID);
            f.ids[200] = good;
            check_numbers(&f);
            size_t changed = 0;
            for (size_t k = 0; k < 3 * MOST; k++) changed += f.state[k] != 0.0;
            CHECK_INT(changed, 0);
        }
        CHECK_INT(call(which, f.arena, NULL, 0, NULL), PG_OK);
    }
    CHECK_INT(pg_rule_slots(-1, NULL), 0);
    const int rules[] = {-1, 4, 1000};
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(pg_optimise(f.arena, rules[i], f.ids, MOST, f.data, f.state), PG_ERR_OP);
        CHECK(pg_rule_describe(rules[i]) == NULL);
        CHECK_INT(pg_rule_slots(rules[i], f.data), 0);
    }
    check_numbers(&f);
    pg_arena_free(f.arena);
}

static void test_an_array_among_them(void) {
    fixture f;
    start(&f, MOST, PG_ARENA_LOCKED);
    for (int which = 0; which < CALLS; which++) {
        CHECK_INT(pg_set_flags(f.arena, f.ids[200], PG_NODE_ARRAY, 0), PG_OK);
        CHECK_INT(call(which, f.arena, f.ids, MOST, f.state), PG_ERR_ARRAY);
        CHECK_INT(call(which, f.arena, f.ids, 200, f.state), PG_OK);
        CHECK_INT(pg_set_flags(f.arena, f.ids[200], 0, PG_NODE_ARRAY), PG_OK);
    }
    pg_arena_free(f.arena);
}

/* Not one call needs memory. */
static void test_nothing_is_allocated(void) {
    fixture f;
    start(&f, MOST, 0);
    uint64_t bytes = check_stats(f.arena).bytes;
    pg_fail_allocation(1);
    for (int which = 0; which < CALLS; which++) CHECK_INT(call(which, f.arena, f.ids, MOST, f.state), PG_OK);
    const double settings[6] = {0.1, 0.9, 0.5, 0.1, 0.1, 1.0};
    for (int rule = 0; rule < 4; rule++)
        CHECK_INT(pg_optimise_array(rule, f.data, f.grad, MOST, settings, f.state), PG_OK);
    CHECK(pg_leaf(f.arena, 1.0) > 0 && check_stats(f.arena).bytes == bytes);
    CHECK(pg_arena_new(0) == NULL); /* this is the allocation that fails */
    pg_fail_allocation(0);
    pg_arena_free(f.arena);
}

int main(void) {
    test_numbers();
    test_clipping();
    test_rules();
    test_arrays();
    test_array_along_itself();
    test_no_array();
    test_ids_of_no_node();
    test_an_array_among_them();
    test_nothing_is_allocated();
    return check_finish();
}
