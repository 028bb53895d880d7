/* test_open.c: what pygrad.h promises and csrc does not keep yet. Fails on purpose (make open); no part of make check.
 *
 * A test that passes here belongs into the file of its subject. The last one ends the program with a crash, and the
 * last but one shows only under the sanitizers (make asan TESTS=test_open).
 */
#include "check.h"

/* "failed != 0: every gradient is put back": without a hook in the graph nothing was saved. */
static void test_a_failed_sweep_without_hooks(void) {
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 2.0)), y = MADE(pg_unary(arena, check_op("neg"), x));
    int status = PG_ERR_OP;
    pg_set_grad(arena, x, 5.0);
    pg_set_grad(arena, y, 7.0);
    pg_sweep *sweep = pg_sweep_new(arena, y, &status);
    CHECK_INT(pg_sweep_end(sweep, 1), 0); /* given up before it ran */
    CHECK_SAME(pg_grad(arena, y), 7.0);
    pg_set_grad(arena, y, 7.0);
    sweep = pg_sweep_new(arena, y, &status);
    CHECK_INT(pg_sweep_run(sweep), PG_NONE);
    CHECK_INT(pg_sweep_end(sweep, 1), 0); /* given up after it ran */
    CHECK_SAME(pg_grad(arena, x), 5.0);
    CHECK_SAME(pg_grad(arena, y), 7.0);
    pg_arena_free(arena);
}

/* "the n-th allocation from now fails, and every one after it" */
static void test_allocations_go_on_failing(void) {
    pg_fail_allocation(1);
    pg_arena *first = pg_arena_new(0), *second = pg_arena_new(0);
    pg_fail_allocation(0);
    CHECK(first == NULL);
    CHECK(second == NULL);
    pg_arena_free(first);
    pg_arena_free(second);
}

/* "a large freed graph goes back to the system" (DESIGN.md): not its operand lists, while any list is alive. */
static void test_words_go_back_while_a_list_lives(void) {
    enum { N = 5000000 };
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0)), *ids = check_memory(N, sizeof *ids);
    for (size_t i = 0; i < N; i++) ids[i] = x;
    pg_id keep = MADE(pg_sum(arena, ids, 1)), large = MADE(pg_sum(arena, ids, N));
    CHECK_INT(pg_release(arena, large), 0);
    pg_arena_trim(arena);
    CHECK(check_stats(arena).bytes < N); /* 33 MB stay */
    CHECK_SAME(pg_data(arena, keep), 1.0);
    free(ids);
    pg_arena_free(arena);
}

/* Lists that die leave their words to lists of their own length class alone: one list that lives, and memory grows with
 * every length that was ever used, though never more than a thousand lists live at once. */
static void test_words_are_shared_between_lengths(void) {
    enum { LISTS = 1000 };
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0)), ids[250], sums[LISTS];
    for (size_t i = 0; i < 250; i++) ids[i] = x;
    (void)MADE(pg_sum(arena, ids, 1));
    for (size_t length = 250; length > 0; length -= 5) {
        for (size_t i = 0; i < LISTS; i++) sums[i] = MADE(pg_sum(arena, ids, length));
        for (size_t i = 0; i < LISTS; i++) (void)pg_release(arena, sums[i]);
    }
    CHECK(check_stats(arena).bytes < 4 * LISTS * 250 * sizeof(pg_id));
    pg_arena_free(arena);
}

/* "Ids are checked ... never a crash": pg_bury takes whatever it is given. */
static void test_bury_of_what_is_not_dead(void) {
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 2.0)), y = MADE(pg_leaf(arena, 3.0));
    pg_bury(arena, x);
    CHECK_SAME(pg_data(arena, x), 2.0);
    CHECK_INT(LIVE(arena), 2);
    CHECK_INT(pg_set_flags(arena, y, PG_NODE_SIDE, 0), PG_OK);
    CHECK_INT(pg_release(arena, y), PG_AFTER_LIMBO);
    pg_id dead = pg_limbo(arena);
    pg_bury(arena, dead);
    pg_bury(arena, dead); /* twice: the slot is then handed out twice */
    pg_id a = MADE(pg_leaf(arena, 4.0)), b = MADE(pg_leaf(arena, 5.0));
    CHECK(a != b);
    pg_arena_free(arena);
}

/* With no list in the arena, a sum of nothing takes its ids from a null pointer plus 2: undefined behaviour. */
static void test_step_of_an_empty_sum(void) {
    pg_arena *arena = check_arena(0);
    pg_id s = MADE(pg_sum(arena, NULL, 0)), d = MADE(pg_dot(arena, NULL, NULL, 0, PG_NONE));
    BACKWARD(arena, s);
    BACKWARD(arena, d);
    CHECK_SAME(pg_grad(arena, s), 1.0);
    pg_arena_free(arena);
}

static void test_bury_of_no_id_at_all(void) {
    pg_arena *arena = check_arena(0);
    pg_bury(arena, UINT32_MAX);
    pg_bury(arena, PG_NONE);
    CHECK_INT(LIVE(arena), 0);
    pg_arena_free(arena);
}

int main(void) {
    test_a_failed_sweep_without_hooks();
    test_allocations_go_on_failing();
    test_words_go_back_while_a_list_lives();
    test_words_are_shared_between_lengths();
    test_bury_of_what_is_not_dead();
    test_step_of_an_empty_sum();
    (void)check_finish(); /* so far */
    test_bury_of_no_id_at_all();
    return check_finish();
}
