/* test_arrays.c: what the engine knows of array nodes, whose payload is the binding's: which ops refuse them, that their data
 * and gradient are nan, that sweeps stop at them; nodes that forget their operands; gradients handed on to operands.
 */
#include "check.h"

static pg_result array_node(pg_arena *arena, const char *op, const pg_id *operands, size_t n) {
    pg_result made = pg_restore(arena, check_op(op), operands, n, 0.5, NAN, 0.0);
    int flags = PG_NODE_ARRAY | PG_NODE_TRACED | (n ? PG_NODE_HOOK : 0);
    if (made >= 0) CHECK_INT(pg_set_flags(arena, PG_RESULT_ID(made), flags, 0), PG_OK);
    return made;
}

static void test_ops_refuse_arrays(void) {
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 2.0)), a = MADE(array_node(arena, "leaf", NULL, 0));
    const pg_id both[] = {x, a}, numbers[] = {x, x};
    pg_stats before, after;
    pg_arena_stats(arena, &before);
    CHECK_INT(pg_unary(arena, check_op("neg"), a), PG_ERR_ARRAY);
    CHECK_INT(pg_constant(arena, check_op("pow_const"), a, 2.0), PG_ERR_ARRAY);
    CHECK_INT(pg_binary(arena, check_op("add"), x, a), PG_ERR_ARRAY);
    CHECK_INT(pg_binary(arena, check_op("add"), a, x), PG_ERR_ARRAY);
    CHECK_INT(pg_binary_right(arena, check_op("div"), a, 0.0), PG_ERR_ARRAY); /* not a division by zero */
    CHECK_INT(pg_binary_left(arena, check_op("div"), 0.0, a), PG_ERR_ARRAY);
    CHECK_INT(pg_sum(arena, both, 2), PG_ERR_ARRAY);
    CHECK_INT(pg_logsumexp(arena, both, 2), PG_ERR_ARRAY);
    CHECK_INT(pg_dot(arena, both, numbers, 2, PG_NONE), PG_ERR_ARRAY);
    CHECK_INT(pg_dot(arena, numbers, both, 2, PG_NONE), PG_ERR_ARRAY);
    CHECK_INT(pg_dot(arena, numbers, numbers, 2, a), PG_ERR_ARRAY);
    pg_arena_stats(arena, &after);
    CHECK_INT(after.live, before.live);
    CHECK_INT(pg_uses(arena, x), 1);
    CHECK(strlen(pg_status_text(PG_ERR_ARRAY)) > 0);
    pg_arena_free(arena);
}

static void test_data_and_gradient_are_not_here(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(array_node(arena, "leaf", NULL, 0)), b = MADE(array_node(arena, "exp", &a, 1));
    pg_set_data(arena, b, 3.0);
    pg_set_grad(arena, b, 3.0);
    CHECK(isnan(pg_data(arena, b)) && isnan(pg_grad(arena, b)));
    CHECK_INT(pg_set_flags(arena, b, 0, PG_NODE_ARRAY), PG_OK);
    CHECK_SAME(pg_data(arena, b), 3.0);
    pg_arena_free(arena);
}

/* a -> exp -> array op of (exp, x) -> a number: the sweep stops at each, and computes what is downstream itself. */
static void test_sweeps_stop_at_arrays(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(array_node(arena, "leaf", NULL, 0)), x = MADE(pg_leaf(arena, 2.0));
    pg_id b = MADE(array_node(arena, "exp", &a, 1));
    const pg_id operands[] = {b, x};
    pg_id c = MADE(array_node(arena, "array", operands, 2));
    pg_id sum = MADE(pg_restore(arena, check_op("array"), &c, 1, 0.0, 7.0, 0.0));
    CHECK_INT(pg_set_flags(arena, sum, PG_NODE_HOOK | PG_NODE_TRACED, 0), PG_OK);
    pg_result loss = pg_binary(arena, check_op("mul"), sum, x);
    CHECK(loss > 0 && (loss & PG_RESULT_TRACED)); /* the binding sees all that is downstream of an array */
    int status = 0;
    pg_sweep *sweep = pg_sweep_new(arena, PG_RESULT_ID(loss), &status);
    const pg_id want[] = {sum, c, b, PG_NONE};
    for (int i = 0; sweep && i < 4; i++) CHECK_INT(pg_sweep_run(sweep), want[i]);
    CHECK_SAME(pg_grad(arena, sum), 2.0);
    CHECK_SAME(pg_grad(arena, x), 7.0);
    CHECK_INT(pg_sweep_end(sweep, 1), 0); /* failed: as before */
    CHECK_SAME(pg_grad(arena, x), 0.0);
    pg_id found[4];
    CHECK_INT(pg_operands(arena, c, found, 4), 2);
    CHECK_INT(found[0], b);
    CHECK_INT(found[1], x);
    pg_arena_free(arena);
}

/* A sweep names the arrays whose gradients it may change: leaves too, once for each use, not what is beside the graph. */
static void test_arrays_of_a_sweep(void) {
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(array_node(arena, "leaf", NULL, 0)), x = MADE(pg_leaf(arena, 2.0));
    pg_id b = MADE(array_node(arena, "exp", &a, 1)), beside = MADE(array_node(arena, "exp", &a, 1));
    const pg_id operands[] = {b, x, a};
    pg_id c = MADE(array_node(arena, "array", operands, 3));
    pg_id top = MADE(pg_restore(arena, check_op("array"), &c, 1, 0.0, 7.0, 0.0));
    CHECK_INT(pg_set_flags(arena, top, PG_NODE_HOOK | PG_NODE_TRACED, 0), PG_OK);
    int status = 0, seen[3] = {0};
    pg_sweep *sweep = pg_sweep_new(arena, top, &status);
    uint64_t position = 0;
    for (pg_id id; (id = pg_sweep_array(sweep, &position)) != PG_NONE;) {
        CHECK(id == a || id == b || id == c);
        CHECK(id != beside);
        seen[id == a ? 0 : id == b ? 1 : 2]++;
    }
    CHECK(seen[0] >= 1 && seen[1] >= 1 && seen[2] >= 1);
    CHECK_INT(pg_sweep_array(sweep, &position), PG_NONE);
    CHECK_INT(pg_sweep_end(sweep, 0), 0);
    sweep = pg_sweep_new(arena, x, &status); /* without a hook nothing can fail */
    position = 0;
    CHECK_INT(pg_sweep_array(sweep, &position), PG_NONE);
    CHECK_INT(pg_sweep_end(sweep, 0), 0);
    pg_arena_free(arena);
}

static void test_forgetting(void) {
    pg_arena *arena = check_arena(0);
    pg_stats stats;
    pg_arena_stats(arena, &stats);
    uint64_t base = stats.live;
    pg_id x = MADE(pg_leaf(arena, 2.0)), y = MADE(pg_leaf(arena, 3.0));
    pg_id p = MADE(pg_binary(arena, check_op("mul"), x, y));
    const pg_id list[] = {p, x, p};
    pg_id s = MADE(pg_sum(arena, list, 3));
    CHECK_INT(pg_release(arena, p), 0);
    CHECK_INT(pg_set_flags(arena, s, PG_NODE_HOOK | PG_NODE_TRACED, 0), PG_OK);
    pg_set_grad(arena, s, 5.0);
    CHECK_INT(pg_forget(arena, s), 0);
    pg_arena_stats(arena, &stats);
    CHECK_INT(stats.live, base + 3); /* the product died with its last use */
    CHECK_INT(pg_op(arena, s), check_op("leaf"));
    CHECK_INT(pg_flags(arena, s) & (PG_NODE_HOOK | PG_NODE_TRACED), 0);
    CHECK_INT(pg_operands(arena, s, NULL, 0), 0);
    CHECK_SAME(pg_data(arena, s), 14.0);
    CHECK_SAME(pg_grad(arena, s), 5.0);
    CHECK_INT(pg_uses(arena, x), 1);
    CHECK_INT(pg_uses(arena, y), 1);
    CHECK_INT(pg_forget(arena, s), 0); /* a leaf has nothing to forget */
    CHECK_INT(pg_forget(arena, x), 0);
    pg_id power = MADE(pg_constant(arena, check_op("pow_const"), x, 2.0));
    CHECK_INT(pg_forget(arena, power), 0);
    CHECK_INT(pg_uses(arena, x), 1);
    CHECK_SAME(pg_data(arena, power), 4.0);
    CHECK_INT(pg_release(arena, power), 0);
    CHECK_INT(pg_forget(arena, power), PG_ERR_ID);
    /* operands with a note are left for the binding to bury */
    pg_id noted = MADE(pg_unary(arena, check_op("neg"), x)), top = MADE(pg_unary(arena, check_op("neg"), noted));
    CHECK_INT(pg_set_flags(arena, noted, PG_NODE_SIDE, 0), PG_OK);
    CHECK_INT(pg_release(arena, noted), 0);
    CHECK_INT(pg_forget(arena, top), PG_AFTER_LIMBO);
    CHECK_INT(pg_limbo(arena), noted);
    pg_bury(arena, noted);
    pg_arena_free(arena);
}

static void test_handing_on(void) {
    pg_arena *arena = check_arena(0);
    pg_id x[3];
    for (int i = 0; i < 3; i++) x[i] = MADE(pg_leaf(arena, i));
    pg_id a = MADE(array_node(arena, "array", x, 3));
    const double numbers[] = {1.0, 2.0, 4.0};
    CHECK_INT(pg_add_to_operands(arena, a, numbers, 3), PG_OK);
    CHECK_INT(pg_add_to_operands(arena, a, numbers, 3), PG_OK);
    for (int i = 0; i < 3; i++) CHECK_SAME(pg_grad(arena, x[i]), 2.0 * numbers[i]);
    CHECK_INT(pg_add_to_operands(arena, a, numbers, 2), PG_ERR_OP);
    CHECK_INT(pg_add_to_operands(arena, x[0], numbers, 0), PG_ERR_OP);
    CHECK_INT(pg_add_to_operands(arena, PG_NONE, numbers, 3), PG_ERR_ID);
    pg_id none = MADE(array_node(arena, "array", NULL, 0));
    CHECK_INT(pg_add_to_operands(arena, none, NULL, 0), PG_OK);
    CHECK_SAME(pg_grad(arena, x[0]), 2.0);
    pg_arena_free(arena);
}

int main(void) {
    test_ops_refuse_arrays();
    test_data_and_gradient_are_not_here();
    test_sweeps_stop_at_arrays();
    test_arrays_of_a_sweep();
    test_forgetting();
    test_handing_on();
    return check_finish();
}
