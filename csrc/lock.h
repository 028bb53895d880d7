/* lock.h: one mutex, POSIX threads or Windows, because C11 <threads.h> is missing on several systems.
 * Nothing else about threads lives here.
 */
#ifndef PG_LOCK_H
#define PG_LOCK_H

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
typedef SRWLOCK pg_mutex;
static inline int pg_mutex_init(pg_mutex *mutex) {
    InitializeSRWLock(mutex);
    return 0;
}
static inline void pg_mutex_destroy(pg_mutex *mutex) { (void)mutex; }
static inline void pg_mutex_lock(pg_mutex *mutex) { AcquireSRWLockExclusive(mutex); }
static inline void pg_mutex_unlock(pg_mutex *mutex) { ReleaseSRWLockExclusive(mutex); }
#else
#if !defined(_GNU_SOURCE) && !defined(_XOPEN_SOURCE)
#define _XOPEN_SOURCE 700 /* recursive mutexes, with -std=c11 */
#endif
#include <pthread.h>
typedef pthread_mutex_t pg_mutex;
/* Recursive: the thread that holds the lock over a fork may still release nodes meanwhile. */
static inline int pg_mutex_init(pg_mutex *mutex) {
    pthread_mutexattr_t kind;
    int error = pthread_mutexattr_init(&kind);
    if (error) return error;
    error = pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    if (!error) error = pthread_mutex_init(mutex, &kind);
    (void)pthread_mutexattr_destroy(&kind);
    return error;
}
static inline void pg_mutex_destroy(pg_mutex *mutex) { (void)pthread_mutex_destroy(mutex); }
static inline void pg_mutex_lock(pg_mutex *mutex) { (void)pthread_mutex_lock(mutex); }
static inline void pg_mutex_unlock(pg_mutex *mutex) { (void)pthread_mutex_unlock(mutex); }
#endif

#endif
