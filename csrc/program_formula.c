/* program_formula.c: one formula of the kernels on plain arrays, for tests and measurements of the vector functions.
 *
 * Nothing else calls this: programs find their loops in kernels.h's tables.
 */
#include "kernels_sets.h"

#include <string.h>

/* What the third argument of pg_program_formula chooses; as the forms of program.h. */
enum { VALUE, DX, DY };

static const pg_formulas *formulas_of(const char *set) {
    if (!strcmp(set, "libm")) return &pg_exact_formulas;
    for (size_t i = 0; pg_kernel_sets[i]; i++)
        if (!strcmp(pg_kernel_sets[i]->name, set) && pg_kernel_sets[i]->usable()) return &pg_kernel_sets[i]->fast;
    return NULL;
}

int pg_program_formula(const char *set, int op, int form, double k, size_t n, const double *const *operands,
                       double *z) {
    static const uint32_t slots[] = {0, 1, 2};
    const pg_formulas *formulas = formulas_of(set);
    if (!formulas) return PG_ERR_ISA;
    if (op < 0 || op >= PG_OP_COUNT || form < VALUE || form > DY) return PG_ERR_OP;
    if (op == PG_OP_LOGSUMEXP && form == VALUE) {
        formulas->logsumexp(z, operands[0], slots, 3, n);
        return PG_OK;
    }
    pg_elementwise *formula = form == VALUE ? formulas->value[op] : form == DX ? formulas->dx[op] : formulas->dy[op];
    if (!formula) return PG_ERR_OP;
    formula(z, operands[0], operands[1], operands[2], operands[3], k, n);
    return PG_OK;
}
