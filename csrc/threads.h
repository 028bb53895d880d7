/* threads.h: starting and joining a thread, and the few atomic operations that threads need. POSIX threads or Windows.
 *
 * Locks are lock.h's subject, threads that wait between calls are pool.h's.
 */
#ifndef PG_THREADS_H
#define PG_THREADS_H

#include <stddef.h>

typedef struct pg_thread pg_thread;
typedef void pg_thread_run(void *context);

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
struct pg_thread {
    pg_thread_run *run;
    void *context;
    HANDLE handle;
};
static DWORD WINAPI pg_thread_main(LPVOID thread) {
    ((pg_thread *)thread)->run(((pg_thread *)thread)->context);
    return 0;
}
/* 0 if it runs; the struct stays where it is until pg_thread_join. */
static inline int pg_thread_start(pg_thread *thread, pg_thread_run *run, void *context) {
    thread->run = run;
    thread->context = context;
    thread->handle = CreateThread(NULL, 0, pg_thread_main, thread, 0, NULL);
    return thread->handle == NULL;
}
static inline void pg_thread_join(pg_thread *thread) {
    (void)WaitForSingleObject(thread->handle, INFINITE);
    (void)CloseHandle(thread->handle);
}
/* Processors that this process may use. */
static inline int pg_cores(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return (int)info.dwNumberOfProcessors;
}
#else
#include <pthread.h>
#include <unistd.h>
#if defined(__linux__) && defined(_GNU_SOURCE)
#include <sched.h>
#endif
struct pg_thread {
    pg_thread_run *run;
    void *context;
    pthread_t handle;
};
static void *pg_thread_main(void *thread) {
    ((pg_thread *)thread)->run(((pg_thread *)thread)->context);
    return NULL;
}
static inline int pg_thread_start(pg_thread *thread, pg_thread_run *run, void *context) {
    thread->run = run;
    thread->context = context;
    return pthread_create(&thread->handle, NULL, pg_thread_main, thread);
}
static inline void pg_thread_join(pg_thread *thread) { (void)pthread_join(thread->handle, NULL); }
static inline int pg_cores(void) {
#if defined(__linux__) && defined(_GNU_SOURCE)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 && n < 4096 ? (int)n : 1;
}
#endif

/* In a loop that waits for another thread: it is not in a hurry. */
static inline void pg_relax(void) {
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    __builtin_ia32_pause();
#elif defined(__GNUC__) && defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#if defined(_MSC_VER)
#include <windows.h>
typedef struct {
    PVOID volatile at;
} pg_atomic_pointer;
typedef struct {
    volatile LONG n;
} pg_atomic_count;
static inline void *pg_exchange(pg_atomic_pointer *pointer, void *with) {
    return InterlockedExchangePointer(&pointer->at, with);
}
static inline void *pg_read(pg_atomic_pointer *pointer) {
    return InterlockedCompareExchangePointer(&pointer->at, NULL, NULL);
}
static inline unsigned pg_next(pg_atomic_count *count) { return (unsigned)InterlockedIncrement(&count->n) - 1u; }
#else
#include <stdatomic.h>
typedef struct {
    _Atomic(void *) at;
} pg_atomic_pointer;
typedef struct {
    atomic_uint n;
} pg_atomic_count;
/* Puts a pointer in the place of another, which it gives. All zero is NULL. */
static inline void *pg_exchange(pg_atomic_pointer *pointer, void *with) {
    return atomic_exchange_explicit(&pointer->at, with, memory_order_acq_rel);
}
static inline void *pg_read(pg_atomic_pointer *pointer) {
    return atomic_load_explicit(&pointer->at, memory_order_acquire);
}
/* 0, 1, 2, ...: each number once, whoever asks. */
static inline unsigned pg_next(pg_atomic_count *count) {
    return atomic_fetch_add_explicit(&count->n, 1u, memory_order_relaxed);
}
#endif

#endif
