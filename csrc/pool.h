/* pool.h: threads that wait for work between calls, since starting one takes as long as a small call. One pool for the
 * process; which thread does what is the caller's affair.
 *
 * A fork finds no thread of it missing and no lock of it held: idle threads end before a fork, and a child begins with an
 * empty pool. Threads keep what they inherit, such as the processors they may use, of the thread that first needed them.
 * Where there are no POSIX threads, every call starts threads of its own, and ends them.
 */
#ifndef PG_POOL_H
#define PG_POOL_H

#include "threads.h"

#define PG_MOST_THREADS 64

/* Runs run(context) on this thread and at once on up to `others` more, at most PG_MOST_THREADS - 1; gives when all of
 * them are done. A thread that cannot be had, or that wakes when this one is done, does not take part: run shares out
 * its work to whoever comes. May be called by several threads at once. */
void pg_together(pg_thread_run *run, void *context, int others);

/* Ends the threads of the pool, if no call uses it. The next call makes new ones. */
void pg_pool_stop(void);

#endif
