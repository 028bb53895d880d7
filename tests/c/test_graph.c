/* test_graph.c: graphs: the order of steps and of accumulation, backward again and again, data changed in between,
 * hooks, nested and failing sweeps, deep and wide graphs.
 *
 * Expected numbers are worked out by hand, and mostly whole. The formulas of the ops are in test_ops.c.
 */
#include "check.h"

static int op_add, op_sub, op_mul, op_neg, op_exp, op_log, op_pow_const, op_relu;

/* ---- order ---- */

/* The hooked nodes of a sweep, in the order it stops at them. */
static size_t stops(pg_arena *arena, pg_id root, pg_id *at, size_t capacity) {
    int status = PG_ERR_OP;
    size_t n = 0;
    pg_sweep *sweep = pg_sweep_new(arena, root, &status);
    CHECK(sweep != NULL);
    if (!sweep) return 0;
    for (pg_id id; (id = pg_sweep_run(sweep)) != PG_NONE; n++) {
        if (n < capacity) at[n] = id;
        CHECK_INT(pg_step(arena, id), PG_OK);
    }
    CHECK_INT(pg_sweep_run(sweep), PG_NONE); /* the end stays the end */
    CHECK_INT(pg_sweep_end(sweep, 0), 0);
    return n;
}

/* Depth-first post-order, operands left to right, then reversed: worked out by hand. */
static void test_topological_order(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), b = MADE(pg_leaf(arena, 3.0));
    pg_id late = MADE(pg_leaf(arena, 1.0));
    CHECK_INT(pg_release(arena, late), 0); /* the next node gets its slot: ids say nothing of age */
    pg_id p = MADE(pg_binary(arena, op_mul, a, b)), q = MADE(pg_binary(arena, op_add, p, a));
    pg_id r = MADE(pg_binary(arena, op_sub, b, p));
    const pg_id list[] = {r, q, r};
    pg_id s = MADE(pg_sum(arena, list, 3));
    const pg_id w[] = {q, s}, x[] = {b, p};
    pg_id t = MADE(pg_unary(arena, op_neg, r));
    pg_id d = MADE(pg_dot(arena, w, x, 2, t));
    pg_id root = MADE(pg_binary(arena, op_add, t, d));
    const pg_id nodes[] = {p, q, r, s, t, d, root};
    for (size_t i = 0; i < 7; i++) CHECK_INT(pg_set_flags(arena, nodes[i], PG_NODE_HOOK, 0), PG_OK);
    /* root(t(r(b p(a b))) d(q(p a) s(r q r) t b p)): the post-order is p r t q s d root */
    const pg_id want[] = {root, d, s, q, t, r, p};
    pg_id at[8];
    CHECK_INT(stops(arena, root, at, 8), 7);
    for (size_t i = 0; i < 7; i++) CHECK_INT(at[i], want[i]);
    /* only what is under the root */
    const pg_id under_s[] = {s, q, r, p};
    CHECK_INT(stops(arena, s, at, 8), 4);
    for (size_t i = 0; i < 4; i++) CHECK_INT(at[i], under_s[i]);
    CHECK_INT(stops(arena, a, at, 8), 0);
    pg_arena_free(arena);
}

/* 1e16 + -1e16 + 1 is 1, in any other order of the three it is 0: the last bits show who came first. */
static void test_accumulation_order(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 1.0));
    pg_id p = MADE(pg_binary_right(arena, op_mul, a, 1.0)), q = MADE(pg_binary_right(arena, op_mul, a, -1e16));
    pg_id r = MADE(pg_binary_left(arena, op_mul, 1e16, a));
    pg_id s = MADE(pg_binary(arena, op_add, p, q)), root = MADE(pg_binary(arena, op_add, s, r));
    BACKWARD(arena, root); /* r, then q, then p */
    CHECK_SAME(pg_grad(arena, a), 1.0);
    pg_set_grad(arena, a, 0.0);
    pg_id s2 = MADE(pg_binary(arena, op_add, r, q)), other = MADE(pg_binary(arena, op_add, s2, p));
    BACKWARD(arena, other); /* p, then q, then r */
    CHECK_SAME(pg_grad(arena, a), 0.0);

    /* within one node: first operand first. 1 + 2**53 is rounded, 1 - 2**53 is not */
    pg_id e = MADE(pg_leaf(arena, 5.0)), f = MADE(pg_binary(arena, op_sub, e, e));
    for (int negative = 0; negative < 2; negative++) {
        pg_set_grad(arena, f, negative ? -0x1p53 : 0x1p53);
        pg_set_grad(arena, e, 1.0);
        CHECK_INT(pg_step(arena, f), PG_OK);
        CHECK_SAME(pg_grad(arena, e), negative ? 1.0 : 0.0);
    }
    /* a dot's weights, then its bias, then its inputs */
    pg_id big = MADE(pg_leaf(arena, 1e16)), minus = MADE(pg_leaf(arena, -1e16)), unit = MADE(pg_leaf(arena, 1.0));
    pg_id c = MADE(pg_leaf(arena, 1.0));
    const pg_id w[] = {c, c, unit}, x[] = {big, minus, c};
    pg_id dot = MADE(pg_dot(arena, w, x, 3, PG_NONE));
    BACKWARD(arena, dot);
    CHECK_SAME(pg_grad(arena, c), 1.0);
    pg_set_grad(arena, c, 0.0);
    const pg_id w2[] = {unit, c, c}, x2[] = {c, big, minus}; /* 1e16, -1e16, then the input's 1 */
    pg_id dot2 = MADE(pg_dot(arena, w2, x2, 3, PG_NONE));
    BACKWARD(arena, dot2);
    CHECK_SAME(pg_grad(arena, c), 1.0);
    pg_set_grad(arena, c, -1e16);
    const pg_id w3[] = {c}, x3[] = {big};
    pg_id dot3 = MADE(pg_dot(arena, w3, x3, 1, c)); /* -1e16 + 1e16, then the bias's 1 */
    BACKWARD(arena, dot3);
    CHECK_SAME(pg_grad(arena, c), 1.0);
    pg_arena_free(arena);
}

/* ---- backward ---- */

static void test_backward_again(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), b = MADE(pg_leaf(arena, 3.0));
    pg_id c = MADE(pg_binary(arena, op_mul, a, b)), d = MADE(pg_binary(arena, op_add, c, a));
    BACKWARD(arena, d);
    CHECK_SAME(pg_grad(arena, a), 4.0);
    BACKWARD(arena, d); /* c accumulates too: its step passes 2 on */
    CHECK_SAME(pg_grad(arena, a), 11.0);
    CHECK_SAME(pg_grad(arena, c), 2.0);
    CHECK_SAME(pg_grad(arena, d), 1.0);
    BACKWARD(arena, a); /* a leaf is a root as well */
    CHECK_SAME(pg_grad(arena, a), 1.0);
    CHECK_INT(pg_uses(arena, d), 1);
    pg_arena_free(arena);
}

/* Derivatives are taken at the data of that moment. */
static void test_data_changed_after_the_forward_pass(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), b = MADE(pg_leaf(arena, 3.0)), c = MADE(pg_binary(arena, op_mul, a, b));
    pg_set_data(arena, b, 100.0);
    CHECK_SAME(pg_data(arena, c), 6.0);
    BACKWARD(arena, c);
    CHECK_SAME(pg_grad(arena, a), 100.0);
    CHECK_SAME(pg_grad(arena, b), 2.0);
    pg_id x = MADE(pg_leaf(arena, 0.0)), e = MADE(pg_unary(arena, op_exp, x)), r = MADE(pg_unary(arena, op_relu, x));
    pg_set_data(arena, e, 5.0); /* exp's derivative is its result */
    BACKWARD(arena, e);
    CHECK_SAME(pg_grad(arena, x), 5.0);
    pg_set_grad(arena, x, 0.0);
    pg_set_data(arena, r, 1.0); /* relu's mask is its result */
    BACKWARD(arena, r);
    CHECK_SAME(pg_grad(arena, x), 1.0);
    pg_arena_free(arena);
}

/* Marks are 16 bits wide: more sweeps than that, with nodes older and younger than the wrap. */
static void test_more_sweeps_than_epochs(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), old = MADE(pg_binary(arena, op_mul, a, a));
    pg_id rarely = MADE(pg_unary(arena, op_neg, old));
    BACKWARD(arena, rarely); /* marked in epoch 1, and then again exactly one wrap later */
    size_t wrong = 0;
    for (int i = 0; i < 3 * 65536 + 7; i++) {
        pg_id young = MADE(pg_unary(arena, op_neg, old)), root = i % 65535 == 65534 ? rarely : young;
        pg_set_grad(arena, a, 0.0);
        pg_set_grad(arena, old, 0.0);
        int status = PG_ERR_OP;
        pg_sweep *sweep = pg_sweep_new(arena, root, &status);
        if (!sweep || pg_sweep_run(sweep) != PG_NONE || pg_sweep_end(sweep, 0) != 0) wrong++;
        wrong += pg_grad(arena, a) != -4.0;
        (void)pg_release(arena, young);
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(LIVE(arena), 3);
    pg_arena_free(arena);
}

/* ---- hooks ---- */

static void test_hooks(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), b = MADE(pg_leaf(arena, 3.0));
    const pg_id ab[] = {a, b};
    pg_id u = MADE(pg_user(arena, 6.5, ab, 2)), c = MADE(pg_binary_right(arena, op_mul, u, 4.0));
    pg_id d = MADE(pg_binary(arena, op_add, c, a));
    CHECK_SAME(pg_data(arena, c), 26.0);
    BACKWARD(arena, d); /* a user-defined op without a hook has no derivative */
    CHECK_SAME(pg_grad(arena, a), 1.0);
    CHECK_SAME(pg_grad(arena, u), 4.0);
    CHECK_SAME(pg_grad(arena, b), 0.0);
    pg_set_grad(arena, a, 0.0);
    pg_set_grad(arena, u, 0.0);
    pg_set_grad(arena, c, 0.0);

    CHECK_INT(pg_set_flags(arena, u, PG_NODE_HOOK, 0), PG_OK);
    int status = PG_ERR_OP;
    pg_sweep *sweep = pg_sweep_new(arena, d, &status);
    CHECK_INT(status, PG_OK);
    CHECK_SAME(pg_grad(arena, d), 1.0);
    CHECK_INT(pg_sweep_run(sweep), u);
    CHECK_SAME(pg_grad(arena, u), 4.0); /* all that comes before has been done */
    CHECK_SAME(pg_grad(arena, a), 1.0);
    pg_set_grad(arena, a, pg_grad(arena, a) + 10.0 * pg_grad(arena, u));
    pg_set_grad(arena, b, pg_grad(arena, b) + 100.0 * pg_grad(arena, u));
    CHECK_INT(pg_sweep_run(sweep), PG_NONE);
    CHECK_INT(pg_sweep_end(sweep, 0), 0);
    CHECK_SAME(pg_grad(arena, a), 41.0);
    CHECK_SAME(pg_grad(arena, b), 400.0);
    CHECK_SAME(pg_grad(arena, u), 4.0);

    /* a hook on an ordinary op replaces its step; taken away, the op has its own again */
    pg_id e = MADE(pg_unary(arena, op_neg, b));
    CHECK_INT(pg_set_flags(arena, e, PG_NODE_HOOK, 0), PG_OK);
    CHECK_INT(pg_set_flags(arena, e, PG_NODE_HOOK, 0), PG_OK); /* twice is once */
    pg_set_grad(arena, b, 0.0);
    sweep = pg_sweep_new(arena, e, &status);
    CHECK_INT(pg_sweep_run(sweep), e);
    CHECK_INT(pg_sweep_run(sweep), PG_NONE);
    CHECK_INT(pg_sweep_end(sweep, 0), 0);
    CHECK_SAME(pg_grad(arena, b), 0.0);
    CHECK_INT(pg_set_flags(arena, e, 0, PG_NODE_HOOK), PG_OK);
    BACKWARD(arena, e);
    CHECK_SAME(pg_grad(arena, b), -1.0);

    /* on a leaf, and on a leaf that is the root */
    CHECK_INT(pg_set_flags(arena, a, PG_NODE_HOOK, 0), PG_OK);
    pg_id at[4];
    CHECK_INT(stops(arena, d, at, 4), 2);
    CHECK_INT(at[0], u);
    CHECK_INT(at[1], a);
    CHECK_INT(stops(arena, a, at, 4), 1);
    CHECK_INT(at[0], a);
    CHECK_SAME(pg_grad(arena, a), 1.0);
    pg_arena_free(arena);
}

enum { FAN = 6 };

/* A graph with hooks in its middle, every kind of node, and gradients that are not zero. */
typedef struct {
    pg_id ids[2 * FAN + 6];
    size_t n;
    pg_id root, hooks[2];
} hooked_graph;

static hooked_graph make_hooked_graph(pg_arena *arena) {
    hooked_graph graph = {.n = 0};
    pg_id *ids = graph.ids;
    for (; graph.n < FAN; graph.n++) ids[graph.n] = MADE(pg_leaf(arena, 0.5 + (double)graph.n));
    for (size_t i = 0; i < FAN; i++) ids[graph.n++] = MADE(pg_unary(arena, i % 2 ? op_exp : op_log, ids[i]));
    pg_id dot = ids[graph.n++] = MADE(pg_dot(arena, ids, ids + FAN, FAN, ids[2]));
    pg_id user = ids[graph.n++] = MADE(pg_user(arena, 2.5, ids + FAN, 3));
    pg_id power = ids[graph.n++] = MADE(pg_constant(arena, op_pow_const, user, 2.0));
    pg_id sum = ids[graph.n++] = MADE(pg_sum(arena, ids + 1, 2 * FAN));
    pg_id top = ids[graph.n++] = MADE(pg_binary(arena, op_mul, sum, power));
    graph.root = ids[graph.n++] = MADE(pg_binary(arena, op_sub, top, dot));
    graph.hooks[0] = user;
    graph.hooks[1] = ids[FAN + 1]; /* an exp, under the user-defined op */
    for (size_t i = 0; i < 2; i++) CHECK_INT(pg_set_flags(arena, graph.hooks[i], PG_NODE_HOOK, 0), PG_OK);
    for (size_t i = 0; i < graph.n; i++) pg_set_grad(arena, ids[i], 0.125 * (double)i - 1.0);
    return graph;
}

/* Given up at the first hook, at the second, or after the last: every gradient is what it was before. */
static void test_a_failed_sweep(void) {
    pg_arena *arena = check_arena(0);
    hooked_graph graph = make_hooked_graph(arena);
    for (int stops_before = 0; stops_before <= 3; stops_before++) {
        int status = PG_ERR_OP;
        pg_sweep *sweep = pg_sweep_new(arena, graph.root, &status);
        CHECK_INT(status, PG_OK);
        for (int i = 0; i < stops_before; i++) {
            pg_id at = pg_sweep_run(sweep);
            CHECK_INT(at, i < 2 ? graph.hooks[i] : PG_NONE);
            if (at != PG_NONE) CHECK_INT(pg_step(arena, at), PG_OK);
            if (i == 0)
                for (size_t j = 0; j < 3; j++) /* a hook that went wrong half-way */
                    pg_set_grad(arena, graph.ids[FAN + j], NAN);
        }
        CHECK_INT(pg_sweep_end(sweep, 1), 0);
        for (size_t i = 0; i < graph.n; i++) CHECK_SAME(pg_grad(arena, graph.ids[i]), 0.125 * (double)i - 1.0);
    }
    /* a hooked leaf that is the root, and no operands */
    CHECK_INT(pg_set_flags(arena, graph.ids[0], PG_NODE_HOOK, 0), PG_OK);
    int status = PG_ERR_OP;
    pg_sweep *sweep = pg_sweep_new(arena, graph.ids[0], &status);
    CHECK_INT(pg_sweep_run(sweep), graph.ids[0]);
    CHECK_SAME(pg_grad(arena, graph.ids[0]), 1.0);
    CHECK_INT(pg_sweep_end(sweep, 1), 0);
    CHECK_SAME(pg_grad(arena, graph.ids[0]), -1.0);
    for (size_t i = 0; i < graph.n; i++) CHECK_INT(pg_release(arena, graph.ids[i]), 0);
    CHECK_INT(LIVE(arena), 0);
    pg_arena_free(arena);
}

/* A hook that makes and frees nodes, runs a backward of its own, and even lets go of the root. */
static void test_nested_sweeps(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), side = MADE(pg_leaf(arena, 7.0));
    pg_id u = MADE(pg_user(arena, 3.0, &a, 1)), v = MADE(pg_user(arena, 4.0, &u, 1));
    pg_id w = MADE(pg_binary(arena, op_mul, v, a)), root = MADE(pg_unary(arena, op_neg, w));
    CHECK_INT(pg_set_flags(arena, u, PG_NODE_HOOK, 0), PG_OK);
    CHECK_INT(pg_set_flags(arena, v, PG_NODE_HOOK, 0), PG_OK);
    const pg_id handles[] = {u, v, w};
    for (size_t i = 0; i < 3; i++) CHECK_INT(pg_release(arena, handles[i]), 0);
    int status = PG_ERR_OP;
    pg_sweep *outer = pg_sweep_new(arena, root, &status);
    CHECK_INT(pg_sweep_run(outer), v);
    CHECK_INT(pg_release(arena, root), 0);
    CHECK_SAME(pg_grad(arena, v), -2.0);
    /* inside the first hook: an unrelated backward over a graph larger than anything before */
    pg_id chain = MADE(pg_binary(arena, op_add, side, side));
    for (int i = 0; i < 20000; i++) {
        pg_id next = MADE(pg_binary(arena, op_add, chain, side));
        CHECK_INT(pg_release(arena, chain), 0);
        chain = next;
    }
    BACKWARD(arena, chain);
    CHECK_SAME(pg_grad(arena, side), 20002.0);
    CHECK_INT(pg_release(arena, chain), 0);
    pg_set_grad(arena, u, pg_grad(arena, u) + 10.0 * pg_grad(arena, v));
    CHECK_INT(pg_sweep_run(outer), u);
    /* inside the second: a sweep of the same nodes, which stops at the same hook and is given up */
    pg_sweep *inner = pg_sweep_new(arena, u, &status);
    CHECK_INT(pg_sweep_run(inner), u);
    pg_set_grad(arena, a, 1e9);
    pg_sweep *innermost = pg_sweep_new(arena, side, &status);
    CHECK_INT(pg_sweep_run(innermost), PG_NONE);
    CHECK_INT(pg_sweep_end(innermost, 0), 0);
    CHECK_INT(pg_sweep_end(inner, 1), 0);
    CHECK_SAME(pg_grad(arena, u), -20.0);
    CHECK_SAME(pg_grad(arena, a), -4.0);
    pg_set_grad(arena, a, pg_grad(arena, a) + 5.0 * pg_grad(arena, u));
    CHECK_INT(pg_sweep_run(outer), PG_NONE);
    CHECK_SAME(pg_grad(arena, a), -104.0);
    CHECK_INT(pg_sweep_end(outer, 0), 0);
    CHECK_INT(LIVE(arena), 2); /* the root was held by the sweep alone */
    CHECK_INT(pg_uses(arena, a), 1);
    pg_arena_free(arena);
}

/* ---- size ---- */

static void test_a_long_chain(void) {
    const size_t n = check_scaled(10000000, 20000);
    pg_arena *arena = check_arena(0);
    pg_stats start = check_stats(arena);
    pg_id x = MADE(pg_leaf(arena, 1.0)), step = MADE(pg_leaf(arena, 0.5)), v = MADE(pg_unary(arena, op_neg, x));
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++) {
        pg_result made = pg_binary(arena, op_add, i % 2 ? v : step, i % 2 ? step : v); /* deep on either side */
        wrong += made <= 0 || pg_release(arena, v) != 0;
        v = PG_RESULT_ID(made);
    }
    CHECK_INT(wrong, 0);
    CHECK_SAME(pg_data(arena, v), -1.0 + 0.5 * (double)n);
    CHECK_INT(LIVE(arena), n + 3);
    CHECK_INT(pg_uses(arena, step), n + 1);
    BACKWARD(arena, v);
    CHECK_SAME(pg_grad(arena, x), -1.0);
    CHECK_SAME(pg_grad(arena, step), (double)n);
    CHECK_INT(pg_release(arena, x), 0);
    CHECK_INT(pg_release(arena, step), 0);
    CHECK_INT(pg_release(arena, v), 0);
    CHECK_INT(LIVE(arena), 0);
    pg_arena_trim(arena);
    pg_stats end = check_stats(arena);
    CHECK(end.capacity <= start.capacity);
    CHECK(end.bytes <= start.bytes);
    CHECK_INT(pg_release(arena, MADE(pg_leaf(arena, 1.0))), 0);
    pg_arena_free(arena);
}

/* A chain of n-ary nodes: two words each on the stack of the search. */
static void test_a_long_chain_of_sums(void) {
    const size_t n = check_scaled(1000000, 20000);
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0)), unit = MADE(pg_leaf(arena, 1.0)), v = x;
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++) {
        const pg_id terms[] = {i % 3 ? v : unit, i % 3 ? unit : v};
        pg_result made = i % 2 ? pg_sum(arena, terms, 2) : pg_dot(arena, &unit, &v, 1, unit);
        wrong += made <= 0 || pg_release(arena, v) != 0;
        v = PG_RESULT_ID(made);
    }
    CHECK_INT(wrong, 0);
    CHECK_SAME(pg_data(arena, v), 1.0 + (double)n);
    BACKWARD(arena, v);
    pg_id root = MADE(pg_unary(arena, op_neg, v));
    CHECK_INT(pg_release(arena, v), 0);
    BACKWARD(arena, root);
    CHECK_INT(pg_release(arena, root), 0);
    CHECK_INT(LIVE(arena), 1);
    CHECK_INT(pg_uses(arena, unit), 1);
    pg_arena_free(arena);
}

static void test_a_leaf_used_often(void) {
    const size_t n = 100000;
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 3.0));
    pg_id *uses = check_memory(n, sizeof *uses);
    for (size_t i = 0; i < n; i++) uses[i] = MADE(pg_binary_right(arena, op_mul, x, (double)(i % 10)));
    CHECK_INT(pg_uses(arena, x), n + 1);
    pg_id sum = MADE(pg_sum(arena, uses, n));
    for (size_t i = 0; i < n; i++) (void)pg_release(arena, uses[i]);
    CHECK_SAME(pg_data(arena, sum), 3.0 * 4.5 * (double)n);
    BACKWARD(arena, sum);
    CHECK_SAME(pg_grad(arena, x), 4.5 * (double)n);
    CHECK_INT(pg_release(arena, sum), 0);
    CHECK_INT(pg_uses(arena, x), 1);
    CHECK_INT(LIVE(arena), 1);
    free(uses);
    pg_arena_free(arena);
}

/* 2**60 paths, 61 nodes: each node is visited once. */
static void test_many_paths(void) {
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0)), v = x;
    for (int i = 0; i < 60; i++) v = MADE(pg_binary(arena, op_add, v, v));
    BACKWARD(arena, v);
    CHECK_SAME(pg_grad(arena, x), 0x1p60);
    pg_arena_free(arena);
}

int main(void) {
    op_add = check_op("add");
    op_sub = check_op("sub");
    op_mul = check_op("mul");
    op_neg = check_op("neg");
    op_exp = check_op("exp");
    op_log = check_op("log");
    op_pow_const = check_op("pow_const");
    op_relu = check_op("relu");
    test_topological_order();
    test_accumulation_order();
    test_backward_again();
    test_data_changed_after_the_forward_pass();
    test_more_sweeps_than_epochs();
    test_hooks();
    test_a_failed_sweep();
    test_nested_sweeps();
    test_a_long_chain();
    test_a_long_chain_of_sums();
    test_a_leaf_used_often();
    test_many_paths();
    return check_finish();
}
