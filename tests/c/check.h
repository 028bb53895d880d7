/* check.h: what the C tests share: a check that counts, prints where it failed and goes on; a scale for sizes;
 * a random generator; and a few calls into the engine that nearly every test makes.
 *
 * Not a framework: a test is a function that its file's main() calls. Each test file is one program and one
 * translation unit, so the counts are plain statics; CHECK is for the main thread only.
 * Includes pygrad.h and nothing else of csrc/: the tests see the engine as a caller does.
 */
#ifndef CHECK_H
#define CHECK_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pygrad.h"

static uint64_t check_passed, check_failed;

/* A broken engine can fail a check in a loop of millions: only the first ones are worth reading. */
#define CHECK_PRINTED 40

static inline int check_count(int good) {
    if (good) {
        check_passed++;
        return 0;
    }
    check_failed++;
    if (check_failed == CHECK_PRINTED + 1) fprintf(stderr, "... further failures are counted, not printed\n");
    return check_failed <= CHECK_PRINTED;
}

static inline void check_true(int good, const char *text, const char *file, int line) {
    if (check_count(good)) fprintf(stderr, "%s:%d: %s\n", file, line, text);
}

static inline void check_int(long long got, long long want, const char *text, const char *file, int line) {
    if (check_count(got == want)) fprintf(stderr, "%s:%d: %s: %lld, not %lld\n", file, line, text, got, want);
}

/* Bit for bit, except that one nan is as good as another. */
static inline int check_same_bits(double x, double y) {
    return (isnan(x) && isnan(y)) || memcmp(&x, &y, sizeof x) == 0;
}

static inline void check_same(double got, double want, const char *text, const char *file, int line) {
    if (check_count(check_same_bits(got, want)))
        fprintf(stderr, "%s:%d: %s: %.17g, not %.17g\n", file, line, text, got, want);
}

/* Within tolerance * (1 + |want|). */
static inline void check_near(double got, double want, double tolerance, const char *text, const char *file, int line) {
    if (check_count(fabs(got - want) <= tolerance * (1.0 + fabs(want))))
        fprintf(stderr, "%s:%d: %s: %.17g, not %.17g\n", file, line, text, got, want);
}

#define CHECK(e) check_true((e) ? 1 : 0, #e, __FILE__, __LINE__)
#define CHECK_INT(got, want) check_int((long long)(got), (long long)(want), #got, __FILE__, __LINE__)
#define CHECK_SAME(got, want) check_same((got), (want), #got, __FILE__, __LINE__)
#define CHECK_NEAR(got, want, tolerance) check_near((got), (want), (tolerance), #got, __FILE__, __LINE__)

/* The last line of every program. A program that checked nothing has failed. */
static inline int check_finish(void) {
    printf("%llu passed, %llu failed\n", (unsigned long long)check_passed, (unsigned long long)check_failed);
    (void)fflush(stdout);
    return check_failed != 0 || check_passed == 0;
}

/* n times PG_TEST_SCALE, a number in (0, 1], 1 where it is not set; at least `least`. */
static inline size_t check_scaled(size_t n, size_t least) {
    const char *text = getenv("PG_TEST_SCALE");
    double scale = text ? strtod(text, NULL) : 1.0;
    if (!(scale > 0.0 && scale <= 1.0)) scale = 1.0;
    size_t scaled = (size_t)((double)n * scale);
    return scaled > least ? scaled : least;
}

/* Memory for the test itself; a test that cannot run must not pass. */
static inline void *check_memory(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        fprintf(stderr, "the test itself is out of memory\n");
        exit(2);
    }
    return memory;
}

/* xorshift64*: the same numbers on every machine. */
typedef struct {
    uint64_t state;
} check_random;

static inline uint64_t check_next(check_random *random) {
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * UINT64_C(2685821657736338717);
}

/* 0 .. n - 1; n > 0. */
static inline size_t check_below(check_random *random, size_t n) {
    return (size_t)((check_next(random) >> 11) % n);
}

/* Uniform in [low, high). */
static inline double check_uniform(check_random *random, double low, double high) {
    return low + (high - low) * ((double)(check_next(random) >> 11) * 0x1p-53);
}

/* The code of the op of that name. Tests name ops, so that they do not depend on the codes. */
static inline int check_op(const char *name) {
    for (int op = 0; op < (int)pg_op_count(); op++)
        if (strcmp(pg_op_describe(op)->name, name) == 0) return op;
    fprintf(stderr, "no op is called %s\n", name);
    exit(2);
}

/* The id of a node that must have been made. */
static inline pg_id check_made(pg_result made, const char *file, int line) {
    if (check_count(made > 0 && PG_RESULT_ID(made) != PG_NONE))
        fprintf(stderr, "%s:%d: no node: %s\n", file, line, made < 0 ? pg_status_text((int)made) : "id 0");
    return made > 0 ? PG_RESULT_ID(made) : PG_NONE;
}
#define MADE(e) check_made((e), __FILE__, __LINE__)

/* backward() of a graph without hooks. */
static inline void check_backward(pg_arena *arena, pg_id root, const char *file, int line) {
    int status = PG_ERR_OP;
    pg_sweep *sweep = pg_sweep_new(arena, root, &status);
    check_int(status, PG_OK, "pg_sweep_new", file, line);
    if (!sweep) return;
    check_int(pg_sweep_run(sweep), PG_NONE, "pg_sweep_run", file, line);
    (void)pg_sweep_end(sweep, 0);
}
#define BACKWARD(arena, root) check_backward((arena), (root), __FILE__, __LINE__)

static inline pg_stats check_stats(pg_arena *arena) {
    pg_stats stats;
    pg_arena_stats(arena, &stats);
    return stats;
}
#define LIVE(arena) (check_stats(arena).live)

static inline pg_arena *check_arena(int flags) {
    pg_arena *arena = pg_arena_new(flags);
    if (!arena) {
        fprintf(stderr, "pg_arena_new: out of memory\n");
        exit(2);
    }
    return arena;
}

#endif
