/* value_listing.c: what recording a function for a program needs of the native Value: whether one is under way, and the
 * recorded graph as arrays (listing.c).
 *
 * What may be looked at meanwhile, and what is said where it may not, is pygrad/_tracing.py's business.
 */
#include "handle.h"

int tracing;

PyObject *value_trace(PyObject *unused, PyObject *count) {
    (void)unused;
    long number = PyLong_AsLong(count);
    if (number == -1 && PyErr_Occurred()) return NULL;
    tracing = number > 0;
    Py_RETURN_NONE;
}

int traced_here(void) {
    PyObject *answer = PyObject_CallFunctionObjArgs(is_tracing, NULL);
    int status = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return status;
}

int refuse(PyObject *value, const char *what) {
    PyObject *done = PyObject_CallFunction(looked, "Os", value, what);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

PyObject *get_holds_array(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(holds_array(self));
}

PyObject *value_births(PyObject *unused, PyObject *unused2) {
    (void)unused, (void)unused2;
    return PyLong_FromUnsignedLongLong(pg_births(arena));
}

PyObject *value_depends(PyObject *self, PyObject *birth) {
    unsigned long long number = PyLong_AsUnsignedLongLong(birth);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
    pg_result found = pg_depends(arena, ID(self), number);
    return found < 0 ? raise_status((int)found, PG_OP_LEAF, 0.0, 0.0) : PyBool_FromLong(found == 1);
}

/* {position: Value} of the leaves born no later than that, and of what a program cannot compute by itself. */
static PyObject *named_values(const pg_listing *listing, unsigned long long birth) {
    PyObject *values = PyDict_New();
    for (size_t i = 0; values && i < listing->nodes; i++) {
        int op = listing->ops[i];
        int named = i < listing->leaves ? listing->births[i] <= birth : op == PG_OP_USER || op == PG_OP_ARRAY;
        if (!named && !listing->flags[i]) continue;
        PyObject *key = PyLong_FromSize_t(i), *value = key ? handle_of(listing->ids[i]) : NULL;
        if (!value || PyDict_SetItem(values, key, value) < 0) Py_CLEAR(values);
        Py_XDECREF(value);
        Py_XDECREF(key);
    }
    return values;
}

static PyObject *bytes_of(const void *memory, size_t count, size_t size) {
    return PyBytes_FromStringAndSize(memory, (Py_ssize_t)(count * size));
}

/* _listing(roots, birth): see pygrad/_listing.py */
PyObject *value_listing(PyObject *unused, PyObject *args) {
    (void)unused;
    PyObject *roots;
    unsigned long long birth;
    operand_list list;
    int status;
    if (!PyArg_ParseTuple(args, "O!K:_listing", &PyList_Type, &roots, &birth)) return NULL;
    int quick = operands_quick(&list, roots);
    if (quick == 0) PyErr_SetString(PyExc_TypeError, "_listing: expected a list of Values of the same backend");
    if (quick <= 0) return NULL;
    pg_listing *listing = pg_listing_new(arena, list.ids, list.count, &status);
    operands_drop(&list);
    if (!listing) return raise_status(status, PG_OP_LEAF, 0.0, 0.0);
    size_t nodes = listing->nodes;
    PyObject *values = named_values(listing, birth), *result = NULL;
    if (values)
        result = Py_BuildValue("nNNNNNNNN", (Py_ssize_t)listing->leaves, bytes_of(listing->ops, nodes, 1),
                               bytes_of(listing->flags, nodes, 1),
                               bytes_of(listing->starts, nodes + 1, sizeof *listing->starts),
                               bytes_of(listing->operands, (size_t)listing->starts[nodes], sizeof *listing->operands),
                               bytes_of(listing->numbers, nodes, sizeof *listing->numbers),
                               bytes_of(listing->births, listing->leaves, sizeof *listing->births),
                               bytes_of(listing->root_at, listing->roots, sizeof *listing->root_at), values);
    pg_listing_free(listing);
    return result;
}
