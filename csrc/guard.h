/* guard.h: what public functions of the C API begin and end with: the lock, the look at ids, the aftermath.
 *
 * Internal to csrc/, for the files that implement pygrad.h.
 */
#ifndef PG_GUARD_H
#define PG_GUARD_H

#include "arena.h"

static inline void enter(pg_arena *arena) {
    if (arena->locked) pg_mutex_lock(&arena->mutex);
}

static inline pg_result leave(pg_arena *arena, pg_result result) {
    if (arena->locked) pg_mutex_unlock(&arena->mutex);
    return result;
}

static inline int all_alive(const pg_arena *arena, const pg_id *ids, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!pg_alive(arena, ids[i])) return 0;
    return 1;
}

/* What a release leaves for the binding to do, as bits. */
static inline pg_result aftermath(pg_arena *arena) {
    pg_result result = (arena->limbo != PG_NONE ? PG_AFTER_LIMBO : 0) | (arena->unpinned ? PG_AFTER_UNPINNED : 0);
    arena->unpinned = 0;
    return result;
}

#endif
