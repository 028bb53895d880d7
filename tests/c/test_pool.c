/* test_pool.c: the pool of threads: each piece of work is done once, by no more threads than were asked for, from several
 * callers at once, before and after a fork, and after the pool was stopped. For the thread sanitizer as well (make tsan).
 */
#include "check.h"

#include "pool.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECES = 37, CALLERS = 3 };

static void rest(long microseconds) {
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000 * microseconds}, NULL);
}

/* Work that is shared out, as a program's tasks are. */
typedef struct {
    pg_atomic_count next, threads;
    unsigned done[PIECES]; /* each written by who took the piece */
    unsigned most;         /* threads that came */
} job;

static void share(void *context) {
    job *j = context;
    (void)pg_next(&j->threads);
    for (unsigned piece; (piece = pg_next(&j->next)) < PIECES;) j->done[piece]++;
}

/* Whether all of it was done, once, by at most others + 1 threads. */
static int good(int others) {
    job j = {.most = 0};
    pg_together(share, &j, others);
    j.most = pg_next(&j.threads);
    for (size_t i = 0; i < PIECES; i++)
        if (j.done[i] != 1) return 0;
    return j.most >= 1 && j.most <= (unsigned)(others < PG_MOST_THREADS ? others : PG_MOST_THREADS - 1) + 1u;
}

static void test_counts(void) {
    for (int others = 0; others < 9; others++)
        for (size_t k = 0; k < check_scaled(200, 20); k++) CHECK(good(others));
    CHECK(good(PG_MOST_THREADS - 1));
    CHECK(good(10 * PG_MOST_THREADS));
}

/* Threads that wait for each other: all of them must be there at once. */
typedef struct {
    atomic_int here;
    int wanted;
} meeting;

static void meet(void *context) {
    meeting *m = context;
    atomic_fetch_add(&m->here, 1);
    while (atomic_load(&m->here) < m->wanted) rest(50);
}

static void test_at_once(void) {
    for (int threads = 1; threads <= 5; threads++) {
        meeting m = {.wanted = threads};
        pg_together(meet, &m, threads - 1);
        CHECK_INT(m.here, threads);
    }
    /* asleep by now */
    rest(20000);
    meeting m = {.wanted = 4};
    pg_together(meet, &m, 3);
    CHECK_INT(m.here, 4);
}

typedef struct {
    size_t rounds, wrong;
} caller;

static void call(void *context) {
    caller *c = context;
    for (size_t k = 0; k < c->rounds; k++) c->wrong += !good((int)(k % 4));
}

static void test_callers(void) {
    pg_thread threads[CALLERS];
    caller callers[CALLERS];
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.rounds = check_scaled(2000, 50)};
        CHECK(pg_thread_start(&threads[i], call, &callers[i]) == 0);
    }
    for (size_t k = 0; k < 20; k++) pg_pool_stop();
    for (size_t i = 0; i < CALLERS; i++) {
        pg_thread_join(&threads[i]);
        CHECK_INT(callers[i].wrong, 0);
    }
}

static void test_fork(void) {
    for (int k = 0; k < 5; k++) {
        CHECK(good(3));
        fflush(NULL);
        const pid_t child = fork();
        if (child == 0) {
            const int both = good(3) && good(5);
            pg_pool_stop();
            _exit(both ? 0 : 1);
        }
        CHECK(child > 0);
        CHECK(good(3));
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_INT(status, 0);
    }
}

int main(void) {
    test_counts();
    test_at_once();
    test_callers();
    test_fork();
    pg_pool_stop();
    pg_pool_stop();
    CHECK(good(2));
    pg_pool_stop();
    return check_finish();
}
