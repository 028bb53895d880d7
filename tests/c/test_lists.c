/* test_lists.c: the operand lists of n-ary nodes: their contents, the reuse and the return of their memory, the
 * sweep's scratch that they need; and nodes restored with given operands.
 *
 * Values and derivatives of n-ary ops are in test_ops.c, lists whose allocation fails in test_alloc.c.
 */
#include "check.h"

static int op_add, op_user, op_leaf;

/* Lists of every length class, made and dropped in odd orders, keep their contents. */
static void test_operand_lists(void) {
    enum { LEAVES = 64, LISTS = 400 };
    pg_arena *arena = check_arena(0);
    pg_id leaves[LEAVES], ids[LISTS];
    size_t length[LISTS], offset[LISTS];
    const size_t longest = 6000;
    pg_id *operands = check_memory(longest, sizeof *operands), *read = check_memory(longest, sizeof *read);
    check_random random = {2463534242u};
    for (size_t i = 0; i < LEAVES; i++) leaves[i] = MADE(pg_leaf(arena, 1.0));
    memset(ids, 0, sizeof ids);
    for (size_t step = 0; step < check_scaled(20000, 1200); step++) {
        size_t i = check_below(&random, LISTS);
        if (ids[i] != PG_NONE) {
            CHECK_INT(pg_operands(arena, ids[i], read, longest), length[i]);
            size_t wrong = 0;
            for (size_t j = 0; j < length[i]; j++) wrong += read[j] != leaves[(offset[i] + j * j) % LEAVES];
            CHECK_INT(wrong, 0);
            CHECK_INT(pg_release(arena, ids[i]), 0);
            ids[i] = PG_NONE;
            continue;
        }
        size_t kind = check_below(&random, 20), power = (size_t)1 << (8 + check_below(&random, 5));
        length[i] = kind == 0  ? check_below(&random, longest)
                    : kind < 4 ? power - 4 + check_below(&random, 8) /* where one length class ends */
                               : check_below(&random, 20);
        offset[i] = check_below(&random, LEAVES);
        for (size_t j = 0; j < length[i]; j++) operands[j] = leaves[(offset[i] + j * j) % LEAVES];
        ids[i] = MADE(step % 2 ? pg_sum(arena, operands, length[i]) : pg_user(arena, 0.0, operands, length[i]));
    }
    for (size_t i = 0; i < LISTS; i++)
        if (ids[i] != PG_NONE) CHECK_INT(pg_release(arena, ids[i]), 0);
    for (size_t i = 0; i < LEAVES; i++) CHECK_INT(pg_uses(arena, leaves[i]), 1);
    CHECK_INT(LIVE(arena), LEAVES);

    /* the order of a dot's operands, and an answer longer than the caller's array */
    pg_id dot = MADE(pg_dot(arena, leaves, leaves + 3, 3, leaves[6]));
    const pg_id want[] = {leaves[0], leaves[1], leaves[2], leaves[6], leaves[3], leaves[4], leaves[5]};
    CHECK_INT(pg_operands(arena, dot, read, longest), 7);
    CHECK(memcmp(read, want, sizeof want) == 0);
    pg_id few[3] = {1, 2, 99};
    CHECK_INT(pg_operands(arena, dot, few, 2), 7);
    CHECK_INT(few[1], leaves[1]);
    CHECK_INT(few[2], 99);
    CHECK_INT(pg_operands(arena, dot, NULL, 0), 7);
    pg_id pair = MADE(pg_binary(arena, op_add, leaves[0], leaves[1]));
    few[1] = 98;
    CHECK_INT(pg_operands(arena, pair, few, 1), 2);
    CHECK_INT(few[1], 98);
    CHECK_INT(pg_operands(arena, leaves[0], few, 1), 0);
    free(operands);
    free(read);
    pg_arena_free(arena);
}

/* Lists that die make room for others, of their own length and of any, although one list lives all the time. */
static void test_words_are_used_again(void) {
    enum { LISTS = 2000, LENGTHS = 60 };
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0)), y = MADE(pg_leaf(arena, 1.0)), ids[LENGTHS], keep[3], read[LENGTHS];
    for (size_t i = 0; i < LENGTHS; i++) ids[i] = i % 3 ? x : y;
    keep[0] = MADE(pg_sum(arena, ids, 7));
    keep[1] = MADE(pg_dot(arena, ids, ids + 1, 5, y));
    keep[2] = MADE(pg_user(arena, 0.0, ids + 1, 30));
    uint64_t bytes = 0;
    for (size_t i = 0; i < check_scaled(100, 10) * LISTS; i++) {
        pg_id sum = MADE(pg_sum(arena, ids, LENGTHS));
        if (i == 0) bytes = check_stats(arena).bytes;
        (void)pg_release(arena, sum);
    }
    CHECK_INT(check_stats(arena).bytes, bytes);

    pg_id *sums = check_memory(LISTS, sizeof *sums);
    for (size_t length = LENGTHS; length > 0; length--) {
        for (size_t i = 0; i < LISTS; i++) sums[i] = MADE(pg_sum(arena, ids, length));
        for (size_t i = 0; i < LISTS; i++) (void)pg_release(arena, sums[i]);
    }
    free(sums);
    pg_arena_trim(arena);
    CHECK(check_stats(arena).bytes <= bytes);
    /* what lived was moved: same operands, same derivatives, same counts, and it still dies well */
    CHECK_INT(pg_operands(arena, keep[0], read, LENGTHS), 7);
    CHECK(memcmp(read, ids, 7 * sizeof *read) == 0);
    CHECK_INT(pg_operands(arena, keep[1], read, LENGTHS), 11);
    CHECK(memcmp(read, ids, 5 * sizeof *read) == 0 && read[5] == y && memcmp(read + 6, ids + 1, 5 * sizeof *read) == 0);
    CHECK_INT(pg_operands(arena, keep[2], read, LENGTHS), 30);
    CHECK(memcmp(read, ids + 1, 30 * sizeof *read) == 0);
    BACKWARD(arena, keep[0]);
    CHECK_SAME(pg_grad(arena, x), 4.0);
    CHECK_SAME(pg_grad(arena, y), 3.0);
    for (size_t i = 0; i < 3; i++) CHECK_INT(pg_release(arena, keep[i]), 0);
    CHECK_INT(pg_uses(arena, x), 1);
    CHECK_INT(pg_uses(arena, y), 1);
    CHECK_INT(LIVE(arena), 2);
    pg_arena_free(arena);
}

/* A large list goes back to the system without being asked for, although a small one lives. */
static void test_large_lists_go_back(void) {
    const size_t n = 5000000; /* more than is kept, so not scaled */
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0)), *ids = check_memory(n, sizeof *ids);
    for (size_t i = 0; i < n; i++) ids[i] = x;
    pg_id keep = MADE(pg_sum(arena, ids, 3)), large = MADE(pg_sum(arena, ids, n));
    CHECK(check_stats(arena).bytes > n * sizeof *ids);
    CHECK_INT(pg_release(arena, large), 0);
    CHECK(check_stats(arena).bytes < n);
    CHECK_SAME(pg_data(arena, keep), 3.0);
    BACKWARD(arena, keep);
    CHECK_SAME(pg_grad(arena, x), 3.0);
    CHECK_INT(pg_release(arena, keep), 0);
    CHECK_INT(pg_uses(arena, x), 1);
    free(ids);
    pg_arena_free(arena);
}

/* A sweep's scratch follows the nodes that live, not those that ever lived. */
static void test_scratch_of_n_ary_nodes(void) {
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0)), root = MADE(pg_sum(arena, &x, 1));
    BACKWARD(arena, root);
    uint64_t bytes = check_stats(arena).bytes;
    for (size_t i = 0; i < 20000; i++)
        (void)pg_release(arena, MADE(i % 2 ? pg_sum(arena, &x, 1) : pg_user(arena, 0.0, &x, 1)));
    BACKWARD(arena, root);
    CHECK_INT(check_stats(arena).bytes, bytes);
    pg_arena_free(arena);
}

/* More words than are kept: given back with the last list, and there again for the next. */
static void test_a_very_long_list(void) {
    const size_t n = check_scaled(5000000, 50000);
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0));
    pg_id *operands = check_memory(n, sizeof *operands);
    for (size_t i = 0; i < n; i++) operands[i] = x;
    for (int round = 0; round < 2; round++) {
        pg_id sum = MADE(pg_sum(arena, operands, n));
        CHECK_SAME(pg_data(arena, sum), (double)n);
        CHECK_INT(pg_uses(arena, x), n + 1);
        pg_set_grad(arena, x, 0.0);
        BACKWARD(arena, sum);
        CHECK_SAME(pg_grad(arena, x), (double)n);
        uint64_t bytes = check_stats(arena).bytes;
        CHECK(bytes > n * sizeof(pg_id));
        CHECK_INT(pg_release(arena, sum), 0);
        CHECK_INT(pg_uses(arena, x), 1);
        pg_arena_trim(arena);
        CHECK(check_stats(arena).bytes < bytes);
    }
    free(operands);
    pg_arena_free(arena);
}

/* What was saved comes back as it was: every kind of op, not recomputed. */
static void test_restore(void) {
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 2.0)), y = MADE(pg_leaf(arena, 3.0));
    const pg_id operands[] = {x, y, y, x, x}, *const one = operands;
    for (int op = 0; op < (int)pg_op_count(); op++) {
        const pg_op_info *info = pg_op_describe(op);
        int any = info->kind == PG_KIND_NARY || op == op_user || op == check_op("array");
        size_t arity = info->kind == PG_KIND_BINARY ? 2 : info->kind == PG_KIND_STRUCTURAL ? 0 : 1;
        for (size_t n = 0; n <= 5; n++) {
            uint64_t live = LIVE(arena);
            pg_result made = pg_restore(arena, op, one, n, 0.75, -11.0, 13.0);
            int good = op == op_leaf ? n == 0 : info->kind == PG_KIND_STRUCTURAL && !any ? 0 : any || n == arity;
            if (!good) {
                CHECK_INT(made, PG_ERR_OP);
                CHECK_INT(LIVE(arena), live);
                continue;
            }
            pg_id id = MADE(made), read[5] = {0};
            CHECK_INT(pg_op(arena, id), op);
            CHECK_SAME(pg_data(arena, id), -11.0);
            CHECK_SAME(pg_grad(arena, id), 13.0);
            CHECK_SAME(pg_node_constant(arena, id), info->kind == PG_KIND_CONSTANT ? 0.75 : (double)NAN);
            CHECK_INT(pg_operands(arena, id, read, 5), n);
            CHECK(memcmp(read, operands, n * sizeof *read) == 0);
            CHECK_INT(pg_release(arena, id), 0);
            CHECK_INT(LIVE(arena), live);
        }
    }
    CHECK_INT(pg_uses(arena, x), 1);
    CHECK_INT(pg_uses(arena, y), 1);
    CHECK_INT(pg_restore(arena, -1, one, 1, 0.0, 0.0, 0.0), PG_ERR_OP);
    CHECK_INT(pg_restore(arena, (int)pg_op_count(), one, 1, 0.0, 0.0, 0.0), PG_ERR_OP);
    const pg_id bad[] = {x, UINT32_MAX};
    CHECK_INT(pg_restore(arena, op_add, bad, 2, 0.0, 0.0, 0.0), PG_ERR_ID);
    CHECK_INT(pg_uses(arena, x), 1);
    pg_arena_free(arena);
}

int main(void) {
    op_add = check_op("add");
    op_user = check_op("user");
    op_leaf = check_op("leaf");
    test_operand_lists();
    test_words_are_used_again();
    test_large_lists_go_back();
    test_scratch_of_n_ary_nodes();
    test_a_very_long_list();
    test_restore();
    return check_finish();
}
