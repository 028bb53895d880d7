/* formulas_standin.c: pg_exact_formulas until formulas_exact.c is there. */
#include "formulas_standin.inc"

const pg_formulas pg_exact_formulas = PG_FORMULAS;
