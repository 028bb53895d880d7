/* program_isa.c: which instruction set the kernels of programs run with: the largest that the processor has, or the one
 * that the environment variable PYGRAD_ISA names, or that was asked for.
 *
 * The choice is for the whole process and changes no bit of any result. How sets differ is kernels.h's subject.
 */
#include "program_parts.h"

#include <stdlib.h>
#include <string.h>

static pg_atomic_pointer chosen; /* a const pg_kernels, or &none */
static const pg_kernels none;

static const pg_kernels *called(const char *name) {
    for (size_t i = 0; pg_kernel_sets[i]; i++)
        if (strcmp(pg_kernel_sets[i]->name, name) == 0) return pg_kernel_sets[i]->usable() ? pg_kernel_sets[i] : NULL;
    return NULL;
}

static const pg_kernels *largest(void) {
    const pg_kernels *found = NULL;
    for (size_t i = 0; pg_kernel_sets[i]; i++)
        if (pg_kernel_sets[i]->usable()) found = pg_kernel_sets[i];
    return found;
}

static const pg_kernels *asked_for(void) {
    const char *name = getenv("PYGRAD_ISA");
    return name && *name ? called(name) : largest();
}

const pg_kernels *pg_current_kernels(void) {
    const pg_kernels *now = pg_read(&chosen);
    if (!now) {
        now = asked_for();
        if (!now) now = &none;
        /* two threads may both have looked: they found the same */
        (void)pg_exchange(&chosen, (void *)(uintptr_t)now);
    }
    return now == &none ? NULL : now;
}

const char *pg_program_isa(void) {
    const pg_kernels *now = pg_current_kernels();
    return now ? now->name : NULL;
}

const char *pg_program_isa_usable(size_t i) {
    for (size_t k = 0; pg_kernel_sets[k]; k++)
        if (pg_kernel_sets[k]->usable() && i-- == 0) return pg_kernel_sets[k]->name;
    return NULL;
}

int pg_program_use_isa(const char *name) {
    const pg_kernels *found = name ? called(name) : asked_for();
    if (!found) return PG_ERR_ISA;
    (void)pg_exchange(&chosen, (void *)(uintptr_t)found);
    return PG_OK;
}
