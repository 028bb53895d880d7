/* native.h: how the cffi module reaches value.c. Nothing but that one function: value.c is not part of the C API.
 */
#ifndef PG_NATIVE_H
#define PG_NATIVE_H

#include <stdint.h>

/* module: the address of a Python module with the helper functions; gets the attribute Value. Takes the GIL.
 * -1 if that failed (the exception went to sys.unraisablehook). */
int pg_python_install(uintptr_t module);

#endif
