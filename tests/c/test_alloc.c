/* test_alloc.c: memory that runs out. The n-th allocation fails, for n = 1, 2, ... until a training step that makes
 * everything grow (nodes, operand lists, the sweep's scratch, saved gradients) gets through.
 *
 * After each failure: PG_ERR_NOMEM, the same nodes alive with the same counts, data and gradients, and the same
 * step then works. Whether the system's own allocator fails is not tested, only that every answer is looked at.
 */
#include "check.h"

enum { PARAMETERS = 50, WIDTH = 5000, MORE = 9000 };

static int op_add, op_mul, op_neg, op_tanh, op_pow_const;

typedef struct {
    pg_id parameters[PARAMETERS];
    pg_id nodes[3 * WIDTH + MORE + 8]; /* what the step under way has a handle of */
    double data[3 * WIDTH + MORE + 8];       /* their data when they were made */
    size_t n;
    pg_id hooked, root;
} model;

/* Data, gradient and count of every parameter and of every node of the step. */
typedef struct {
    uint64_t live;
    double data, grad; /* sums that any change shows in: each value by its own weight */
    uint64_t uses;
} summary;

static void add_to_summary(pg_arena *arena, summary *all, pg_id id, double weight) {
    all->data += weight * pg_data(arena, id);
    all->grad += weight * pg_grad(arena, id);
    all->uses = all->uses * 31 + (uint64_t)pg_uses(arena, id);
}

static summary summarise(pg_arena *arena, const model *m) {
    summary all = {LIVE(arena), 0.0, 0.0, 0};
    for (size_t i = 0; i < PARAMETERS; i++) add_to_summary(arena, &all, m->parameters[i], 1.0 + 0.1 * (double)i);
    for (size_t i = 0; i < m->n; i++) add_to_summary(arena, &all, m->nodes[i], 1.0 + 0.01 * (double)(i % 1000));
    return all;
}

static void check_same_summary(summary got, summary want) {
    CHECK_INT(got.live, want.live);
    CHECK_SAME(got.data, want.data);
    CHECK_SAME(got.grad, want.grad);
    CHECK(got.uses == want.uses);
}

/* Notes a node of the step; PG_OK, or the status. A call that fails has changed nothing. */
static int note(pg_arena *arena, model *m, pg_result made, uint64_t live_before) {
    if (made < 0) {
        pg_fail_allocation(0);
        CHECK_INT(LIVE(arena), live_before);
        size_t wrong = 0;
        for (size_t i = 0; i < m->n; i++)
            wrong += pg_data(arena, m->nodes[i]) != m->data[i] || pg_grad(arena, m->nodes[i]) != 0.0;
        CHECK_INT(wrong, 0);
        return (int)made;
    }
    m->nodes[m->n] = PG_RESULT_ID(made);
    m->data[m->n] = pg_data(arena, PG_RESULT_ID(made));
    m->n++;
    return PG_OK;
}

#define NOTE(e)                                               \
    do {                                                      \
        uint64_t live_before = LIVE(arena);                   \
        int noted = note(arena, m, (e), live_before);         \
        if (noted != PG_OK) return noted;                     \
    } while (0)

/* Leaves, fixed ops, hidden constants, numbers, lists short and long, a hook; more nodes than a new arena holds. */
static int forward(pg_arena *arena, model *m) {
    for (size_t i = 0; i < WIDTH; i++) {
        pg_id p = m->parameters[i % PARAMETERS];
        NOTE(pg_binary_right(arena, op_mul, p, 0.001 * (double)i));
        NOTE(pg_constant(arena, op_pow_const, m->nodes[m->n - 1], (double)(2 + i % 3)));
        NOTE(pg_unary(arena, op_tanh, m->nodes[m->n - 1]));
    }
    NOTE(pg_sum(arena, m->nodes, 100));
    NOTE(pg_dot(arena, m->nodes, m->nodes + WIDTH, WIDTH, m->parameters[0]));
    size_t dot = m->n - 1;
    NOTE(pg_sum(arena, m->nodes, 3 * WIDTH));
    NOTE(pg_user(arena, 0.5, m->nodes + 5, 10));
    m->hooked = m->nodes[m->n - 1];
    CHECK_INT(pg_set_flags(arena, m->hooked, PG_NODE_HOOK, 0), PG_OK);
    for (size_t i = 0; i < MORE; i++) NOTE(pg_leaf(arena, (double)i));
    NOTE(pg_binary(arena, op_add, m->hooked, m->nodes[dot]));
    NOTE(pg_binary(arena, op_mul, m->nodes[m->n - 1], m->nodes[dot + 1]));
    m->root = m->nodes[m->n - 1];
    return PG_OK;
}

static int backward(pg_arena *arena, model *m) {
    summary before = summarise(arena, m);
    int status = PG_ERR_OP;
    pg_sweep *sweep = pg_sweep_new(arena, m->root, &status);
    if (!sweep) {
        pg_fail_allocation(0);
        check_same_summary(summarise(arena, m), before);
        return status;
    }
    CHECK_INT(status, PG_OK);
    CHECK_INT(pg_sweep_run(sweep), m->hooked);
    pg_set_grad(arena, m->nodes[5], pg_grad(arena, m->nodes[5]) + pg_grad(arena, m->hooked));
    CHECK_INT(pg_sweep_run(sweep), PG_NONE);
    CHECK_INT(pg_sweep_end(sweep, 0), 0);
    return PG_OK;
}

static void drop_step(pg_arena *arena, model *m) {
    size_t wrong = 0;
    while (m->n > 0) wrong += pg_release(arena, m->nodes[--m->n]) != 0;
    CHECK_INT(wrong, 0);
}

static int train(pg_arena *arena, model *m) {
    int status = forward(arena, m);
    if (status == PG_OK) status = backward(arena, m);
    if (status == PG_OK)
        for (size_t i = 0; i < PARAMETERS; i++) {
            pg_id p = m->parameters[i];
            pg_set_data(arena, p, pg_data(arena, p) - 1e-6 * pg_grad(arena, p));
            pg_set_grad(arena, p, 0.0);
        }
    drop_step(arena, m);
    return status;
}

static void make_parameters(pg_arena *arena, model *m) {
    for (size_t i = 0; i < PARAMETERS; i++) {
        m->parameters[i] = MADE(pg_leaf(arena, 0.01 * (double)i - 0.2));
        pg_set_grad(arena, m->parameters[i], (double)i);
    }
}

/* The parameters after one step in which nothing fails, by way of `expected`; where memory was there all along. */
static void expect(double *expected) {
    model *m = check_memory(1, sizeof *m);
    pg_arena *arena = check_arena(0);
    make_parameters(arena, m);
    CHECK_INT(train(arena, m), PG_OK);
    for (size_t i = 0; i < PARAMETERS; i++) expected[i] = pg_data(arena, m->parameters[i]);
    CHECK(expected[7] != 0.01 * 7.0 - 0.2);
    pg_arena_free(arena);
    free(m);
}

static void test_every_allocation_of_a_step(void) {
    double expected[PARAMETERS];
    expect(expected);
    model *m = check_memory(1, sizeof *m);
    uint64_t n = 1, places = 0;
    for (int through = 0; !through; n++) {
        pg_arena *arena = check_arena(0);
        make_parameters(arena, m);
        summary before = summarise(arena, m);
        pg_fail_allocation(n);
        int status = train(arena, m);
        through = status == PG_OK;
        pg_fail_allocation(0);
        if (!through) {
            places++;
            CHECK_INT(status, PG_ERR_NOMEM);
            check_same_summary(summarise(arena, m), before);
            CHECK_INT(train(arena, m), PG_OK); /* and everything works again */
        }
        for (size_t i = 0; i < PARAMETERS; i++) {
            CHECK_SAME(pg_data(arena, m->parameters[i]), expected[i]);
            CHECK_INT(pg_uses(arena, m->parameters[i]), 1);
        }
        CHECK_INT(LIVE(arena), PARAMETERS);
        pg_arena_free(arena);
        if (n > 1000) break;
    }
    /* two growths of three arrays, one of the words at least, the sweep, its order, the saved gradients */
    CHECK(places >= 10);
    CHECK(n < 1000);
    free(m);
}

/* One failure after another, with the half-made step still there. */
static void test_failures_in_a_row(void) {
    model *m = check_memory(1, sizeof *m);
    uint64_t n = 1;
    for (int through = 0; !through && n < 1000; n++) {
        pg_arena *arena = check_arena(0);
        make_parameters(arena, m);
        summary before = summarise(arena, m);
        pg_fail_allocation(n);
        int status = forward(arena, m);
        if (status == PG_OK) status = backward(arena, m);
        through = status == PG_OK;
        for (int again = 0; !through && again < 3; again++) {
            /* refused again if it needs memory; room that is there may be used, and nothing may change */
            summary now = summarise(arena, m);
            pg_fail_allocation(1);
            pg_result made = pg_sum(arena, m->parameters, PARAMETERS);
            int failed = PG_OK;
            pg_sweep *sweep = made < 0 ? NULL : pg_sweep_new(arena, PG_RESULT_ID(made), &failed);
            pg_fail_allocation(0);
            CHECK(made > 0 || made == PG_ERR_NOMEM);
            CHECK(failed == PG_OK || failed == PG_ERR_NOMEM);
            if (sweep) CHECK_INT(pg_sweep_end(sweep, 0), 0);
            if (made > 0) CHECK_INT(pg_release(arena, PG_RESULT_ID(made)), 0);
            check_same_summary(summarise(arena, m), now);
        }
        pg_fail_allocation(0);
        drop_step(arena, m);
        if (!through) check_same_summary(summarise(arena, m), before);
        pg_arena_free(arena);
    }
    CHECK(n < 1000);
    free(m);
}

/* The hook itself: the n-th fails, the others do not. */
static void test_one_failure(void) {
    for (int switched_off = 0; switched_off < 2; switched_off++) {
        pg_fail_allocation(1);
        if (switched_off) pg_fail_allocation(0);
        pg_arena *first = pg_arena_new(0), *second = pg_arena_new(0);
        CHECK((first != NULL) == switched_off);
        CHECK(second != NULL);
        pg_arena_free(first);
        pg_arena_free(second);
    }
}

static void test_a_new_arena(void) {
    uint64_t n = 1;
    for (;; n++) {
        pg_fail_allocation(n);
        /* what was allocated is freed: leak checkers tell */
        pg_arena *arena = pg_arena_new(n % 2 ? PG_ARENA_LOCKED : 0);
        pg_fail_allocation(0);
        if (!arena) continue;
        CHECK_INT(LIVE(arena), 0);
        CHECK(pg_leaf(arena, 1.0) > 0);
        pg_arena_free(arena);
        break;
    }
    CHECK(n > 3);
    CHECK(n < 10);
}

/* Giving memory back never fails, even where the system will not make an array shorter. */
static void test_trim(void) {
    model *m = check_memory(1, sizeof *m);
    for (uint64_t n = 1; n <= 4; n++) {
        pg_arena *arena = check_arena(0);
        make_parameters(arena, m);
        CHECK_INT(train(arena, m), PG_OK);
        summary before = summarise(arena, m);
        pg_fail_allocation(n);
        pg_arena_trim(arena);
        pg_fail_allocation(0);
        check_same_summary(summarise(arena, m), before);
        CHECK_INT(train(arena, m), PG_OK); /* slots up to the capacity that is claimed are really there */
        pg_arena_trim(arena);
        CHECK_INT(train(arena, m), PG_OK);
        CHECK_INT(LIVE(arena), PARAMETERS);
        pg_arena_free(arena);
    }
    free(m);
}

/* The n-ary ops undo their lists; the hidden constant that was shared is still the right one. */
static void test_undo(void) {
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.5)), ids[300];
    for (size_t i = 0; i < 300; i++) ids[i] = x;
    pg_id square = MADE(pg_constant(arena, op_pow_const, x, 2.0));
    /* fill every slot, so that the next node needs memory */
    uint64_t capacity = check_stats(arena).capacity;
    pg_id *filler = check_memory((size_t)capacity, sizeof *filler);
    size_t n = 0;
    while (LIVE(arena) + 1 < capacity) filler[n++] = MADE(pg_leaf(arena, 0.0));
    for (int spare = 0; spare < 2; spare++) { /* with no slot left, then with one */
        uint64_t live = LIVE(arena);
        for (int which = 0; which < 9; which++)
            for (uint64_t fail = 1; fail <= 3; fail++) {
                pg_fail_allocation(fail);
                pg_result made = which == 0   ? pg_sum(arena, ids, 300)
                                 : which == 1 ? pg_dot(arena, ids, ids, 150, x)
                                 : which == 2 ? pg_user(arena, 0.0, ids, 3)
                                 : which == 3 ? pg_constant(arena, op_pow_const, x, 3.0)
                                 : which == 4 ? pg_constant(arena, op_pow_const, x, 2.0)
                                 : which == 5 ? pg_binary_left(arena, op_add, 1.0, x)
                                 : which == 6 ? pg_binary(arena, op_add, x, x)
                                 : which == 7 ? pg_restore(arena, op_pow_const, &x, 1, 4.0, 0.0, 0.0)
                                              : pg_unary(arena, op_neg, x);
                pg_fail_allocation(0);
                CHECK(made > 0 || made == PG_ERR_NOMEM);
                CHECK(spare || fail > 1 || made == PG_ERR_NOMEM);
                if (made > 0) CHECK_INT(pg_release(arena, PG_RESULT_ID(made)), 0);
                CHECK_INT(LIVE(arena), live);
                CHECK_INT(pg_uses(arena, x), 2);
                CHECK_SAME(pg_node_constant(arena, square), 2.0);
                if (made <= 0) continue;
                /* memory has grown: fill it up again */
                uint64_t now = check_stats(arena).capacity;
                if (now == capacity) continue;
                pg_id *longer = realloc(filler, (size_t)now * sizeof *filler);
                if (!longer) exit(2);
                filler = longer;
                capacity = now;
                while (LIVE(arena) + 1 + (uint64_t)spare < capacity) filler[n++] = MADE(pg_leaf(arena, 0.0));
                live = LIVE(arena);
            }
        if (spare == 0) CHECK_INT(pg_release(arena, filler[--n]), 0);
    }
    while (n > 0) (void)pg_release(arena, filler[--n]);
    CHECK_INT(pg_release(arena, square), 0);
    CHECK_INT(pg_uses(arena, x), 1);
    CHECK_INT(LIVE(arena), 1);
    free(filler);
    pg_arena_free(arena);
}

int main(void) {
    op_add = check_op("add");
    op_mul = check_op("mul");
    op_neg = check_op("neg");
    op_tanh = check_op("tanh");
    op_pow_const = check_op("pow_const");
    test_every_allocation_of_a_step();
    test_failures_in_a_row();
    test_one_failure();
    test_a_new_arena();
    test_trim();
    test_undo();
    return check_finish();
}
