/* formulas_exact.c: the formulas of ops.h as loops over lanes, with libm, as the graph engine has them.
 *
 * What programs run with exact=True. One table for all instruction sets: libm chooses its own.
 */
#define PG_EXACT_MATH
#include "formulas.inc"

const pg_formulas pg_exact_formulas = PG_FORMULAS;
