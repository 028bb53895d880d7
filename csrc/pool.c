/* pool.c: the pool of threads that pool.h describes.
 *
 * A call takes the whole pool. One that finds it taken starts threads of its own: several calls at once are rare, and no
 * call waits for another. Threads of the pool block all signals, which are for the threads of the program.
 */
#include "lock.h" /* before any header of the system */

#include "pool.h"

/* Without a pool. */
static void together_for_once(pg_thread_run *run, void *context, int others) {
    pg_thread threads[PG_MOST_THREADS];
    int started = 0;
    while (started < others && pg_thread_start(&threads[started], run, context) == 0) started++;
    run(context);
    while (started > 0) pg_thread_join(&threads[--started]);
}

#if defined(_WIN32) || !defined(__GNUC__)

void pg_together(pg_thread_run *run, void *context, int others) {
    together_for_once(run, context, others < PG_MOST_THREADS - 1 ? others : PG_MOST_THREADS - 1);
}
void pg_pool_stop(void) {}

#else
#include <signal.h>

/* Looks at a number that another thread is about to change, before a thread sleeps: some 50 us. A training loop comes
 * with its next step sooner than that, and waking a thread takes as long. */
#define SPINS 1500

typedef struct {
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t wake, done;
    int taken;            /* by a call, or by pg_pool_stop */
    int wanted;           /* threads that may still begin with the work of the call */
    int asleep;           /* threads that wait for `wake` */
    int stop;
    int count;            /* of threads */
    int forks;            /* the handlers for forks are in place; without them there are no threads */
    atomic_uint turns;    /* calls so far, and stops; changed with the lock held, looked at without */
    atomic_int working;   /* threads that have begun, and are not done; likewise */
    pg_thread_run *run;   /* what the call runs */
    void *context;
    pg_thread threads[PG_MOST_THREADS - 1];
} pool;

#define EMPTY {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER}
static pool the = EMPTY;

/* With the lock held, which it gives up meanwhile: until there is something to do. */
static void wait_for_turn(void) {
    const unsigned last = atomic_load(&the.turns);
    if (the.wanted || the.stop) return;
    (void)pthread_mutex_unlock(&the.lock);
    for (int i = 0; i < SPINS && atomic_load(&the.turns) == last; i++) pg_relax();
    (void)pthread_mutex_lock(&the.lock);
    while (!the.wanted && !the.stop) {
        the.asleep++;
        (void)pthread_cond_wait(&the.wake, &the.lock);
        the.asleep--;
    }
}

static void work_in_turn(void *unused) {
    (void)unused;
    (void)pthread_mutex_lock(&the.lock);
    for (;;) {
        wait_for_turn();
        if (the.stop) break;
        the.wanted--;
        atomic_fetch_add(&the.working, 1);
        pg_thread_run *const run = the.run;
        void *const context = the.context;
        (void)pthread_mutex_unlock(&the.lock);
        run(context);
        (void)pthread_mutex_lock(&the.lock);
        if (atomic_fetch_sub(&the.working, 1) == 1) (void)pthread_cond_signal(&the.done);
    }
    (void)pthread_mutex_unlock(&the.lock);
}

/* With the lock held: something is there to do. */
static void next_turn(void) {
    atomic_fetch_add(&the.turns, 1u);
    if (the.asleep) (void)pthread_cond_broadcast(&the.wake);
}

static int take(void) {
    (void)pthread_mutex_lock(&the.lock);
    const int taken = the.taken;
    the.taken = 1;
    (void)pthread_mutex_unlock(&the.lock);
    return !taken;
}

static void give_back(void) {
    (void)pthread_mutex_lock(&the.lock);
    the.taken = 0;
    (void)pthread_mutex_unlock(&the.lock);
}

void pg_pool_stop(void) {
    if (!take()) return;
    (void)pthread_mutex_lock(&the.lock);
    the.stop = 1;
    next_turn();
    (void)pthread_mutex_unlock(&the.lock);
    while (the.count > 0) pg_thread_join(&the.threads[--the.count]);
    the.stop = 0;
    give_back();
}

/* The child has only the thread that forked, which was in no call. */
static void begin_child(void) {
    the = (pool)EMPTY;
    the.forks = 1;
}

/* When the library is loaded: a fork that began before would not call them. */
__attribute__((constructor)) static void watch_forks(void) {
    the.forks = pthread_atfork(pg_pool_stop, NULL, begin_child) == 0;
}

/* Of a pool that this call has taken: threads of which there are too few. */
static void grow(int threads) {
    sigset_t all, before;
    if (!the.forks || the.count >= threads) return;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (the.count < threads && pg_thread_start(&the.threads[the.count], work_in_turn, NULL) == 0) the.count++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void pg_together(pg_thread_run *run, void *context, int others) {
    if (others < 0) others = 0;
    if (others > PG_MOST_THREADS - 1) others = PG_MOST_THREADS - 1;
    if (!take()) {
        together_for_once(run, context, others);
        return;
    }
    grow(others);
    (void)pthread_mutex_lock(&the.lock);
    the.run = run;
    the.context = context;
    the.wanted = others < the.count ? others : the.count;
    next_turn();
    (void)pthread_mutex_unlock(&the.lock);
    run(context);
    (void)pthread_mutex_lock(&the.lock);
    the.wanted = 0;
    (void)pthread_mutex_unlock(&the.lock);
    for (int i = 0; i < SPINS && atomic_load(&the.working); i++) pg_relax();
    (void)pthread_mutex_lock(&the.lock);
    while (atomic_load(&the.working)) (void)pthread_cond_wait(&the.done, &the.lock);
    (void)pthread_mutex_unlock(&the.lock);
    give_back();
}

#endif
