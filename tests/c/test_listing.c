/* test_listing.c: a graph as arrays against a recursive search written here; births where slots are used again; what a node
 * depends on; ops whose value is whatever IEEE 754 says.
 *
 * Derivatives are not looked at, nor what Python makes of a listing (tests/test_program_record.py).
 */
#include "check.h"

enum { MOST = 4000, WIDE = 5 };

static int op_leaf, op_add, op_mul, op_div, op_log, op_exp, op_tanh, op_pow, op_pow_const, op_sum, op_dot, op_user;

static pg_listing *listed(pg_arena *arena, const pg_id *roots, size_t n) {
    int status = 1;
    pg_listing *listing = pg_listing_new(arena, roots, n, &status);
    CHECK_INT(status, PG_OK);
    if (!listing) exit(2);
    return listing;
}

/* ---- the order ---- */

typedef struct {
    pg_id order[MOST];
    size_t n;
} search;

static int met(const search *s, pg_id id) {
    for (size_t i = 0; i < s->n; i++)
        if (s->order[i] == id) return 1;
    return 0;
}

/* Operands left to right, leaves left out. Recursive: the graphs here are small. */
static void visit(pg_arena *arena, pg_id id, search *s) {
    pg_id operands[64];
    if (pg_op(arena, id) == op_leaf || met(s, id)) return;
    size_t n = (size_t)pg_operands(arena, id, operands, 64);
    for (size_t i = 0; i < n; i++) visit(arena, operands[i], s);
    s->order[s->n++] = id;
}

static int count_in(const pg_id *ids, size_t n, pg_id id) {
    int count = 0;
    for (size_t i = 0; i < n; i++) count += ids[i] == id;
    return count;
}

/* The operands of every node are those that pg_operands gives, in the order of a program. */
static void check_operands(pg_arena *arena, const pg_listing *listing) {
    for (size_t i = listing->leaves; i < listing->nodes; i++) {
        pg_id operands[64], expected[64];
        size_t n = (size_t)pg_operands(arena, listing->ids[i], operands, 64), half = n / 2;
        CHECK_INT(listing->starts[i + 1] - listing->starts[i], n);
        for (size_t j = 0; j < n; j++) expected[j] = operands[j];
        if (listing->ops[i] == op_dot) {
            size_t bias = n % 2;
            if (bias) expected[0] = operands[half];
            for (size_t j = 0; j < half; j++) {
                expected[bias + 2 * j] = operands[j];
                expected[bias + 2 * j + 1] = operands[half + bias + j];
            }
        }
        for (size_t j = 0; j < n; j++) {
            uint32_t at = listing->operands[listing->starts[i] + j];
            CHECK(at < i);
            CHECK_INT(listing->ids[at], expected[j]);
        }
    }
}

static void check_listing(pg_arena *arena, const pg_id *roots, size_t n) {
    static search s;
    s.n = 0;
    for (size_t i = 0; i < n; i++) visit(arena, roots[i], &s);
    pg_listing *listing = listed(arena, roots, n);
    CHECK_INT(listing->nodes - listing->leaves, s.n);
    CHECK_INT(listing->roots, n);
    for (size_t i = 0; i < s.n; i++) CHECK_INT(listing->ids[listing->leaves + i], s.order[i]);
    for (size_t i = 0; i < n; i++) CHECK_INT(listing->ids[listing->root_at[i]], roots[i]);
    for (size_t i = 0; i < listing->nodes; i++) {
        pg_id id = listing->ids[i];
        CHECK_INT(count_in(listing->ids, listing->nodes, id), 1);
        CHECK_INT(listing->ops[i], pg_op(arena, id));
        if (i < listing->leaves) CHECK_INT(listing->ops[i], op_leaf);
        double k = i < listing->leaves ? pg_data(arena, id) : pg_node_constant(arena, id);
        CHECK_SAME(listing->numbers[i], isnan(k) && i >= listing->leaves ? 0.0 : k);
    }
    check_operands(arena, listing);
    pg_listing_free(listing);
}

static void test_random_graphs(void) {
    for (uint64_t seed = 1; seed <= 40; seed++) {
        pg_arena *arena = check_arena(0);
        pg_id ids[300];
        check_random state = {seed};
        for (size_t i = 0; i < 6; i++) ids[i] = MADE(pg_leaf(arena, 0.1 * (double)(i + 1)));
        for (size_t i = 6; i < 300; i++) {
            pg_id x[2 * WIDE], y = ids[check_below(&state, i)];
            for (size_t j = 0; j < 2 * WIDE; j++) x[j] = ids[check_below(&state, i)];
            size_t n = check_below(&state, WIDE);
            switch (check_below(&state, 6)) {
            case 0: ids[i] = MADE(pg_sum(arena, x, n)); break;
            case 1: ids[i] = MADE(pg_dot(arena, x, x + WIDE, n, check_below(&state, 2) ? y : PG_NONE)); break;
            case 2: ids[i] = MADE(pg_unary(arena, op_tanh, y)); break;
            case 3: ids[i] = MADE(pg_constant(arena, op_pow_const, x[0], 2.0)); break;
            case 4: ids[i] = MADE(pg_binary_right(arena, op_mul, y, 0.001)); break;
            default: ids[i] = MADE(pg_binary(arena, op_add, x[0], x[1])); break;
            }
        }
        const pg_id several[4] = {ids[299], ids[2], ids[150], ids[299]};
        check_listing(arena, &ids[299], 1);
        check_listing(arena, several, 4);
        check_listing(arena, ids, 300);
        check_listing(arena, NULL, 0);
        pg_arena_free(arena);
    }
}

static void test_errors(void) {
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0)), dead = MADE(pg_leaf(arena, 2.0));
    CHECK_INT(pg_release(arena, dead), 0);
    const pg_id roots[2] = {x, dead};
    int status = 0;
    CHECK(pg_listing_new(arena, roots, 2, &status) == NULL);
    CHECK_INT(status, PG_ERR_ID);
    CHECK_INT(pg_depends(arena, dead, 1), PG_ERR_ID);
    CHECK_INT(pg_ieee(arena, op_div, x, dead, 0.0), PG_ERR_ID);
    CHECK_INT(pg_ieee(arena, op_sum, x, PG_NONE, 0.0), PG_ERR_OP);
    CHECK_INT(pg_ieee(arena, -1, x, PG_NONE, 0.0), PG_ERR_OP);
    pg_listing_free(NULL);
    pg_arena_free(arena);
}

static void test_memory_that_runs_out(void) {
    pg_arena *arena = check_arena(0);
    pg_id ids[200];
    for (size_t i = 0; i < 100; i++) ids[i] = MADE(pg_leaf(arena, 1.0));
    for (size_t i = 100; i < 200; i++) ids[i] = MADE(pg_binary(arena, op_add, ids[i - 100], ids[i - 1]));
    uint64_t live = LIVE(arena);
    int status = PG_ERR_NOMEM;
    uint64_t n = 1;
    for (; status != PG_OK && n < 100; n++) {
        pg_fail_allocation(n);
        pg_listing *listing = pg_listing_new(arena, &ids[199], 1, &status);
        pg_fail_allocation(0);
        CHECK((listing == NULL) == (status != PG_OK));
        if (!listing) CHECK_INT(status, PG_ERR_NOMEM);
        pg_listing_free(listing);
        CHECK_INT(LIVE(arena), live);
    }
    CHECK(n > 10);
    check_listing(arena, &ids[199], 1);
    pg_arena_free(arena);
}

/* ---- births ---- */

static uint64_t birth_of(pg_arena *arena, pg_id id) {
    pg_listing *listing = listed(arena, &id, 1);
    CHECK_INT(listing->leaves, 1);
    uint64_t birth = listing->births[0];
    pg_listing_free(listing);
    return birth;
}

static void test_births(void) {
    pg_arena *arena = check_arena(0);
    CHECK_INT(pg_births(arena), 0);
    pg_id first = MADE(pg_leaf(arena, 1.0)), second = MADE(pg_leaf(arena, 2.0));
    CHECK_INT(birth_of(arena, first), 1);
    CHECK_INT(birth_of(arena, second), 2);
    CHECK_INT(pg_release(arena, first), 0);
    pg_id again = MADE(pg_leaf(arena, 3.0)); /* in the slot of the first */
    CHECK_INT(again, first);
    CHECK_INT(birth_of(arena, again), 3);
    pg_id product = MADE(pg_binary_right(arena, op_mul, second, 4.0)); /* its number is a leaf too */
    CHECK_INT(pg_births(arena), 4);
    pg_id restored = MADE(pg_restore(arena, op_leaf, NULL, 0, 0.0, 5.0, 0.0));
    CHECK_INT(birth_of(arena, restored), 5);
    CHECK_INT(pg_forget(arena, product), 0);
    CHECK_INT(birth_of(arena, product), 6);
    CHECK_INT(pg_operands(arena, product, NULL, 0), 0);
    CHECK_INT(pg_step(arena, product), PG_OK); /* a leaf takes no step */
    CHECK_INT(pg_set_flags(arena, restored, PG_NODE_HOOK, 0), PG_OK);
    CHECK_INT(pg_operands(arena, restored, NULL, 0), 0);
    CHECK_INT(pg_release(arena, restored), 0);
    for (size_t i = 0; i < 5000; i++) CHECK_INT(pg_release(arena, MADE(pg_leaf(arena, 0.0))), 0);
    CHECK_INT(pg_births(arena), 5006);
    CHECK_INT(LIVE(arena), 3);
    pg_arena_free(arena);
}

static void test_depends(void) {
    pg_arena *arena = check_arena(0);
    pg_id old = MADE(pg_leaf(arena, 1.0)), made = MADE(pg_binary_right(arena, op_mul, old, 2.0));
    uint64_t born = pg_births(arena);
    pg_id young = MADE(pg_leaf(arena, 1.0)), grown = MADE(pg_constant(arena, op_pow_const, young, 2.0));
    pg_id many[3] = {young, grown, young}, sum = MADE(pg_sum(arena, many, 3));
    CHECK_INT(pg_depends(arena, old, born), 1);
    CHECK_INT(pg_depends(arena, made, born), 1);
    CHECK_INT(pg_depends(arena, young, born), 0);
    CHECK_INT(pg_depends(arena, grown, born), 0);
    CHECK_INT(pg_depends(arena, sum, born), 0);
    many[2] = made;
    pg_id mixed = MADE(pg_sum(arena, many, 3)), last = MADE(pg_unary(arena, op_tanh, mixed));
    CHECK_INT(pg_depends(arena, last, born), 1);
    CHECK_INT(pg_depends(arena, MADE(pg_dot(arena, &young, &old, 1, PG_NONE)), born), 1);
    CHECK_INT(pg_depends(arena, MADE(pg_dot(arena, &young, &young, 1, old)), born), 1);
    CHECK_INT(pg_depends(arena, MADE(pg_dot(arena, &young, &young, 1, young)), born), 0);
    CHECK_INT(pg_depends(arena, MADE(pg_user(arena, 1.0, NULL, 0)), born), 1);
    CHECK_INT(pg_depends(arena, MADE(pg_user(arena, 1.0, &young, 1)), born), 0);
    CHECK_INT(pg_depends(arena, old, 0), 0);
    pg_arena_free(arena);
}

/* ---- ops without errors ---- */

static void expect_node(pg_arena *arena, pg_result made, double z, size_t operands) {
    CHECK(made >= 0);
    CHECK_SAME(pg_data(arena, PG_RESULT_ID(made)), z);
    CHECK_INT(pg_operands(arena, PG_RESULT_ID(made), NULL, 0), operands);
    CHECK_INT(pg_release(arena, PG_RESULT_ID(made)), 0);
}

static void test_ieee(void) {
    pg_arena *arena = check_arena(PG_ARENA_LOCKED);
    pg_id zero = MADE(pg_leaf(arena, 0.0)), minus = MADE(pg_leaf(arena, -8.0)), large = MADE(pg_leaf(arena, 1000.0));
    CHECK_INT(pg_unary(arena, op_log, zero), PG_ERR_DOMAIN);
    expect_node(arena, pg_ieee(arena, op_log, zero, PG_NONE, 0.0), -INFINITY, 1);
    expect_node(arena, pg_ieee(arena, op_log, minus, PG_NONE, 0.0), NAN, 1);
    expect_node(arena, pg_ieee(arena, op_exp, large, PG_NONE, 0.0), INFINITY, 1);
    expect_node(arena, pg_ieee(arena, op_div, minus, zero, 0.0), -INFINITY, 2);
    expect_node(arena, pg_ieee(arena, op_div, PG_NONE, zero, 3.0), INFINITY, 2);
    expect_node(arena, pg_ieee(arena, op_div, zero, PG_NONE, 0.0), NAN, 2);
    expect_node(arena, pg_ieee(arena, op_div, large, PG_NONE, -4.0), -250.0, 2);
    expect_node(arena, pg_ieee(arena, op_pow, minus, PG_NONE, 0.5), NAN, 2);
    expect_node(arena, pg_ieee(arena, op_pow, PG_NONE, minus, 0.0), INFINITY, 2);
    pg_id power = MADE(pg_ieee(arena, op_pow_const, minus, PG_NONE, 0.25));
    CHECK_SAME(pg_node_constant(arena, power), 0.25);
    expect_node(arena, (pg_result)power, NAN, 1);
    CHECK_INT(LIVE(arena), 3);
    pg_arena_free(arena);
}

int main(void) {
    op_leaf = check_op("leaf");
    op_add = check_op("add");
    op_mul = check_op("mul");
    op_div = check_op("div");
    op_log = check_op("log");
    op_exp = check_op("exp");
    op_tanh = check_op("tanh");
    op_pow = check_op("pow");
    op_pow_const = check_op("pow_const");
    op_sum = check_op("sum");
    op_dot = check_op("dot");
    op_user = check_op("user");
    CHECK(op_user > 0);
    test_random_graphs();
    test_errors();
    test_memory_that_runs_out();
    test_births();
    test_depends();
    test_ieee();
    return check_finish();
}
