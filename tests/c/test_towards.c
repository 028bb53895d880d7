/* test_towards.c: sweeps towards some nodes: which nodes take their step, gradients that come back, inputs in use.
 *
 * Expected numbers are worked out by hand, or are those of an ordinary sweep.
 */
#include "check.h"

static int op_add, op_mul, op_neg, op_tanh, op_pow_const;

/* Runs a sweep to its end; hooked nodes take their own step, and are noted. */
static size_t run(pg_arena *arena, pg_sweep *sweep, pg_id *at, size_t capacity) {
    size_t n = 0;
    for (pg_id id; (id = pg_sweep_run(sweep)) != PG_NONE; n++) {
        if (n < capacity) at[n] = id;
        CHECK_INT(pg_step(arena, id), PG_OK);
    }
    return n;
}

/* The derivatives of root by the inputs; nan where root does not depend on one. */
static void derivatives(pg_arena *arena, pg_id root, const pg_id *inputs, size_t n, double *grads) {
    int status = PG_ERR_OP;
    unsigned char used[64] = {0};
    pg_sweep *sweep = pg_sweep_towards(arena, root, inputs, n, used, &status);
    CHECK_INT(status, PG_OK);
    if (!sweep) return;
    (void)run(arena, sweep, NULL, 0);
    for (size_t i = 0; i < n; i++) grads[i] = used[i] ? pg_grad(arena, inputs[i]) : (double)NAN;
    CHECK_INT(pg_sweep_end(sweep, 1), 0);
}

static void test_gradients_come_back(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), b = MADE(pg_leaf(arena, 3.0)), alone = MADE(pg_leaf(arena, 5.0));
    pg_id c = MADE(pg_binary(arena, op_mul, a, b)), d = MADE(pg_constant(arena, op_pow_const, c, 2.0));
    pg_id e = MADE(pg_binary(arena, op_add, d, a));
    const pg_id nodes[] = {a, b, alone, c, d, e};
    for (size_t i = 0; i < 6; i++) pg_set_grad(arena, nodes[i], 10.0 + (double)i);
    double got[6];
    derivatives(arena, e, nodes, 6, got);
    const double want[] = {37.0, 24.0, NAN, 12.0, 1.0, 1.0}; /* e = (a b)**2 + a */
    for (size_t i = 0; i < 6; i++) {
        CHECK_SAME(got[i], want[i]);
        CHECK_SAME(pg_grad(arena, nodes[i]), 10.0 + (double)i);
    }
    derivatives(arena, c, nodes, 6, got);
    const double of_c[] = {3.0, 2.0, NAN, 1.0, NAN, NAN};
    for (size_t i = 0; i < 6; i++) CHECK_SAME(got[i], of_c[i]);
    derivatives(arena, a, nodes, 6, got); /* a leaf is a root as well */
    for (size_t i = 0; i < 6; i++) CHECK_SAME(got[i], i == 0 ? 1.0 : (double)NAN);
    derivatives(arena, e, NULL, 0, NULL);
    const pg_id twice[] = {b, b};
    derivatives(arena, e, twice, 2, got);
    CHECK_SAME(got[0], 24.0);
    CHECK_SAME(got[1], 24.0);
    for (size_t i = 0; i < 6; i++) CHECK_SAME(pg_grad(arena, nodes[i]), 10.0 + (double)i);
    CHECK_INT(pg_uses(arena, e), 1);
    for (size_t i = 6; i-- > 0;) CHECK_INT(pg_release(arena, nodes[i]), 0);
    CHECK_INT(LIVE(arena), 0);
    pg_arena_free(arena);
}

static void test_only_what_leads_to_an_input_takes_its_step(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), b = MADE(pg_leaf(arena, 3.0));
    pg_id p = MADE(pg_unary(arena, op_neg, a)), q = MADE(pg_unary(arena, op_neg, b));
    const pg_id terms[] = {p, q, a};
    pg_id s = MADE(pg_sum(arena, terms, 3)), t = MADE(pg_binary(arena, op_mul, q, q));
    pg_id root = MADE(pg_binary(arena, op_add, s, t));
    const pg_id hooked[] = {p, q, s, t, root};
    for (size_t i = 0; i < 5; i++) CHECK_INT(pg_set_flags(arena, hooked[i], PG_NODE_HOOK, 0), PG_OK);
    const struct {
        pg_id inputs[2];
        size_t n, count;
        pg_id stops[5];
    } cases[] = {
        {{a, 0}, 1, 3, {root, s, p}},
        {{b, 0}, 1, 4, {root, t, s, q}},
        {{a, b}, 2, 5, {root, t, s, q, p}},
        {{q, 0}, 1, 3, {root, t, s}},
        {{q, b}, 2, 4, {root, t, s, q}}, /* an input that leads to another */
        {{root, 0}, 1, 0, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = PG_ERR_OP;
        unsigned char used[2] = {0, 0};
        pg_sweep *sweep = pg_sweep_towards(arena, root, cases[i].inputs, cases[i].n, used, &status);
        CHECK_INT(status, PG_OK);
        pg_id at[5], ahead[5] = {0};
        CHECK_INT(pg_sweep_nodes(sweep, NULL, 0), cases[i].count);
        CHECK_INT(pg_sweep_nodes(sweep, ahead, 5), cases[i].count);
        for (size_t j = 0; j < cases[i].count; j++) CHECK_INT(ahead[j], cases[i].stops[cases[i].count - 1 - j]);
        CHECK_INT(run(arena, sweep, at, 5), cases[i].count);
        CHECK_INT(pg_sweep_nodes(sweep, ahead, 5), 0);
        for (size_t j = 0; j < cases[i].count; j++) CHECK_INT(at[j], cases[i].stops[j]);
        for (size_t j = 0; j < cases[i].n; j++) CHECK_INT(used[j], 1);
        CHECK_INT(pg_sweep_end(sweep, 1), 0);
    }
    pg_arena_free(arena);
}

static void test_what_needs_a_gradient(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), b = MADE(pg_leaf(arena, 3.0)), c = MADE(pg_leaf(arena, 1.0));
    pg_id p = MADE(pg_unary(arena, op_neg, a)), root = MADE(pg_binary(arena, op_mul, p, b));
    int status = PG_ERR_OP;
    unsigned char used[2] = {7, 7};
    const pg_id inputs[] = {a, c};
    pg_sweep *sweep = pg_sweep_towards(arena, root, inputs, 2, used, &status);
    CHECK_INT(used[0], 1);
    CHECK_INT(used[1], 0);
    CHECK_INT(pg_sweep_needs(sweep, a), 1);
    CHECK_INT(pg_sweep_needs(sweep, p), 1);
    CHECK_INT(pg_sweep_needs(sweep, root), 1);
    CHECK_INT(pg_sweep_needs(sweep, b), 0);
    CHECK_INT(pg_sweep_needs(sweep, c), 0);
    BACKWARD(arena, root); /* another sweep in between, as of a hook: now nothing is known */
    CHECK_INT(pg_sweep_needs(sweep, b), 1);
    CHECK_INT(pg_sweep_needs(sweep, UINT32_MAX), 1);
    CHECK_INT(pg_sweep_end(sweep, 1), 0);
    pg_arena_free(arena);
}

static void test_arrays_are_named_and_left_alone(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), x = MADE(pg_leaf(arena, NAN)), y = MADE(pg_leaf(arena, NAN));
    const pg_id operands[] = {a, x, a, y};
    pg_id array = MADE(pg_user(arena, NAN, operands, 4)), root = MADE(pg_user(arena, 1.0, &array, 1));
    const pg_id arrays[] = {x, y, array};
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(pg_set_flags(arena, arrays[i], PG_NODE_ARRAY, 0), PG_OK);
        pg_set_grad(arena, arrays[i], NAN);
    }
    pg_set_grad(arena, a, 4.0);
    int status = PG_ERR_OP;
    unsigned char used[1];
    pg_sweep *sweep = pg_sweep_towards(arena, root, &x, 1, used, &status);
    CHECK_INT(status, PG_OK);
    size_t found[3] = {0, 0, 0};
    uint64_t position = 0;
    for (pg_id id; (id = pg_sweep_array(sweep, &position)) != PG_NONE;)
        for (size_t i = 0; i < 3; i++) found[i] += id == arrays[i];
    for (size_t i = 0; i < 3; i++) CHECK(found[i] >= 1);
    CHECK_INT(pg_sweep_array(sweep, &position), PG_NONE);
    CHECK_SAME(pg_grad(arena, a), 0.0);
    CHECK_SAME(pg_grad(arena, x), NAN);
    (void)run(arena, sweep, NULL, 0);
    CHECK_INT(pg_sweep_end(sweep, 1), 0);
    CHECK_SAME(pg_grad(arena, a), 4.0);
    pg_arena_free(arena);
}

/* The marks of narrowed orders run through their 16 bits and start anew; ordinary sweeps in between. */
static void test_more_sweeps_than_epochs(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), b = MADE(pg_leaf(arena, 3.0)), c = MADE(pg_binary(arena, op_mul, a, b));
    pg_id d = MADE(pg_binary(arena, op_add, c, a));
    const pg_id inputs[] = {a, b};
    size_t wrong = 0;
    for (int i = 0; i < 70000; i++) {
        double got[2];
        int first = i % 3 == 0 ? 0 : 1; /* one epoch more or less, so that the end is met at each of the three */
        derivatives(arena, d, inputs + first, 1, got);
        wrong += got[0] != (first ? 2.0 : 4.0);
        if (i % 5 == 0) {
            pg_set_grad(arena, a, 0.0);
            pg_set_grad(arena, c, 0.0);
            BACKWARD(arena, d);
            wrong += pg_grad(arena, a) != 4.0 || pg_grad(arena, c) != 1.0;
        }
    }
    CHECK_INT(wrong, 0);
    pg_arena_free(arena);
}

/* The mark of an input that is not in use stays on it, and must not be met again as that of a later search, wherever among
 * the 16 bits of marks the narrowed order was. */
static void test_marks_that_stay(void) {
    size_t wrong = 0;
    int end = 65532 + (int)check_scaled(6, 2);
    for (int before = 65532; before < end; before++)
        for (int after = 65532; after < end; after++) {
            pg_arena *arena = check_arena(0);
            pg_id a = MADE(pg_leaf(arena, 2.0)), d = MADE(pg_unary(arena, op_tanh, a));
            pg_id e = MADE(pg_unary(arena, op_neg, a)), f = MADE(pg_unary(arena, op_neg, e));
            double got[1];
            for (int i = 0; i < before; i++) BACKWARD(arena, d);
            derivatives(arena, d, &e, 1, got);
            for (int i = 0; i < after; i++) BACKWARD(arena, d);
            pg_set_grad(arena, a, 0.0);
            BACKWARD(arena, f);
            wrong += pg_grad(arena, a) != 1.0;
            pg_arena_free(arena);
        }
    CHECK_INT(wrong, 0);
}

/* Random graphs: towards all nodes, and towards some, the bits of an ordinary sweep. */
static void test_random_graphs(void) {
    enum { LEAVES = 6, NODES = 200 };
    check_random random = {UINT64_C(88172645463325252)};
    for (size_t round = 0; round < check_scaled(200, 5); round++) {
        pg_arena *arena = check_arena(0);
        pg_id nodes[NODES];
        for (size_t i = 0; i < NODES; i++) {
            pg_id x = i ? nodes[check_below(&random, i)] : 0, y = i ? nodes[check_below(&random, i)] : 0;
            const pg_id list[] = {x, y, x};
            size_t kind = check_below(&random, 6);
            nodes[i] = i < LEAVES    ? MADE(pg_leaf(arena, check_uniform(&random, -1.0, 1.0)))
                       : kind == 0   ? MADE(pg_unary(arena, op_tanh, x))
                       : kind == 1   ? MADE(pg_sum(arena, list, 3))
                       : kind == 2   ? MADE(pg_dot(arena, list, list + 1, 2, y))
                       : kind == 3   ? MADE(pg_constant(arena, op_pow_const, x, 2.0))
                       : kind == 4   ? MADE(pg_binary(arena, op_mul, x, y))
                                     : MADE(pg_binary(arena, op_add, x, y));
            pg_set_grad(arena, nodes[i], 0.5);
        }
        pg_id root = nodes[NODES - 1], some[8];
        double got[8];
        for (size_t i = 0; i < 8; i++) some[i] = nodes[check_below(&random, NODES)];
        for (size_t i = 0; i < 8; i++) got[i] = NAN;
        size_t n = 1 + check_below(&random, 8);
        derivatives(arena, root, some, n, got);
        size_t wrong = 0;
        for (size_t i = 0; i < NODES; i++) {
            wrong += pg_grad(arena, nodes[i]) != 0.5;
            pg_set_grad(arena, nodes[i], 0.0);
        }
        BACKWARD(arena, root);
        for (size_t i = 0; i < n; i++) /* unused: nan, and backward() left a 0 */
            wrong += !check_same_bits(got[i], pg_grad(arena, some[i])) && !(isnan(got[i]) && pg_grad(arena, some[i]) == 0.0);
        CHECK_INT(wrong, 0);
        pg_arena_free(arena);
    }
}

static void test_failures(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), v = a;
    for (int i = 0; i < 2000; i++) v = MADE(pg_binary(arena, op_add, v, a));
    pg_set_grad(arena, a, 7.0);
    int status = PG_OK;
    unsigned char used[2];
    const pg_id bad[] = {a, UINT32_MAX};
    CHECK(pg_sweep_towards(arena, UINT32_MAX, &a, 1, used, &status) == NULL);
    CHECK_INT(status, PG_ERR_ID);
    CHECK(pg_sweep_towards(arena, v, bad, 2, used, &status) == NULL);
    CHECK_INT(status, PG_ERR_ID);
    uint64_t failures = 0;
    for (;; failures++) {
        pg_arena_trim(arena);
        pg_fail_allocation(failures + 1);
        pg_sweep *sweep = pg_sweep_towards(arena, v, &a, 1, used, &status);
        pg_fail_allocation(0);
        if (sweep) {
            CHECK_INT(status, PG_OK);
            (void)run(arena, sweep, NULL, 0);
            CHECK_SAME(pg_grad(arena, a), 2001.0);
            CHECK_INT(pg_sweep_end(sweep, 1), 0);
            break;
        }
        CHECK_INT(status, PG_ERR_NOMEM);
        CHECK_SAME(pg_grad(arena, a), 7.0);
        CHECK_INT(pg_uses(arena, v), 1);
    }
    CHECK(failures >= 2);
    CHECK_SAME(pg_grad(arena, a), 7.0);
    pg_arena_free(arena);
}

static void test_a_long_chain(void) {
    size_t n = check_scaled(1000000, 1000);
    pg_arena *arena = check_arena(PG_ARENA_LOCKED);
    pg_id x = MADE(pg_leaf(arena, 0.5)), one = MADE(pg_leaf(arena, 1.0)), v = x;
    for (size_t i = 0; i < n; i++) {
        pg_id next = MADE(pg_binary(arena, op_mul, v, one));
        if (v != x) (void)pg_release(arena, v);
        v = next;
    }
    const pg_id inputs[] = {x, one};
    double got[2];
    derivatives(arena, v, inputs, 2, got);
    CHECK_SAME(got[0], 1.0);
    CHECK_SAME(got[1], 0.5 * (double)n);
    pg_arena_free(arena);
}

int main(void) {
    op_add = check_op("add");
    op_mul = check_op("mul");
    op_neg = check_op("neg");
    op_tanh = check_op("tanh");
    op_pow_const = check_op("pow_const");
    test_gradients_come_back();
    test_only_what_leads_to_an_input_takes_its_step();
    test_what_needs_a_gradient();
    test_arrays_are_named_and_left_alone();
    test_more_sweeps_than_epochs();
    test_marks_that_stay();
    test_random_graphs();
    test_failures();
    test_a_long_chain();
    return check_finish();
}
