/* test_threads.c: one arena made with PG_ARENA_LOCKED, two threads at once: graphs built, swept and freed side by
 * side, leaves and layers they share, hooks, trims, limbo. For the thread sanitizer as well (make tsan).
 *
 * Threads only note what went wrong, and main checks it. Values are whole numbers, so that sums in any order
 * have the same bits.
 */
#include "check.h"

#include <pthread.h>

enum { THREADS = 2, WIDTH = 40 };

typedef struct {
    pg_arena *arena;
    pg_id shared; /* a leaf of both threads */
    size_t rounds, number;
    size_t wrong;
    double expected_grad; /* what this thread's sweeps add to shared */
    size_t buried;
    pg_layer *layer; /* of both threads: shared * x0 + shared * x1 + shared, twice */
} job;

static int op_add, op_mul, op_neg, op_pow_const;

static pg_id id_of(job *j, pg_result made) {
    if (made <= 0) j->wrong++;
    return made > 0 ? PG_RESULT_ID(made) : PG_NONE;
}

static void expect(job *j, int good) {
    if (!good) j->wrong++;
}

static void let_go(job *j, pg_id id) { expect(j, pg_release(j->arena, id) >= 0); }

/* sum of (shared * i)**2 over i, times a leaf of its own, through a hook; then all of it is dropped. */
static void one_round(job *j, size_t round) {
    pg_arena *arena = j->arena;
    double own_data = (double)(j->number + 2), sum_of_squares = 0.0;
    pg_id own = id_of(j, pg_leaf(arena, own_data)), terms[WIDTH];
    for (size_t i = 0; i < WIDTH; i++) {
        pg_id scaled = id_of(j, pg_binary_right(arena, op_mul, j->shared, (double)i));
        terms[i] = id_of(j, pg_constant(arena, op_pow_const, scaled, 2.0));
        let_go(j, scaled);
        sum_of_squares += (double)(i * i);
    }
    pg_id sum = id_of(j, pg_sum(arena, terms, WIDTH));
    pg_id user = id_of(j, pg_user(arena, pg_data(arena, sum), &sum, 1));
    expect(j, pg_set_flags(arena, user, PG_NODE_HOOK | PG_NODE_SIDE, 0) == PG_OK);
    pg_id root = id_of(j, pg_binary(arena, op_mul, own, user));
    double shared_data = pg_data(arena, j->shared);
    expect(j, pg_data(arena, sum) == sum_of_squares * shared_data * shared_data);
    expect(j, pg_data(arena, root) == own_data * sum_of_squares * shared_data * shared_data);

    int status = PG_ERR_OP;
    pg_sweep *sweep = pg_sweep_new(arena, root, &status);
    expect(j, sweep != NULL);
    if (!sweep) return;
    expect(j, pg_sweep_run(sweep) == user);
    pg_set_grad(arena, sum, pg_grad(arena, sum) + pg_grad(arena, user));
    expect(j, pg_sweep_run(sweep) == PG_NONE);
    expect(j, pg_grad(arena, own) == pg_data(arena, user));
    expect(j, pg_grad(arena, terms[3]) == own_data);
    let_go(j, root);
    expect(j, pg_sweep_end(sweep, 0) >= 0);
    j->expected_grad += own_data * 2.0 * shared_data * sum_of_squares;

    for (size_t i = 0; i < WIDTH; i++) let_go(j, terms[(i * 7 + round) % WIDTH]);
    let_go(j, sum);
    let_go(j, user);
    let_go(j, own);
    for (pg_id dead; (dead = pg_limbo(arena)) != PG_NONE; j->buried++) pg_bury(arena, dead);
    if (round % 16 == 0) pg_arena_trim(arena);
}

static pg_layer *layer_of(pg_arena *arena, pg_id parameter) {
    const pg_id parameters[] = {parameter, parameter, parameter, parameter, parameter, parameter};
    int status;
    return pg_layer_new(arena, parameters, 2, 2, op_neg, 0.0, &status);
}

/* The layer that both use, or one of its own; on the same inputs, through a sweep. */
static void one_layer(job *j, size_t round) {
    pg_arena *arena = j->arena;
    pg_layer *own = round % 3 == 0 ? layer_of(arena, j->shared) : NULL, *used = own ? own : j->layer;
    expect(j, used != NULL);
    if (!used) return;
    const double x = (double)(round % 5), shared = pg_data(arena, j->shared);
    pg_id out[2];
    expect(j, pg_layers_apply(&used, 1, (const pg_id[]){j->shared, PG_NONE}, (const double[]){0.0, x}, 2, out) == PG_OK);
    expect(j, pg_layer_free(own) >= 0);
    int status = PG_ERR_OP;
    pg_sweep *sweep = pg_sweep_new(arena, out[round % 2], &status);
    expect(j, sweep != NULL);
    if (!sweep) return;
    expect(j, pg_sweep_run(sweep) == PG_NONE);
    expect(j, pg_sweep_end(sweep, 0) >= 0);
    j->expected_grad -= 2.0 * shared + x + 1.0;
    for (int i = 0; i < 2; i++) {
        expect(j, pg_data(arena, out[i]) == -(shared * shared + shared * x + shared));
        let_go(j, out[i]);
    }
}

/* A graph of more than a segment, freed by one release while the other thread works. */
static void one_chain(job *j) {
    pg_arena *arena = j->arena;
    pg_id v = id_of(j, pg_unary(arena, op_neg, j->shared));
    for (size_t i = 0; i < 6000; i++) {
        pg_id next = id_of(j, pg_binary_left(arena, op_add, 1.0, v));
        let_go(j, v);
        v = next;
    }
    expect(j, pg_data(arena, v) == 6000.0 - pg_data(arena, j->shared));
    let_go(j, v);
}

static void *work(void *argument) {
    job *j = argument;
    for (size_t round = 0; round < j->rounds; round++) {
        one_round(j, round);
        one_layer(j, round);
        if (round % 50 == 7) one_chain(j);
    }
    return NULL;
}

static void test_two_threads(void) {
    pg_arena *arena = check_arena(PG_ARENA_LOCKED);
    pg_id shared = MADE(pg_leaf(arena, 3.0));
    pthread_t threads[THREADS];
    job jobs[THREADS];
    const size_t rounds = check_scaled(2000, 60);
    pg_layer *layer = layer_of(arena, shared);
    for (size_t i = 0; i < THREADS; i++) {
        jobs[i] = (job){.arena = arena, .shared = shared, .rounds = rounds, .number = i, .layer = layer};
        if (pthread_create(&threads[i], NULL, work, &jobs[i]) != 0) exit(2);
    }
    double expected = 0.0;
    size_t buried = 0;
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_join(threads[i], NULL) != 0) exit(2);
        CHECK_INT(jobs[i].wrong, 0);
        CHECK(jobs[i].expected_grad > 0.0);
        expected += jobs[i].expected_grad;
        buried += jobs[i].buried;
    }
    CHECK_SAME(pg_grad(arena, shared), expected);
    CHECK_INT(buried, THREADS * rounds);
    CHECK_INT(pg_layer_free(layer), 0);
    CHECK_INT(pg_limbo(arena), PG_NONE);
    CHECK_INT(LIVE(arena), 1);
    CHECK_INT(pg_uses(arena, shared), 1);
    CHECK_INT(pg_release(arena, shared), 0);
    CHECK_INT(LIVE(arena), 0);
    pg_arena_free(arena);
}

/* An unlocked arena each, no lock between them: arenas have nothing in common. */
static void *work_alone(void *argument) {
    job *j = argument;
    j->arena = pg_arena_new(0);
    expect(j, j->arena != NULL);
    if (!j->arena) return NULL;
    j->shared = id_of(j, pg_leaf(j->arena, 3.0));
    j->layer = layer_of(j->arena, j->shared);
    (void)work(j);
    expect(j, pg_layer_free(j->layer) == 0);
    expect(j, pg_grad(j->arena, j->shared) == j->expected_grad);
    expect(j, LIVE(j->arena) == 1);
    pg_arena_free(j->arena);
    return NULL;
}

static void test_an_arena_each(void) {
    pthread_t threads[THREADS];
    job jobs[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        jobs[i] = (job){.rounds = check_scaled(500, 30), .number = i};
        if (pthread_create(&threads[i], NULL, work_alone, &jobs[i]) != 0) exit(2);
    }
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_join(threads[i], NULL) != 0) exit(2);
        CHECK_INT(jobs[i].wrong, 0);
    }
}

int main(void) {
    op_add = check_op("add");
    op_mul = check_op("mul");
    op_neg = check_op("neg");
    op_pow_const = check_op("pow_const");
    test_two_threads();
    test_an_arena_each();
    return check_finish();
}
