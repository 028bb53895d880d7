/* test_open.c: what pygrad.h promises and csrc does not keep yet. Fails on purpose (make open); no part of make check.
 *
 * A test that passes here belongs into the file of its subject.
 */
#include "check.h"

/* "Any other is left alone": pg_bury of a slot never handed out looks at flags that nobody has set. What they hold is
 * what the memory held before; here it is made to hold 0x80. glibc hands a freed block out again as it is. */
static void test_bury_of_a_slot_never_used(void) {
    for (int round = 0; round < 2; round++) { /* the first free() makes glibc take such blocks from the heap */
        volatile unsigned char *block = check_memory(300000, 1);
        for (size_t i = 0; i < 300000; i++) block[i] = 0x80;
        free((void *)block);
    }
    pg_arena *arena = check_arena(0);
    pg_id x = MADE(pg_leaf(arena, 1.0));
    pg_bury(arena, 100);
    CHECK_INT(LIVE(arena), 1);
    pg_id y = MADE(pg_leaf(arena, 2.0));
    CHECK(y != 100);
    CHECK_INT(pg_release(arena, x), 0);
    CHECK_INT(pg_release(arena, y), 0);
    CHECK_INT(LIVE(arena), 0);
    pg_arena_free(arena);
}

int main(void) {
    test_bury_of_a_slot_never_used();
    return check_finish();
}
