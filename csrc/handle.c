/* handle.c: the life of handles: which one a node has, what the collector sees, what a release leaves to do; and the errors
 * and conversions of numbers that all of the binding uses. No operation is here.
 */
#include "handle.h"

pg_arena *arena;
PyTypeObject *value_type;
PyObject *as_data, *as_float, *operand_float, *op_error, *op_symbol, *bad_operand, *bad_hook, *as_children, *bad_init, *text,
    *changed, *is_recording, *getitem, *conversion, *looked, *is_tracing;
PyObject *notes;
PyObject *pins;

/* ---- handles ---- */

handle *spare[PG_SPARE_HANDLES];
int spare_count;

/* After a release: buries the dead that had notes, and lets go of pinned handles that nothing uses any more. */
void settle(void) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    for (pg_id id; (id = pg_limbo(arena)) != PG_NONE;) {
        PyObject *key = PyLong_FromUnsignedLong(id);
        if (!key || PyDict_DelItem(notes, key) < 0) PyErr_Clear();
        Py_XDECREF(key);
        pg_bury(arena, id);
    }
    if (arena->unpinned) {
        arena->unpinned = 0;
        PyObject *ids = PyDict_Keys(pins);
        for (Py_ssize_t i = 0; ids && i < PyList_Size(ids); i++) {
            PyObject *key = PyList_GetItem(ids, i);
            pg_id id = (pg_id)PyLong_AsUnsignedLong(key);
            /* letting go of one may run code that lets go of another, or pins it anew: so look each up */
            PyObject *pinned = PyDict_GetItemWithError(pins, key);
            if (!pinned || pg_uses(arena, id) != 1) continue;
            (void)pg_set_flags(arena, id, 0, PG_NODE_PINNED);
            if (PyDict_DelItem(pins, key) < 0) PyErr_Clear();
        }
        if (!ids) arena->unpinned = 1; /* for want of memory: next time */
        PyErr_Clear();
        Py_XDECREF(ids);
    }
    PyErr_Restore(type, value, traceback);
}

/* Releases what traced handles held. A chain of them is unwound here, not by recursion. */
void drop_traced(traced *first) {
    static traced *doomed;
    static int under_way;
    first->next = doomed;
    doomed = first;
    if (under_way) return;
    under_way = 1;
    while (doomed) {
        traced *next = doomed;
        doomed = next->next;
        Py_XDECREF(next->operands);
        Py_XDECREF(next->hook);
        Py_XDECREF(next->data);
        Py_XDECREF(next->grad);
        Py_XDECREF(next->record);
        PyMem_Free(next);
    }
    under_way = 0;
}

void value_dealloc(PyObject *object) {
    handle *self = (handle *)object;
    traced *held = traced_of(self);
    pg_id id = self->id;
    if (PG_UNLIKELY(held != NULL || !is_plain(self))) PyObject_GC_UnTrack(object);
    if (PG_LIKELY(id != PG_NONE)) detach(self);
    if (PG_UNLIKELY(self->weakrefs != NULL)) PyObject_ClearWeakRefs(object);
    if (PG_LIKELY(id != PG_NONE)) drop_node(id);
    if (PG_LIKELY(is_plain(self))) {
        if (PG_LIKELY(spare_count < PG_SPARE_HANDLES)) spare[spare_count++] = self;
        else PyObject_GC_Del(object);
        Py_DECREF(value_type);
    } else {
        PyTypeObject *type = Py_TYPE(object);
        freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
        release(object);
        Py_DECREF(type);
    }
    if (PG_UNLIKELY(held != NULL)) drop_traced(held);
}

int value_traverse(PyObject *object, visitproc visit, void *arg) {
    const traced *held = traced_of((handle *)object);
    Py_VISIT(Py_TYPE(object));
    if (held) {
        Py_VISIT(held->operands);
        Py_VISIT(held->hook);
        Py_VISIT(held->record);
    }
    return 0;
}

/* Every cycle runs through a hook, so dropping those is enough. */
int value_clear(PyObject *object) {
    traced *held = traced_of((handle *)object);
    if (held) Py_CLEAR(held->hook);
    return 0;
}

/* The handle a node has (new reference), or NULL. */
static PyObject *owner_of(pg_id id) {
    int flags = arena->nodes[id].flags;
    if (!(flags & PG_NODE_OWNED)) return NULL;
    void *owner = arena->owners[id];
    PyObject *object = (PyObject *)(flags & OWNER_IS_TRACED ? ((traced *)owner)->self : owner);
    Py_INCREF(object);
    return object;
}

/* The handle of a live node, a new one if it has none. */
PyObject *handle_of(pg_id id) {
    PyObject *owner = owner_of(id);
    if (owner) return owner;
    handle *self = handle_alloc();
    if (!self) return NULL;
    /* that may have run the collector, and with it code that asked for this very handle */
    owner = owner_of(id);
    if (owner) {
        Py_DECREF(self);
        return owner;
    }
    arena->nodes[id].refs++;
    attach(self, id);
    return (PyObject *)self;
}

static PyObject *held_operand_tuple(pg_id id) {
    pg_result count = pg_operands(arena, id, NULL, 0);
    PyObject *operands = PyTuple_New((Py_ssize_t)count);
    pg_id *ids = operands ? PyMem_Malloc((size_t)(count + 1) * sizeof *ids) : NULL;
    if (!ids) {
        Py_XDECREF(operands);
        return PyErr_NoMemory();
    }
    (void)pg_operands(arena, id, ids, (size_t)count);
    for (Py_ssize_t i = 0; i < (Py_ssize_t)count; i++) {
        PyObject *operand = handle_of(ids[i]);
        if (!operand || PyTuple_SetItem(operands, i, operand) < 0) {
            Py_CLEAR(operands);
            break;
        }
    }
    PyMem_Free(ids);
    return operands;
}

/* The handles of a node's operands. The caller's handle may get another node meanwhile, so this one is held. */
PyObject *operand_tuple(pg_id id) {
    arena->nodes[id].refs++;
    PyObject *operands = held_operand_tuple(id);
    drop_node(id);
    return operands;
}

/* From now on the collector sees this handle. */
int trace(handle *self) {
    if (self->traced) return 0;
    pg_id id = self->id;
    traced *held = PyMem_Malloc(sizeof *held);
    PyObject *operands = held ? operand_tuple(id) : PyErr_NoMemory();
    if (!operands) {
        PyMem_Free(held);
        return -1;
    }
    if (self->traced || self->id != id) { /* the collector ran, and code that was here before us */
        Py_DECREF(operands);
        PyMem_Free(held);
        return self->id == id ? 0 : trace(self);
    }
    *held = (traced){.self = self, .operands = operands};
    self->traced = 1;
    arena->owners[self->id] = held;
    arena->nodes[self->id].flags |= PG_NODE_TRACED | OWNER_IS_TRACED;
    if (!PyObject_GC_IsTracked((PyObject *)self)) PyObject_GC_Track((PyObject *)self);
    return 0;
}

/* Within no_grad(): a node just computed becomes a leaf. Where that cannot be asked, it is dropped, with an error set. */
pg_result unrecorded(pg_result made) {
    pg_id id = PG_RESULT_ID(made);
    int record = recorded();
    if (record > 0) return made;
    if (record < 0) {
        drop_node(id);
        return PG_ERR_OP;
    }
    arena->unpinned |= (pg_forget(arena, id) & PG_AFTER_UNPINNED) != 0;
    if (PG_UNLIKELY(arena->limbo != PG_NONE || arena->unpinned)) settle();
    return (pg_result)id;
}

/* ---- errors ---- */

/* Raises an exception that the Python side made; NULL, as what is returned on error. */
PyObject *raise_error(PyObject *error) {
    if (error) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

PyObject *raise_status(int status, int op, double x, double y) {
    if (status == PG_ERR_NOMEM) return PyErr_NoMemory();
    if (status == PG_ERR_FULL) return PyErr_Format(PyExc_MemoryError, "%s", pg_status_text(status));
    if (status >= PG_ERR_OP) {
        PyErr_Format(PyExc_RuntimeError, "pygrad: %s", pg_status_text(status));
        return NULL;
    }
    return raise_error(PyObject_CallFunction(op_error, "sidd", pg_op_describe(op)->name, status, x, y));
}

/* A named method's operand must be a Value or a number: there is no other operand to ask. */
PyObject *checked(PyObject *result, const char *name, PyObject *operand) {
    if (result != Py_NotImplemented) return result;
    Py_DECREF(result);
    return raise_error(PyObject_CallFunction(bad_operand, "sO", name, operand));
}

/* ---- numbers ---- */

/* A plain number: 1, or -1 with an error set. `what` names it in the error. */
int to_double(PyObject *object, const char *what, double *number) {
    if (PG_LIKELY(PyFloat_CheckExact(object))) {
        *number = PyFloat_AsDouble(object);
        return 1;
    }
    PyObject *converted = PyObject_CallFunction(as_float, "Os", object, what);
    if (!converted) return -1;
    *number = PyFloat_AsDouble(converted);
    Py_DECREF(converted);
    return *number == -1.0 && PyErr_Occurred() ? -1 : 1;
}

/* An operand that is not a Value: 1 if it is a number, 0 if Python should ask the other operand, -1 on error. */
int operand_number_of_any(PyObject *object, double *number) {
    if (PyLong_CheckExact(object)) {
        *number = PyLong_AsDouble(object);
        return *number == -1.0 && PyErr_Occurred() ? -1 : 1;
    }
    PyObject *converted = PyObject_CallFunction(operand_float, "OO", object, (PyObject *)value_type);
    if (!converted) return -1;
    int known = converted != Py_NotImplemented;
    if (known) *number = PyFloat_AsDouble(converted);
    Py_DECREF(converted);
    return known && *number == -1.0 && PyErr_Occurred() ? -1 : known;
}
