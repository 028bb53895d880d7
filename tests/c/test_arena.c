/* test_arena.c: memory and lifetimes: counts, death and reuse of slots, segments, trim, limbo, pins, flags,
 * hidden constants, and memory that stays constant in a loop.
 *
 * Looks at the arena through pygrad.h only. Says nothing of operand lists (test_lists.c), of derivatives
 * (test_ops.c, test_graph.c), of allocations that fail (test_alloc.c) or of threads (test_threads.c).
 */
#include "check.h"

/* Slots per segment, as capacity shows it: a new arena has room for a whole number of them. */
#define SEGMENT 4096u

static int op_add, op_mul, op_neg, op_pow_const, op_leaky_relu, op_user, op_leaf;

static void test_counts(void) {
    pg_arena *arena = check_arena(0);
    CHECK_INT(LIVE(arena), 0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), b = MADE(pg_leaf(arena, 3.0));
    CHECK_INT(pg_uses(arena, a), 1);
    pg_id c = MADE(pg_binary(arena, op_mul, a, b));
    CHECK_INT(pg_uses(arena, a), 2);
    CHECK_INT(pg_uses(arena, b), 2);
    CHECK_INT(pg_uses(arena, c), 1);
    pg_id d = MADE(pg_binary(arena, op_add, c, c));
    CHECK_INT(pg_uses(arena, c), 3);
    pg_id e = MADE(pg_unary(arena, op_neg, d));
    CHECK_INT(pg_uses(arena, d), 2);
    CHECK_INT(LIVE(arena), 5);

    CHECK_INT(pg_retain(arena, a), PG_OK);
    CHECK_INT(pg_uses(arena, a), 3);
    CHECK_INT(pg_release(arena, a), 0);
    CHECK_INT(pg_release(arena, a), 0);
    CHECK_INT(pg_uses(arena, a), 1);
    CHECK_INT(pg_release(arena, c), 0);
    CHECK_INT(pg_release(arena, d), 0);
    CHECK_INT(LIVE(arena), 5); /* e needs them all */
    CHECK_SAME(pg_data(arena, a), 2.0);
    CHECK_INT(pg_release(arena, e), 0);
    CHECK_INT(LIVE(arena), 1); /* b has a handle */
    CHECK_INT(pg_uses(arena, b), 1);
    CHECK_SAME(pg_data(arena, b), 3.0);
    CHECK_INT(pg_release(arena, b), 0);
    CHECK_INT(LIVE(arena), 0);
    pg_arena_free(arena);
}

/* Counts of the n-ary ops, operands repeated, and of the numbers that become nodes. */
static void test_counts_of_lists_and_numbers(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), b = MADE(pg_leaf(arena, 3.0)), bias = MADE(pg_leaf(arena, 1.0));
    const pg_id aab[] = {a, a, b}, bab[] = {b, a, b};
    pg_id s = MADE(pg_sum(arena, aab, 3));
    CHECK_INT(pg_uses(arena, a), 3);
    CHECK_INT(pg_uses(arena, b), 2);
    pg_id d = MADE(pg_dot(arena, aab, bab, 3, bias));
    CHECK_INT(pg_uses(arena, a), 6);
    CHECK_INT(pg_uses(arena, b), 5);
    CHECK_INT(pg_uses(arena, bias), 2);
    pg_id u = MADE(pg_user(arena, 9.0, aab, 2));
    CHECK_INT(pg_uses(arena, a), 8);
    pg_id none = MADE(pg_sum(arena, NULL, 0));
    CHECK_INT(LIVE(arena), 7);

    CHECK_INT(pg_release(arena, s), 0);
    CHECK_INT(pg_release(arena, u), 0);
    CHECK_INT(pg_release(arena, none), 0);
    CHECK_INT(pg_uses(arena, a), 4);
    CHECK_INT(pg_uses(arena, b), 4);
    CHECK_INT(pg_release(arena, d), 0);
    CHECK_INT(pg_uses(arena, a), 1);
    CHECK_INT(pg_uses(arena, b), 1);
    CHECK_INT(pg_uses(arena, bias), 1);

    pg_id right = MADE(pg_binary_right(arena, op_add, a, 5.0)), left = MADE(pg_binary_left(arena, op_add, 7.0, a));
    pg_id operands[2];
    CHECK_INT(pg_operands(arena, right, operands, 2), 2);
    CHECK_INT(operands[0], a);
    CHECK_SAME(pg_data(arena, operands[1]), 5.0);
    CHECK_INT(pg_op(arena, operands[1]), op_leaf);
    CHECK_INT(pg_uses(arena, operands[1]), 1);
    CHECK_INT(pg_operands(arena, left, operands, 2), 2);
    CHECK_INT(operands[1], a);
    CHECK_SAME(pg_data(arena, operands[0]), 7.0);
    CHECK_INT(pg_uses(arena, a), 3);
    CHECK_INT(LIVE(arena), 7);
    CHECK_INT(pg_release(arena, right), 0);
    CHECK_INT(pg_release(arena, left), 0);
    CHECK_INT(pg_uses(arena, a), 1);
    CHECK_INT(LIVE(arena), 3);
    CHECK_INT(pg_release(arena, a), 0);
    CHECK_INT(pg_release(arena, b), 0);
    CHECK_INT(pg_release(arena, bias), 0);
    CHECK_INT(LIVE(arena), 0);
    pg_arena_free(arena);
}

/* Equal constants made one after another are one hidden node; the others are not mixed up. */
static void test_hidden_constants(void) {
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.5));
    pg_id squares[10];
    for (int i = 0; i < 10; i++) squares[i] = MADE(pg_constant(arena, op_pow_const, x, 2.0));
    CHECK_INT(LIVE(arena), 12);
    pg_id cube = MADE(pg_constant(arena, op_pow_const, x, 3.0));
    pg_id zero = MADE(pg_constant(arena, op_pow_const, x, 0.0));
    pg_id minus_zero = MADE(pg_constant(arena, op_pow_const, x, -0.0));
    pg_id not_a_number = MADE(pg_constant(arena, op_leaky_relu, x, NAN));
    for (int i = 0; i < 10; i++) {
        CHECK_SAME(pg_node_constant(arena, squares[i]), 2.0);
        CHECK_SAME(pg_data(arena, squares[i]), 2.25);
    }
    CHECK_SAME(pg_node_constant(arena, cube), 3.0);
    CHECK_SAME(pg_node_constant(arena, zero), 0.0);
    CHECK_SAME(pg_node_constant(arena, minus_zero), -0.0);
    CHECK_SAME(pg_node_constant(arena, not_a_number), NAN);
    CHECK_SAME(pg_node_constant(arena, x), NAN);
    pg_id operand = PG_NONE;
    CHECK_INT(pg_operands(arena, cube, &operand, 1), 1); /* the constant is not an operand */
    CHECK_INT(operand, x);

    for (int i = 0; i < 10; i++) CHECK_INT(pg_release(arena, squares[i]), 0);
    CHECK_INT(pg_release(arena, cube), 0);
    CHECK_INT(pg_release(arena, zero), 0);
    CHECK_INT(pg_release(arena, minus_zero), 0);
    CHECK_INT(pg_release(arena, not_a_number), 0);
    CHECK_INT(LIVE(arena), 1);
    /* the constant remembered is dead: its slot may be anything by now */
    pg_id filler = MADE(pg_leaf(arena, 3.0));
    pg_id again = MADE(pg_constant(arena, op_pow_const, x, 3.0));
    CHECK_SAME(pg_node_constant(arena, again), 3.0);
    CHECK_INT(pg_uses(arena, filler), 1);
    CHECK_INT(pg_release(arena, filler), 0);
    CHECK_SAME(pg_node_constant(arena, again), 3.0);
    CHECK_INT(pg_release(arena, again), 0);
    CHECK_INT(pg_release(arena, x), 0);
    CHECK_INT(LIVE(arena), 0);
    pg_arena_free(arena);
}

static void check_dead(pg_arena *arena, pg_id id) {
    pg_id ids[1] = {77};
    uint64_t live = LIVE(arena);
    CHECK(isnan(pg_data(arena, id)));
    CHECK(isnan(pg_grad(arena, id)));
    CHECK(isnan(pg_node_constant(arena, id)));
    pg_set_data(arena, id, 1.0);
    pg_set_grad(arena, id, 1.0);
    CHECK(isnan(pg_data(arena, id)));
    CHECK_INT(pg_op(arena, id), PG_ERR_ID);
    CHECK_INT(pg_flags(arena, id), PG_ERR_ID);
    CHECK_INT(pg_set_flags(arena, id, PG_NODE_HOOK, 0), PG_ERR_ID);
    CHECK_INT(pg_uses(arena, id), PG_ERR_ID);
    CHECK_INT(pg_retain(arena, id), PG_ERR_ID);
    CHECK_INT(pg_release(arena, id), PG_ERR_ID);
    CHECK_INT(pg_step(arena, id), PG_ERR_ID);
    CHECK_INT(pg_operands(arena, id, ids, 1), PG_ERR_ID);
    CHECK_INT(ids[0], 77);
    CHECK_INT(LIVE(arena), live);
}

static void test_dead_ids(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 2.0)), keep = MADE(pg_leaf(arena, 4.0));
    CHECK_INT(pg_release(arena, a), 0);
    check_dead(arena, a);
    check_dead(arena, PG_NONE);
    check_dead(arena, keep + 1);
    check_dead(arena, SEGMENT - 1);
    check_dead(arena, SEGMENT); /* memory there is, but no segment in use */
    check_dead(arena, 3 * SEGMENT);
    check_dead(arena, PG_MAX_NODES - 1);
    check_dead(arena, PG_MAX_NODES);
    check_dead(arena, UINT32_MAX);
    CHECK_SAME(pg_data(arena, keep), 4.0);
    CHECK_INT(pg_uses(arena, keep), 1);
    pg_arena_free(arena);
}

/* Living nodes never share a slot, whatever was released before; dead slots are used again before memory grows. */
static void test_reuse_of_slots(void) {
    const size_t n = 5 * SEGMENT;
    pg_arena *arena = check_arena(0);
    pg_id *ids = check_memory(n, sizeof *ids);
    double *data = check_memory(n, sizeof *data);
    check_random random = {88172645463325252u};
    for (size_t i = 0; i < n; i++) ids[i] = MADE(pg_leaf(arena, data[i] = (double)i));
    uint64_t capacity = check_stats(arena).capacity;
    CHECK(capacity >= n);
    CHECK_INT(capacity % SEGMENT, 0);
    for (int round = 0; round < 8; round++) {
        /* a different share dies each time: 1/2, 1/3, ... of them, at random, or whole runs */
        for (size_t i = 0; i < n; i++) {
            int dies = round % 2 ? check_below(&random, (size_t)round + 2) == 0 : i / 3000 % 2 == 0;
            if (!dies) continue;
            CHECK_INT(pg_release(arena, ids[i]), 0);
            ids[i] = PG_NONE;
        }
        for (size_t i = 0; i < n; i++)
            if (ids[i] == PG_NONE) ids[i] = MADE(pg_leaf(arena, data[i] = (double)i + 0.5 * round));
        size_t wrong = 0;
        for (size_t i = 0; i < n; i++) wrong += pg_data(arena, ids[i]) != data[i] || pg_uses(arena, ids[i]) != 1;
        CHECK_INT(wrong, 0); /* two nodes in one slot would show here */
        CHECK_INT(LIVE(arena), n);
        CHECK_INT(check_stats(arena).capacity, capacity);
    }
    for (size_t i = n; i-- > 0;) CHECK_INT(pg_release(arena, ids[i]), 0);
    CHECK_INT(LIVE(arena), 0);
    free(ids);
    free(data);
    pg_arena_free(arena);
}

/* A segment that is empty hands out ascending ids again, so that a loop meets its memory in order. */
static void test_a_segment_starts_afresh(void) {
    pg_arena *arena = check_arena(0);
    pg_id ids[3 * SEGMENT];
    for (size_t i = 0; i < 3 * SEGMENT; i++) ids[i] = MADE(pg_leaf(arena, 1.0));
    /* ascending death, which leaves free lists in descending order if nothing starts afresh */
    for (size_t i = 0; i < 3 * SEGMENT; i++) CHECK_INT(pg_release(arena, ids[i]), 0);
    for (size_t i = 0; i < 3 * SEGMENT; i++) ids[i] = MADE(pg_leaf(arena, 1.0));
    size_t descents = 0;
    for (size_t i = 1; i < 3 * SEGMENT; i++)
        descents += ids[i] / SEGMENT == ids[i - 1] / SEGMENT && ids[i] / SEGMENT != 0 && ids[i] < ids[i - 1];
    CHECK_INT(descents, 0); /* the first segment holds node 0 and is never empty */
    pg_arena_free(arena);
}

static double train(pg_arena *arena, pg_id w, pg_id b, size_t width) {
    pg_id *terms = check_memory(width, sizeof *terms);
    for (size_t i = 0; i < width; i++) {
        pg_id product = MADE(pg_binary_right(arena, op_mul, w, (double)i));
        pg_id shifted = MADE(pg_binary(arena, op_add, product, b));
        terms[i] = MADE(pg_constant(arena, op_pow_const, shifted, i % 2 ? 2.0 : 3.0));
        CHECK_INT(pg_release(arena, product), 0);
        CHECK_INT(pg_release(arena, shifted), 0);
    }
    pg_id total = MADE(pg_sum(arena, terms, width));
    for (size_t i = 0; i < width; i++) CHECK_INT(pg_release(arena, terms[i]), 0);
    free(terms);
    BACKWARD(arena, total);
    double loss = pg_data(arena, total);
    CHECK_INT(pg_release(arena, total), 0);
    return loss;
}

static void test_a_loop_runs_in_constant_memory(void) {
    pg_arena *arena = check_arena(0);
    pg_id w = MADE(pg_leaf(arena, 0.5)), b = MADE(pg_leaf(arena, 0.25));
    double wide = train(arena, w, b, 3000), narrow = train(arena, w, b, 100);
    pg_stats after_first = check_stats(arena);
    for (size_t step = 0; step < check_scaled(200, 3); step++) {
        int small = step % 4 == 1;
        CHECK_SAME(train(arena, w, b, small ? 100 : 3000), small ? narrow : wide);
        pg_stats now = check_stats(arena);
        CHECK_INT(now.live, 2);
        CHECK_INT(now.capacity, after_first.capacity);
        CHECK_INT(now.bytes, after_first.bytes);
    }
    pg_arena_free(arena);
}

/* Trim gives the end of the arrays back, keeps every living node as it is, and the holes stay usable. */
static void test_trim(void) {
    pg_arena *arena = check_arena(0);
    pg_stats start = check_stats(arena);
    pg_arena_trim(arena); /* of an empty arena */
    CHECK(check_stats(arena).capacity <= start.capacity);
    const size_t n = 40 * SEGMENT;
    pg_id *ids = check_memory(n, sizeof *ids);
    for (size_t i = 0; i < n; i++) ids[i] = MADE(pg_leaf(arena, (double)i));
    for (size_t i = 0; i < n; i++) pg_set_grad(arena, ids[i], -(double)i);
    uint64_t full = check_stats(arena).capacity;
    /* what lives: one node of every tenth segment up to the thirtieth, so that holes and a cut are needed */
    for (size_t i = 0; i < n; i++)
        if (i % (10 * SEGMENT) != 7 || i > 30 * SEGMENT) {
            CHECK_INT(pg_release(arena, ids[i]), 0);
            ids[i] = PG_NONE;
        }
    CHECK_INT(LIVE(arena), 3);
    for (int again = 0; again < 2; again++) {
        pg_arena_trim(arena);
        CHECK_INT(LIVE(arena), 3);
        CHECK(check_stats(arena).capacity < full);
        CHECK(check_stats(arena).capacity >= 20 * SEGMENT);
        for (size_t i = 0; i < n; i++)
            if (ids[i] != PG_NONE) {
                CHECK_SAME(pg_data(arena, ids[i]), (double)i);
                CHECK_SAME(pg_grad(arena, ids[i]), -(double)i);
                CHECK_INT(pg_uses(arena, ids[i]), 1);
            }
    }
    uint64_t trimmed = check_stats(arena).capacity;
    pg_id in_a_hole = ids[10 * SEGMENT + 7] + 2 * SEGMENT;
    CHECK_INT(pg_op(arena, in_a_hole), PG_ERR_ID); /* a discarded slot reads as dead */

    size_t room = (size_t)trimmed - 4; /* three nodes live, and slot 0 is nobody's */
    pg_id *more = check_memory(room, sizeof *more);
    for (size_t i = 0; i < room; i++) more[i] = MADE(pg_leaf(arena, 0.5 + (double)i));
    CHECK_INT(check_stats(arena).capacity, trimmed);
    size_t wrong = 0;
    for (size_t i = 0; i < room; i++) wrong += pg_data(arena, more[i]) != 0.5 + (double)i;
    CHECK_INT(wrong, 0);
    for (size_t i = 0; i < n; i++)
        if (ids[i] != PG_NONE) CHECK_SAME(pg_data(arena, ids[i]), (double)i);
    pg_id extra = MADE(pg_leaf(arena, 1.0)); /* and now it grows again */
    CHECK(check_stats(arena).capacity > trimmed);
    CHECK_INT(pg_release(arena, extra), 0);

    for (size_t i = 0; i < room; i++) CHECK_INT(pg_release(arena, more[i]), 0);
    for (size_t i = 0; i < n; i++)
        if (ids[i] != PG_NONE) CHECK_INT(pg_release(arena, ids[i]), 0);
    CHECK_INT(LIVE(arena), 0);
    pg_arena_trim(arena);
    CHECK(check_stats(arena).capacity <= start.capacity);
    CHECK(check_stats(arena).bytes <= start.bytes);
    pg_id alive = MADE(pg_leaf(arena, 3.0));
    CHECK_SAME(pg_data(arena, alive), 3.0);
    free(ids);
    free(more);
    pg_arena_free(arena);
}

/* Trim while a sweep is stopped at a hook: nodes move, the sweep's order is its own. */
static void test_trim_during_a_sweep(void) {
    pg_arena *arena = check_arena(0);
    pg_id ballast[3 * SEGMENT];
    pg_id x = MADE(pg_leaf(arena, 3.0));
    pg_id hooked = MADE(pg_unary(arena, op_neg, x));
    CHECK_INT(pg_set_flags(arena, hooked, PG_NODE_HOOK, 0), PG_OK);
    for (size_t i = 0; i < 3 * SEGMENT; i++) ballast[i] = MADE(pg_leaf(arena, 1.0));
    pg_id root = MADE(pg_binary(arena, op_mul, hooked, x));
    int status = PG_ERR_OP;
    pg_sweep *sweep = pg_sweep_new(arena, root, &status);
    CHECK(sweep != NULL);
    CHECK_INT(pg_sweep_run(sweep), hooked);
    for (size_t i = 0; i < 3 * SEGMENT; i++) CHECK_INT(pg_release(arena, ballast[i]), 0);
    CHECK_INT(pg_release(arena, root), 0); /* the sweep holds it */
    pg_arena_trim(arena);
    CHECK_INT(pg_step(arena, hooked), PG_OK);
    CHECK_INT(pg_sweep_run(sweep), PG_NONE);
    CHECK_SAME(pg_grad(arena, x), -6.0);
    CHECK_INT(pg_sweep_end(sweep, 0), 0);
    CHECK_INT(pg_op(arena, root), PG_ERR_ID);
    CHECK_INT(LIVE(arena), 2);
    pg_arena_free(arena);
}

/* A large graph's memory goes back without being asked for. */
static void test_large_releases_trim_by_themselves(void) {
    const size_t n = check_scaled(600, 300) * SEGMENT;
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0));
    pg_id *ids = check_memory(n, sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        pg_result made = pg_unary(arena, op_neg, x);
        if (made < 0) CHECK_INT(made, 0);
        ids[i] = PG_RESULT_ID(made);
    }
    uint64_t full = check_stats(arena).capacity;
    CHECK_INT(LIVE(arena), n + 1);
    size_t wrong = 0;
    for (size_t i = n; i-- > 0;) wrong += pg_release(arena, ids[i]) != 0;
    CHECK_INT(wrong, 0);
    CHECK_INT(LIVE(arena), 1);
    CHECK(check_stats(arena).capacity < full);
    CHECK_INT(pg_uses(arena, x), 1);
    CHECK_SAME(pg_data(arena, x), 1.0);
    free(ids);
    pg_arena_free(arena);
}

/* A dead node that the binding keeps something for waits, with its id, until it is buried. */
static void test_limbo(void) {
    pg_arena *arena = check_arena(0);
    CHECK_INT(pg_limbo(arena), PG_NONE);
    pg_id a = MADE(pg_leaf(arena, 1.0)), b = MADE(pg_leaf(arena, 2.0));
    pg_id c = MADE(pg_binary(arena, op_add, a, b)), d = MADE(pg_unary(arena, op_neg, c));
    CHECK_INT(pg_set_flags(arena, a, PG_NODE_SIDE, 0), PG_OK);
    CHECK_INT(pg_set_flags(arena, c, PG_NODE_SIDE, 0), PG_OK);
    CHECK_INT(pg_set_flags(arena, b, PG_NODE_SIDE, 0), PG_OK);
    CHECK_INT(pg_set_flags(arena, b, 0, PG_NODE_SIDE), PG_OK); /* thought better of it */
    CHECK_INT(pg_release(arena, a), 0);
    CHECK_INT(pg_release(arena, b), 0);
    CHECK_INT(pg_release(arena, c), 0);
    CHECK_INT(pg_limbo(arena), PG_NONE);
    CHECK_INT(pg_release(arena, d), PG_AFTER_LIMBO);
    check_dead(arena, a);
    check_dead(arena, b);
    check_dead(arena, c);
    check_dead(arena, d);

    /* as many new nodes as a segment holds, and none of them gets an id that waits */
    pg_id fresh[SEGMENT];
    size_t taken = 0;
    for (size_t i = 0; i < SEGMENT; i++) {
        fresh[i] = MADE(pg_leaf(arena, 5.0));
        taken += fresh[i] == a || fresh[i] == c;
    }
    CHECK_INT(taken, 0);
    CHECK_INT(pg_release(arena, fresh[0]), PG_AFTER_LIMBO); /* still waiting */

    pg_arena_trim(arena);
    pg_id first = pg_limbo(arena), second = pg_limbo(arena);
    CHECK((first == a && second == c) || (first == c && second == a));
    CHECK_INT(pg_limbo(arena), PG_NONE);
    CHECK_INT(pg_release(arena, fresh[1]), 0); /* nothing waits, though neither is buried */
    pg_bury(arena, first);
    check_dead(arena, first);
    pg_bury(arena, second);
    for (size_t i = 2; i < SEGMENT; i++) CHECK_INT(pg_release(arena, fresh[i]), 0);
    CHECK_INT(LIVE(arena), 0);
    size_t reused = 0;
    for (size_t i = 0; i < 2 * SEGMENT - 1; i++) { /* every slot there is, but slot 0 */
        pg_id id = MADE(pg_leaf(arena, 5.0));
        reused += id == a || id == c;
        CHECK_INT(pg_flags(arena, id), 0); /* a reused slot has no memory of its past */
    }
    CHECK_INT(reused, 2);
    pg_arena_free(arena);
}

/* A chain of nodes that all wait, n-ary ones and hooks among them, dying inside one release. */
static void test_limbo_of_a_whole_graph(void) {
    const size_t n = 3 * SEGMENT;
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0)), v = x;
    for (size_t i = 0; i < n; i++) {
        const pg_id two[] = {v, v};
        pg_id next = MADE(i % 3 == 0   ? pg_sum(arena, &v, 1)
                          : i % 3 == 1 ? pg_user(arena, 0.0, two, 2)
                                       : pg_unary(arena, op_neg, v));
        CHECK_INT(pg_set_flags(arena, next, PG_NODE_SIDE | (i % 5 == 0 ? PG_NODE_HOOK : 0), 0), PG_OK);
        CHECK_INT(pg_release(arena, v), 0);
        v = next;
    }
    CHECK_INT(pg_release(arena, v), PG_AFTER_LIMBO);
    size_t dead = 0;
    for (pg_id id; (id = pg_limbo(arena)) != PG_NONE; dead++) pg_bury(arena, id);
    CHECK_INT(dead, n);
    CHECK_INT(LIVE(arena), 0);
    /* no hook is left to stop a sweep, and none to make it save gradients */
    pg_id y = MADE(pg_leaf(arena, 4.0)), z = MADE(pg_unary(arena, op_neg, y));
    BACKWARD(arena, z);
    CHECK_SAME(pg_grad(arena, y), -1.0);
    pg_arena_free(arena);
}

/* Only what pg_limbo gave can be buried, and once. */
static void test_bury_of_what_is_not_dead(void) {
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 2.0)), y = MADE(pg_leaf(arena, 3.0)), gone = MADE(pg_leaf(arena, 1.0));
    CHECK_INT(pg_release(arena, gone), 0);
    const pg_id wrong[] = {PG_NONE, x, y, gone, 100, SEGMENT - 1, SEGMENT, PG_MAX_NODES, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) pg_bury(arena, wrong[i]);
    CHECK_SAME(pg_data(arena, x), 2.0);
    CHECK_INT(pg_uses(arena, x), 1);
    CHECK_INT(LIVE(arena), 2);
    CHECK_INT(pg_set_flags(arena, y, PG_NODE_SIDE, 0), PG_OK);
    pg_bury(arena, y); /* alive */
    CHECK_SAME(pg_data(arena, y), 3.0);
    CHECK_INT(pg_release(arena, y), PG_AFTER_LIMBO);
    pg_bury(arena, y); /* dead, but pg_limbo has not given it */
    CHECK_INT(pg_limbo(arena), y);
    pg_bury(arena, y);
    pg_bury(arena, y);
    CHECK_INT(LIVE(arena), 1);
    pg_id fresh[4]; /* a slot freed twice would be handed out twice */
    for (size_t i = 0; i < 4; i++) {
        fresh[i] = MADE(pg_leaf(arena, 4.0));
        for (size_t j = 0; j < i; j++) CHECK(fresh[j] != fresh[i]);
        pg_bury(arena, fresh[i]);
    }
    CHECK_INT(LIVE(arena), 5);
    pg_arena_free(arena);
}

static void test_pinned(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 1.0)), plain = MADE(pg_leaf(arena, 2.0));
    pg_id u = MADE(pg_unary(arena, op_neg, a)), v = MADE(pg_binary(arena, op_add, a, a));
    pg_id w = MADE(pg_sum(arena, &a, 1)), p = MADE(pg_unary(arena, op_neg, plain));
    CHECK_INT(pg_set_flags(arena, a, PG_NODE_PINNED, 0), PG_OK);
    CHECK_INT(pg_release(arena, p), 0);
    CHECK_INT(pg_release(arena, u), 0); /* others still use it */
    CHECK_INT(pg_release(arena, plain), 0); /* it is told once */
    CHECK_INT(pg_uses(arena, a), 4);
    CHECK_INT(pg_release(arena, v), 0);
    CHECK_INT(pg_uses(arena, a), 2);
    CHECK_INT(pg_retain(arena, a), PG_OK);
    CHECK_INT(pg_release(arena, a), 0); /* a handle is not a use */
    CHECK_INT(pg_release(arena, w), PG_AFTER_UNPINNED);
    CHECK_INT(pg_uses(arena, a), 1);
    pg_id q = MADE(pg_unary(arena, op_neg, a));
    CHECK_INT(pg_set_flags(arena, a, 0, PG_NODE_PINNED), PG_OK);
    CHECK_INT(pg_release(arena, q), 0);

    /* the last user dies with the end of a sweep */
    pg_id root = MADE(pg_unary(arena, op_neg, a));
    CHECK_INT(pg_set_flags(arena, a, PG_NODE_PINNED, 0), PG_OK);
    int status = PG_ERR_OP;
    pg_sweep *sweep = pg_sweep_new(arena, root, &status);
    CHECK(sweep != NULL);
    CHECK_INT(pg_sweep_run(sweep), PG_NONE);
    CHECK_INT(pg_set_flags(arena, root, PG_NODE_SIDE, 0), PG_OK);
    CHECK_INT(pg_release(arena, root), 0);
    CHECK_INT(pg_sweep_end(sweep, 0), PG_AFTER_UNPINNED | PG_AFTER_LIMBO);
    CHECK_INT(pg_limbo(arena), root);
    pg_bury(arena, root);
    CHECK_INT(LIVE(arena), 1);
    pg_arena_free(arena);
}

static void test_flags(void) {
    pg_arena *arena = check_arena(0);
    const int all = PG_NODE_SIDE | PG_NODE_HOOK | PG_NODE_TRACED | PG_NODE_PINNED | PG_NODE_ARRAY;
    pg_id a = MADE(pg_leaf(arena, 1.0)), b = MADE(pg_leaf(arena, 2.0)), sum = MADE(pg_binary(arena, op_add, a, b));
    CHECK_INT(pg_flags(arena, sum), 0);
    CHECK_INT(pg_set_flags(arena, sum, PG_NODE_OWNED, 0), PG_OK); /* not the caller's to set */
    CHECK_INT(pg_flags(arena, sum), 0);
    CHECK_INT(pg_set_flags(arena, sum, 0x7fffffff, 0), PG_OK);
    CHECK_INT(pg_flags(arena, sum), all);
    CHECK_INT(pg_set_flags(arena, sum, 0, PG_NODE_HOOK), PG_OK);
    CHECK_INT(pg_flags(arena, sum), all & ~PG_NODE_HOOK);
    CHECK_INT(pg_set_flags(arena, sum, 0, 0x7fffffff), PG_OK);
    CHECK_INT(pg_flags(arena, sum), 0);

    /* a leaf with a hook has a step to take: it is a user-defined op without operands */
    CHECK_INT(pg_op(arena, a), op_leaf);
    CHECK_INT(pg_set_flags(arena, a, PG_NODE_HOOK | PG_NODE_TRACED, 0), PG_OK);
    CHECK_INT(pg_op(arena, a), op_user);
    CHECK_INT(pg_operands(arena, a, NULL, 0), 0);
    CHECK_SAME(pg_data(arena, a), 1.0);

    /* traced is inherited through every way of making a node, and the result says so */
    const pg_id ba[] = {b, a}, bb[] = {b, b};
    const pg_result traced[] = {
        pg_unary(arena, op_neg, a),
        pg_constant(arena, op_pow_const, a, 2.0),
        pg_binary(arena, op_add, a, b),
        pg_binary(arena, op_add, b, a),
        pg_binary_right(arena, op_add, a, 1.0),
        pg_binary_left(arena, op_add, 1.0, a),
        pg_sum(arena, ba, 2),
        pg_dot(arena, ba, bb, 2, PG_NONE),
        pg_dot(arena, bb, ba, 2, PG_NONE),
        pg_dot(arena, bb, bb, 2, a),
        pg_user(arena, 0.0, ba, 2),
        pg_restore(arena, op_add, ba, 2, 0.0, 3.0, 0.0),
        pg_restore(arena, op_pow_const, &a, 1, 2.0, 3.0, 0.0),
        pg_restore(arena, op_user, ba, 2, 0.0, 3.0, 0.0),
    };
    for (size_t i = 0; i < sizeof traced / sizeof *traced; i++) {
        CHECK((traced[i] & PG_RESULT_TRACED) != 0);
        CHECK_INT(pg_flags(arena, MADE(traced[i])), PG_NODE_TRACED); /* and no other flag is inherited */
    }
    const pg_result untraced[] = {pg_unary(arena, op_neg, b), pg_sum(arena, bb, 2), pg_dot(arena, bb, bb, 2, b),
                                  pg_binary(arena, op_add, b, b)};
    for (size_t i = 0; i < sizeof untraced / sizeof *untraced; i++) {
        CHECK((untraced[i] & PG_RESULT_TRACED) == 0);
        CHECK_INT(pg_flags(arena, MADE(untraced[i])), 0);
    }
    pg_arena_free(arena);
}

static void test_arenas(void) {
    pg_arena_free(NULL);
    pg_arena *one = check_arena(0), *two = check_arena(PG_ARENA_LOCKED);
    pg_id a = MADE(pg_leaf(one, 1.0)), b = MADE(pg_leaf(two, 2.0));
    CHECK_INT(LIVE(one), 1);
    CHECK_SAME(pg_data(one, a), 1.0);
    CHECK_SAME(pg_data(two, b), 2.0);
    pg_id c = MADE(pg_binary(two, op_mul, b, b));
    CHECK_INT(LIVE(one), 1);
    CHECK_INT(LIVE(two), 2);
    BACKWARD(two, c);
    CHECK_SAME(pg_grad(two, b), 4.0);
    pg_arena_trim(two);
    CHECK_INT(pg_release(two, b), 0);
    CHECK_INT(pg_release(two, c), 0);
    CHECK_INT(LIVE(two), 0);
    CHECK(check_stats(one).bytes > 0);
    pg_arena_free(two);
    CHECK_SAME(pg_data(one, a), 1.0);
    pg_arena_free(one); /* with a node alive */
}

int main(void) {
    op_add = check_op("add");
    op_mul = check_op("mul");
    op_neg = check_op("neg");
    op_pow_const = check_op("pow_const");
    op_leaky_relu = check_op("leaky_relu");
    op_user = check_op("user");
    op_leaf = check_op("leaf");
    test_counts();
    test_counts_of_lists_and_numbers();
    test_hidden_constants();
    test_dead_ids();
    test_reuse_of_slots();
    test_a_segment_starts_afresh();
    test_a_loop_runs_in_constant_memory();
    test_trim();
    test_trim_during_a_sweep();
    test_large_releases_trim_by_themselves();
    test_limbo();
    test_limbo_of_a_whole_graph();
    test_bury_of_what_is_not_dead();
    test_pinned();
    test_flags();
    test_arenas();
    return check_finish();
}
