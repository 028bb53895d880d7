/* value.c: the native `Value`: a Python type whose instances are handles on the nodes of one arena.
 *
 * The one file that includes Python.h (limited API, 3.10 on). Does what pygrad/_handle.py does in Python, with
 * the same results; what is rare, or the same on every backend, is left to the Python functions that
 * pg_python_install is given. Every function here runs with the GIL held, which guards the arena too.
 *
 * Invariants
 *   - A node has at most one handle: owners[id], valid where PG_NODE_OWNED is set; so identity holds.
 *   - A handle holds one count of its node, a leaf of 0.0 until __init__ has run. Only a handle that is being made
 *     or taken apart has none (PG_NONE).
 *   - Handles have a garbage-collector header, but are tracked only if *traced*: their node has a hook (a
 *     Python closure, which may refer to anything), or stands downstream of one. A traced handle holds its
 *     operands' handles, as a Python tuple, and its hook: so every cycle, which must run through a hook, is
 *     made of objects that the collector sees, and all of them can be collected. Handles upstream of every
 *     hook cannot be part of a cycle.
 *   - A hook that is set when untraced nodes already use its node is *pinned*: the handle stays in `pins`
 *     until those uses end.
 */
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030a0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
/* after Python.h, which must come first */
#include <structmember.h>

#include "graph.h"
#include "native.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    pg_id id;
    uint8_t traced;
    uint8_t initialised; /* __init__ has run */
    uint8_t subtype;     /* made as an instance of a subclass: tracked by the collector from the start */
} handle;

/* What a traced handle holds. In owners[] it takes the handle's place (OWNER_IS_TRACED): few handles are traced,
 * and the others stay small. */
typedef struct {
    handle *self;
    PyObject *operands; /* tuple of Values */
    PyObject *hook;     /* callable, or NULL */
    void *next;         /* while its release is under way */
} traced;

#define OWNER_IS_TRACED PG_NODE_BINDING

static pg_arena *arena;
static PyTypeObject *value_type;
/* From the Python side, see pygrad/_native.py. */
static PyObject *as_float, *operand_float, *op_error, *op_symbol, *bad_operand, *bad_hook, *as_children, *bad_init, *text, *changed;
/* {id: (label, op)} of the nodes that have one: alive as long as the node. */
static PyObject *notes;
/* {id: handle} of the nodes whose handle must not die before their users. */
static PyObject *pins;

#define ID(object) (((handle *)(object))->id)
#define NODE(object) (&arena->nodes[ID(object)])

PG_INLINE int is_value(PyObject *object) {
    return PG_LIKELY(Py_TYPE(object) == value_type) || PyType_IsSubtype(Py_TYPE(object), value_type);
}

/* ---- handles ---- */

#define PG_SPARE_HANDLES 4096
static handle *spare[PG_SPARE_HANDLES]; /* dead handles of the exact type, untracked */
static int spare_count;

PG_INLINE handle *handle_alloc(void) {
    handle *self;
    if (PG_LIKELY(spare_count > 0)) {
        self = spare[--spare_count];
        (void)PyObject_Init((PyObject *)self, value_type);
    } else {
        self = PyObject_GC_New(handle, value_type);
        if (!self) return NULL;
    }
    self->weakrefs = NULL;
    self->traced = 0;
    self->id = PG_NONE;
    self->initialised = 0;
    self->subtype = 0;
    return self;
}

PG_INLINE void attach(handle *self, pg_id id) {
    self->id = id;
    arena->owners[id] = self;
    arena->nodes[id].flags |= PG_NODE_OWNED;
}

/* Of a handle that no subclass has touched; __class__ may have been assigned meanwhile, either way. */
PG_INLINE int is_plain(const handle *self) { return Py_TYPE((PyObject *)self) == value_type && !self->subtype; }

/* What a traced handle holds; NULL for any other. */
PG_INLINE traced *traced_of(const handle *self) { return self->traced ? arena->owners[self->id] : NULL; }

/* The handle leaves its node, which may live on. */
PG_INLINE void detach(const handle *self) {
    arena->nodes[self->id].flags &= (uint8_t)~(PG_NODE_OWNED | OWNER_IS_TRACED);
}

/* After a release: buries the dead that had notes, and lets go of pinned handles that nothing uses any more. */
static void settle(void) {
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

PG_INLINE void drop_node(pg_id id) {
    pg_unref(arena, id);
    if (PG_UNLIKELY(arena->limbo != PG_NONE || arena->unpinned)) settle();
}

/* Releases what traced handles held. A chain of them is unwound here, not by recursion. */
static void drop_traced(traced *first) {
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
        PyMem_Free(next);
    }
    under_way = 0;
}

static void value_dealloc(PyObject *object) {
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

static int value_traverse(PyObject *object, visitproc visit, void *arg) {
    const traced *held = traced_of((handle *)object);
    Py_VISIT(Py_TYPE(object));
    if (held) {
        Py_VISIT(held->operands);
        Py_VISIT(held->hook);
    }
    return 0;
}

/* Every cycle runs through a hook, so dropping those is enough. */
static int value_clear(PyObject *object) {
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
static PyObject *handle_of(pg_id id) {
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
static PyObject *operand_tuple(pg_id id) {
    arena->nodes[id].refs++;
    PyObject *operands = held_operand_tuple(id);
    drop_node(id);
    return operands;
}

/* From now on the collector sees this handle. */
static int trace(handle *self) {
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

/* ---- errors ---- */

/* Raises an exception that the Python side made; NULL, as what is returned on error. */
static PyObject *raise_error(PyObject *error) {
    if (error) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyObject *raise_status(int status, int op, double x, double y) {
    if (status == PG_ERR_NOMEM) return PyErr_NoMemory();
    if (status == PG_ERR_FULL) return PyErr_Format(PyExc_MemoryError, "%s", pg_status_text(status));
    if (status >= PG_ERR_OP) {
        PyErr_Format(PyExc_RuntimeError, "pygrad: %s", pg_status_text(status));
        return NULL;
    }
    return raise_error(PyObject_CallFunction(op_error, "sidd", pg_op_describe(op)->name, status, x, y));
}

static PyObject *failed(pg_result status, int op, PyObject *x, PyObject *y, double number, int left) {
    double dx = x ? NODE(x)->data : 0.0, dy = y ? NODE(y)->data : number;
    return left ? raise_status((int)status, op, dy, dx) : raise_status((int)status, op, dx, dy);
}

/* ---- numbers ---- */

/* A plain number: 1, or -1 with an error set. `what` names it in the error. */
static int to_double(PyObject *object, const char *what, double *number) {
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
static int operand_number(PyObject *object, double *number) {
    if (PG_LIKELY(PyFloat_CheckExact(object))) {
        *number = PyFloat_AsDouble(object);
        return 1;
    }
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

/* ---- operations ---- */

/* The handle of a node just made, which owns the count that came with it. */
PG_INLINE PyObject *wrap(pg_result made) {
    pg_id id = PG_RESULT_ID(made);
    handle *self = handle_alloc();
    if (PG_UNLIKELY(!self)) {
        pg_unref(arena, id);
        return NULL;
    }
    attach(self, id);
    if (PG_UNLIKELY(made & PG_RESULT_TRACED) && trace(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

PG_INLINE PyObject *unary(int op, PyObject *x) {
    pg_result made = pg_apply_unary(arena, op, ID(x));
    return PG_LIKELY(made >= 0) ? wrap(made) : failed(made, op, x, NULL, 0.0, 0);
}

PG_INLINE PyObject *with_constant(int op, PyObject *x, double k) {
    pg_result made = pg_apply_number(arena, op, ID(x), k, 0, 1);
    return PG_LIKELY(made >= 0) ? wrap(made) : failed(made, op, x, NULL, k, 0);
}

PG_INLINE PyObject *with_number(int op, PyObject *x, double number, int left) {
    pg_result made = pg_apply_number(arena, op, ID(x), number, left, 0);
    return PG_LIKELY(made >= 0) ? wrap(made) : failed(made, op, x, NULL, number, left);
}

PG_INLINE PyObject *of_values(int op, PyObject *x, PyObject *y) {
    pg_result made = pg_apply_binary(arena, op, ID(x), ID(y));
    return PG_LIKELY(made >= 0) ? wrap(made) : failed(made, op, x, y, 0.0, 0);
}

/* A number slot: at least one of x and y is a Value. */
PG_INLINE PyObject *binary(int op, PyObject *x, PyObject *y) {
    double number;
    if (PG_LIKELY(is_value(x))) {
        if (PG_LIKELY(is_value(y))) return of_values(op, x, y);
        int known = operand_number(y, &number);
        if (PG_LIKELY(known > 0)) return with_number(op, x, number, 0);
        if (known < 0) return NULL;
    } else {
        int known = operand_number(x, &number);
        if (PG_LIKELY(known > 0)) return with_number(op, y, number, 1);
        if (known < 0) return NULL;
    }
    Py_INCREF(Py_NotImplemented);
    return Py_NotImplemented;
}

static PyObject *power(PyObject *x, PyObject *y) {
    double exponent;
    if (!is_value(x) || is_value(y)) return binary(PG_OP_POW, x, y);
    int known = operand_number(y, &exponent);
    if (known > 0) return with_constant(PG_OP_POW_CONST, x, exponent);
    if (known < 0) return NULL;
    Py_INCREF(Py_NotImplemented);
    return Py_NotImplemented;
}

static PyObject *slot_power(PyObject *x, PyObject *y, PyObject *modulus) {
    if (modulus == Py_None) return power(x, y);
    Py_INCREF(Py_NotImplemented);
    return Py_NotImplemented;
}

static PyObject *slot_add(PyObject *x, PyObject *y) { return binary(PG_OP_ADD, x, y); }
static PyObject *slot_sub(PyObject *x, PyObject *y) { return binary(PG_OP_SUB, x, y); }
static PyObject *slot_mul(PyObject *x, PyObject *y) { return binary(PG_OP_MUL, x, y); }
static PyObject *slot_div(PyObject *x, PyObject *y) { return binary(PG_OP_DIV, x, y); }
static PyObject *slot_neg(PyObject *x) { return unary(PG_OP_NEG, x); }
static PyObject *slot_abs(PyObject *x) { return unary(PG_OP_ABS, x); }
static PyObject *slot_float(PyObject *x) { return PyFloat_FromDouble(NODE(x)->data); }

static PyObject *slot_pos(PyObject *x) {
    Py_INCREF(x);
    return x;
}

/* A named method's operand must be a Value or a number: there is no other operand to ask. */
static PyObject *checked(PyObject *result, const char *name, PyObject *operand) {
    if (result != Py_NotImplemented) return result;
    Py_DECREF(result);
    return raise_error(PyObject_CallFunction(bad_operand, "sO", name, operand));
}

/* Methods, one a row of the table. ORDER OP: all from ops.h */
#define PG_METHOD_S(code, ID_, name, symbol)
#define PG_METHOD_U(code, ID_, name, symbol, doc, STATUS, VALUE, DX) \
    static PyObject *method_##ID_(PyObject *self, PyObject *unused) { \
        (void)unused;                                                 \
        return unary(PG_OP_##ID_, self);                              \
    }
#define PG_METHOD_K(code, ID_, name, symbol, doc, constant, DEFAULT, STATUS, VALUE, DX)             \
    static PyObject *method_##ID_(PyObject *self, PyObject *args, PyObject *kwargs) {               \
        static char *keywords[] = {constant, NULL};                                                 \
        PyObject *given = NULL;                                                                     \
        double k = DEFAULT;                                                                         \
        if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:" name, keywords, &given)) return NULL;  \
        if (given && to_double(given, constant, &k) < 0) return NULL;                               \
        return with_constant(PG_OP_##ID_, self, k);                                                 \
    }
#define PG_METHOD_B(code, ID_, name, symbol, doc, STATUS, VALUE, DX, DY)    \
    static PyObject *method_##ID_(PyObject *self, PyObject *other) {        \
        PyObject *result = code == PG_OP_POW ? power(self, other) : binary(PG_OP_##ID_, self, other); \
        return checked(result, name, other);                                \
    }
#define PG_METHOD_N(code, ID_, name, symbol, doc, TERM, DX, DY)
#define PG_METHOD_R(code, ID_, name, symbol, doc, TERM, VALUE, DX)
PG_OP_TABLE(PG_METHOD_S, PG_METHOD_U, PG_METHOD_K, PG_METHOD_B, PG_METHOD_N, PG_METHOD_R)

/* ---- n-ary ---- */

typedef struct {
    PyObject *values; /* holds the Values alive; NULL where nothing can run that might drop them */
    pg_id *ids;
    size_t count;
    pg_id few[64];
} operand_list;

static void operands_drop(operand_list *list) {
    if (list->ids != list->few) PyMem_Free(list->ids);
    Py_XDECREF(list->values);
}

static int operands_reserve(operand_list *list, Py_ssize_t count) {
    *list = (operand_list){.count = (size_t)count};
    list->ids = list->few;
    if ((size_t)count > sizeof list->few / sizeof *list->few)
        list->ids = PyMem_Malloc((size_t)count * sizeof *list->ids);
    if (list->ids) return 0;
    (void)PyErr_NoMemory();
    return -1;
}

/* One operand of an n-ary op, as a Value (new reference). */
static PyObject *operand_value(PyObject *item, const char *what) {
    if (is_value(item)) {
        Py_INCREF(item);
        return item;
    }
    double number;
    int known = operand_number(item, &number);
    if (known < 0) return NULL;
    if (known == 0) {
        Py_INCREF(Py_NotImplemented);
        return checked(Py_NotImplemented, what, item);
    }
    pg_id id = pg_leaf_node(arena, number);
    return id == PG_NONE ? raise_status(pg_take_error(arena), PG_OP_LEAF, 0.0, 0.0) : wrap((pg_result)id);
}

/* A list, also of a subclass that does not change how it is read. */
PG_INLINE int iterates_as_list(PyObject *sequence) {
    if (PG_LIKELY(PyList_CheckExact(sequence))) return 1;
    return PyList_Check(sequence) &&
           PyType_GetSlot(Py_TYPE(sequence), Py_tp_iter) == PyType_GetSlot(&PyList_Type, Py_tp_iter);
}

/* The usual case: a list or tuple of Values only, whose ids are read without running any Python code. 1 if it was
 * that and the list is filled, 0 if not, -1 on error. Valid until Python code runs. */
static int operands_quick(operand_list *list, PyObject *sequence) {
    int is_list = iterates_as_list(sequence);
    if (!is_list && !PyTuple_CheckExact(sequence)) return 0;
    Py_ssize_t count = is_list ? PyList_Size(sequence) : PyTuple_Size(sequence);
    if (operands_reserve(list, count) < 0) return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = is_list ? PyList_GetItem(sequence, i) : PyTuple_GetItem(sequence, i);
        if (PG_UNLIKELY(!is_value(item))) {
            operands_drop(list);
            return 0;
        }
        list->ids[i] = ID(item);
    }
    return 1;
}

/* A new list of the Values of any iterable, in which numbers have become leaves. */
static PyObject *operand_values(PyObject *sequence, const char *what) {
    PyObject *iterator = PyObject_GetIter(sequence);
    PyObject *values = iterator ? PyList_New(0) : NULL;
    for (PyObject *item; values && (item = PyIter_Next(iterator)) != NULL; Py_DECREF(item)) {
        PyObject *value = operand_value(item, what);
        if (!value || PyList_Append(values, value) < 0) Py_CLEAR(values);
        Py_XDECREF(value);
    }
    Py_XDECREF(iterator);
    if (PyErr_Occurred()) Py_CLEAR(values);
    return values;
}

/* Fills the list from any iterable of Values and numbers, and holds them: more Python code may run. */
static int operands_from(operand_list *list, PyObject *sequence, const char *what) {
    PyObject *values = operand_values(sequence, what);
    if (!values) {
        *list = (operand_list){.ids = list->few};
        return -1;
    }
    int status = operands_quick(list, values);
    if (status <= 0) *list = (operand_list){.ids = list->few};
    list->values = values;
    return status > 0 ? 0 : -1;
}

static PyObject *reduced(PyObject *values, int op, pg_result (*apply)(pg_arena *, const pg_id *, size_t)) {
    operand_list x;
    PyObject *result = NULL;
    int quick = operands_quick(&x, values);
    if (quick < 0) return NULL;
    if (quick || operands_from(&x, values, pg_op_describe(op)->name) == 0) {
        pg_result made = apply(arena, x.ids, x.count);
        result = made >= 0 ? wrap(made) : raise_status((int)made, op, 0.0, 0.0);
    }
    operands_drop(&x);
    return result;
}

static PyObject *value_sum(PyObject *unused, PyObject *values) {
    (void)unused;
    return reduced(values, PG_OP_SUM, pg_apply_sum);
}

static PyObject *value_logsumexp(PyObject *unused, PyObject *values) {
    (void)unused;
    return reduced(values, PG_OP_LOGSUMEXP, pg_apply_logsumexp);
}

static PyObject *dot_of(const operand_list *w, const operand_list *x, pg_id bias) {
    if (w->count != x->count)
        return PyErr_Format(PyExc_ValueError, "dot: %zu weights, but %zu inputs", w->count, x->count);
    pg_result made = pg_apply_dot(arena, w->ids, x->ids, w->count, bias);
    return made >= 0 ? wrap(made) : raise_status((int)made, PG_OP_DOT, 0.0, 0.0);
}

/* dot where something must be converted first. */
static PyObject *dot_slow(PyObject *weights, PyObject *inputs, PyObject *bias) {
    PyObject *start = NULL;
    if (bias != Py_None && !(start = operand_value(bias, "dot"))) return NULL;
    operand_list w, x;
    PyObject *result = NULL;
    if (operands_from(&w, weights, "dot") == 0) {
        if (operands_from(&x, inputs, "dot") == 0) result = dot_of(&w, &x, start ? ID(start) : PG_NONE);
        operands_drop(&x);
    }
    operands_drop(&w);
    Py_XDECREF(start);
    return result;
}

static PyObject *dot(PyObject *weights, PyObject *inputs, PyObject *bias) {
    operand_list w, x;
    if (bias != Py_None && !is_value(bias)) return dot_slow(weights, inputs, bias);
    int quick = operands_quick(&w, weights);
    if (quick <= 0) return quick < 0 ? NULL : dot_slow(weights, inputs, bias);
    quick = operands_quick(&x, inputs);
    PyObject *result = NULL;
    if (quick > 0) {
        result = dot_of(&w, &x, bias == Py_None ? PG_NONE : ID(bias));
        operands_drop(&x);
    }
    operands_drop(&w);
    return quick == 0 ? dot_slow(weights, inputs, bias) : result;
}

/* The names are looked at only where they are used: positions are what nn.py calls with. */
static PyObject *value_dot(PyObject *unused, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    static const char *const keywords[] = {"weights", "inputs", "bias"};
    PyObject *given[3] = {NULL, NULL, Py_None};
    (void)unused;
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    if (count > 3) return PyErr_Format(PyExc_TypeError, "dot() takes at most 3 arguments (%zd given)", count);
    for (Py_ssize_t i = 0; i < count; i++) given[i] = args[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int which = 0;
        while (which < 3 && PyUnicode_CompareWithASCIIString(name, keywords[which]) != 0) which++;
        if (which == 3) return PyErr_Format(PyExc_TypeError, "dot() has no argument %R", name);
        if (which < count) return PyErr_Format(PyExc_TypeError, "dot() got two values for %R", name);
        given[which] = args[count + i];
    }
    for (int which = 0; which < 2; which++)
        if (!given[which]) return PyErr_Format(PyExc_TypeError, "dot() is missing %s", keywords[which]);
    return dot(given[0], given[1], given[2]);
}

static PyObject *value_operands(PyObject *unused, PyObject *args) {
    const char *what;
    PyObject *sequence;
    (void)unused;
    return PyArg_ParseTuple(args, "sO:_as_operands", &what, &sequence) ? operand_values(sequence, what) : NULL;
}

/* ---- layers ---- */

typedef struct {
    size_t count;
    size_t nout; /* of the last */
    pg_layer *layers[];
} network;

static const char network_name[] = "pygrad.layers";

static void network_free(PyObject *capsule) {
    network *net = PyCapsule_GetPointer(capsule, network_name);
    if (!net) return;
    for (size_t i = 0; i < net->count; i++) arena->unpinned |= (pg_layer_free(net->layers[i]) & PG_AFTER_UNPINNED) != 0;
    PyMem_Free(net);
    if (PG_UNLIKELY(arena->limbo != PG_NONE || arena->unpinned)) settle();
}

/* The nodes just made, as a list of handles, or as the one handle. */
static PyObject *wrap_outputs(const pg_id *ids, size_t n) {
    if (n == 1) return wrap((pg_result)ids[0]);
    PyObject *result = PyList_New((Py_ssize_t)n);
    size_t done = 0;
    while (result && done < n) {
        PyObject *v = wrap((pg_result)ids[done++]);
        if (!v || PyList_SetItem(result, (Py_ssize_t)done - 1, v) < 0) Py_CLEAR(result);
    }
    for (; done < n; done++) drop_node(ids[done]);
    return result;
}

static PyObject *not_quick(operand_list *list) {
    operands_drop(list);
    Py_INCREF(Py_NotImplemented);
    return Py_NotImplemented;
}

/* What _layers gives, called: x is a list or tuple of Values and floats, and nothing here runs Python code until the
 * nodes are made. NotImplemented for all that needs more care. */
static PyObject *network_call(PyObject *capsule, PyObject *x) {
    const network *net = PyCapsule_GetPointer(capsule, network_name);
    int is_list = iterates_as_list(x);
    operand_list list = {.ids = list.few};
    if (!net) return NULL;
    if (!is_list && !PyTuple_CheckExact(x)) return not_quick(&list);
    double few[sizeof list.few / sizeof *list.few], *numbers = few;
    Py_ssize_t n = is_list ? PyList_Size(x) : PyTuple_Size(x);
    size_t room = (size_t)n > net->nout ? (size_t)n : net->nout;
    if (operands_reserve(&list, (Py_ssize_t)room) < 0) return NULL;
    if (list.ids != list.few && !(numbers = PyMem_Malloc(room * sizeof *numbers))) {
        operands_drop(&list);
        return PyErr_NoMemory();
    }
    Py_ssize_t i = 0;
    for (; i < n; i++) {
        PyObject *item = is_list ? PyList_GetItem(x, i) : PyTuple_GetItem(x, i);
        list.ids[i] = PG_NONE;
        if (PyFloat_CheckExact(item)) numbers[i] = PyFloat_AsDouble(item);
        else if (is_value(item)) list.ids[i] = ID(item);
        else break;
    }
    pg_id *out = list.ids; /* the inputs are read before the outputs are written */
    pg_result status = i < n ? PG_ERR_OP : pg_layers_apply(net->layers, net->count, list.ids, numbers, (size_t)n, out);
    if (numbers != few) PyMem_Free(numbers);
    if (status == PG_ERR_OP) return not_quick(&list);
    PyObject *result = status < 0 ? raise_status((int)status, PG_OP_DOT, 0.0, 0.0) : wrap_outputs(out, net->nout);
    operands_drop(&list);
    return result;
}

static PyMethodDef network_def = {"layers", network_call, METH_O,
                                  "layers(x, /)\n--\n\nThe last layer's outputs, or NotImplemented."};

static int find_op(const char *name) {
    for (int op = 0; op < (int)pg_op_count(); op++)
        if (strcmp(pg_op_describe(op)->name, name) == 0) return op;
    return -1;
}

/* (parameters, nin, nout, activation, constant); parameters: a list of nout rows of nin weights and the bias. NULL without
 * an error set if one stands downstream of a hook. */
static pg_layer *layer_from(PyObject *description, size_t *nout) {
    PyObject *parameters;
    Py_ssize_t inputs, outputs;
    const char *activation;
    double constant;
    if (!PyArg_ParseTuple(description, "O!nnsd:_layers", &PyList_Type, &parameters, &inputs, &outputs, &activation,
                          &constant))
        return NULL;
    operand_list list;
    int quick = operands_quick(&list, parameters);
    if (quick < 0) return NULL;
    pg_layer *layer = NULL;
    int status = PG_ERR_ID, op = strcmp(activation, "linear") == 0 ? 0 : find_op(activation);
    if (quick && inputs >= 0 && outputs >= 0 && inputs < PG_MAX_NODES && outputs < PG_MAX_NODES && op >= 0 &&
        list.count == ((size_t)inputs + 1) * (size_t)outputs)
        layer = pg_layer_new(arena, list.ids, (size_t)inputs, (size_t)outputs, op, constant, &status);
    if (quick) operands_drop(&list);
    if (!layer && status != PG_ERR_OP) (void)raise_status(status, PG_OP_DOT, 0.0, 0.0);
    *nout = (size_t)outputs;
    return layer;
}

static PyObject *value_layers(PyObject *unused, PyObject *descriptions) {
    (void)unused;
    if (!PyList_CheckExact(descriptions) || PyList_Size(descriptions) == 0)
        return PyErr_Format(PyExc_TypeError, "_layers takes a list of layers");
    size_t count = (size_t)PyList_Size(descriptions);
    network *net = PyMem_Malloc(sizeof *net + count * sizeof *net->layers);
    if (!net) return PyErr_NoMemory();
    *net = (network){.count = 0};
    PyObject *capsule = PyCapsule_New(net, network_name, network_free);
    if (!capsule) PyMem_Free(net);
    while (capsule && net->count < count) {
        pg_layer *layer = layer_from(PyList_GetItem(descriptions, (Py_ssize_t)net->count), &net->nout);
        if (layer) net->layers[net->count++] = layer;
        else Py_CLEAR(capsule);
    }
    PyObject *function = capsule ? PyCFunction_NewEx(&network_def, capsule, NULL) : NULL;
    Py_XDECREF(capsule);
    if (!function && !PyErr_Occurred()) Py_RETURN_NONE;
    return function;
}

/* ---- attributes ---- */

static PyObject *note_of(pg_id id, Py_ssize_t which) {
    if (arena->nodes[id].flags & PG_NODE_SIDE) {
        PyObject *key = PyLong_FromUnsignedLong(id);
        PyObject *note = key ? PyDict_GetItemWithError(notes, key) : NULL;
        PyObject *found = note ? PyTuple_GetItem(note, which) : NULL;
        Py_XDECREF(key);
        if (found) {
            Py_INCREF(found);
            return found;
        }
        if (PyErr_Occurred()) return NULL;
    }
    return PyUnicode_FromString("");
}

static int set_note(pg_id id, PyObject *label, PyObject *op) {
    PyObject *key = PyLong_FromUnsignedLong(id);
    PyObject *note = key ? PyTuple_Pack(2, label, op) : NULL;
    int status = note ? PyDict_SetItem(notes, key, note) : -1;
    if (status == 0) arena->nodes[id].flags |= PG_NODE_SIDE;
    Py_XDECREF(note);
    Py_XDECREF(key);
    return status;
}

static int no_delete(PyObject *given, const char *what) {
    if (given) return 0;
    PyErr_Format(PyExc_AttributeError, "%s of a Value cannot be deleted", what);
    return -1;
}

static PyObject *get_data(PyObject *self, void *unused) {
    (void)unused;
    return PyFloat_FromDouble(NODE(self)->data);
}

static PyObject *get_grad(PyObject *self, void *unused) {
    (void)unused;
    return PyFloat_FromDouble(NODE(self)->grad);
}

static int set_data(PyObject *self, PyObject *given, void *unused) {
    (void)unused;
    double number;
    if (no_delete(given, "data") < 0 || to_double(given, "data", &number) < 0) return -1;
    NODE(self)->data = number;
    return 0;
}

static int set_grad(PyObject *self, PyObject *given, void *unused) {
    (void)unused;
    double number;
    if (no_delete(given, "grad") < 0 || to_double(given, "grad", &number) < 0) return -1;
    NODE(self)->grad = number;
    return 0;
}

static PyObject *get_label(PyObject *self, void *unused) {
    (void)unused;
    return note_of(ID(self), 0);
}

static int set_label(PyObject *self, PyObject *given, void *unused) {
    (void)unused;
    if (no_delete(given, "label") < 0) return -1;
    PyObject *label = PyObject_CallFunction(text, "Os", given, "label");
    PyObject *op = label ? note_of(ID(self), 1) : NULL;
    int status = op ? set_note(ID(self), label, op) : -1;
    Py_XDECREF(op);
    Py_XDECREF(label);
    return status;
}

static PyObject *get_op(PyObject *self, void *unused) {
    (void)unused;
    int op = NODE(self)->op;
    if (op <= PG_OP_USER) return note_of(ID(self), 1);
    const pg_op_info *info = pg_op_describe(op);
    if (op != PG_OP_POW_CONST) return PyUnicode_FromString(info->symbol);
    return PyObject_CallFunction(op_symbol, "sd", info->symbol, pg_node_constant(arena, ID(self)));
}

static PyObject *get_operands(PyObject *self, void *unused) {
    (void)unused;
    return operand_tuple(ID(self));
}

static PyObject *get_prev(PyObject *self, void *unused) {
    (void)unused;
    PyObject *operands = operand_tuple(ID(self));
    PyObject *set = operands ? PySet_New(operands) : NULL;
    Py_XDECREF(operands);
    return set;
}

/* One node's own derivative step. */
static PyObject *own_step(PyObject *self, PyObject *unused) {
    (void)unused;
    (void)pg_step(arena, ID(self));
    Py_RETURN_NONE;
}

static PyMethodDef own_step_def = {"_backward", own_step, METH_NOARGS,
                                   "_backward()\n--\n\nAdds this node's contributions to its operands' gradients."};

static PyObject *get_backward(PyObject *object, void *unused) {
    (void)unused;
    const traced *held = traced_of((handle *)object);
    if (held && held->hook) {
        Py_INCREF(held->hook);
        return held->hook;
    }
    return PyCFunction_NewEx(&own_step_def, object, NULL);
}

/* Keeps the handle alive while untraced nodes, which do not hold it, use the node. */
static int pin(handle *self) {
    PyObject *key = PyLong_FromUnsignedLong(self->id);
    int status = key ? PyDict_SetItem(pins, key, (PyObject *)self) : -1;
    if (status == 0) arena->nodes[self->id].flags |= PG_NODE_PINNED;
    Py_XDECREF(key);
    return status;
}

static int set_backward(PyObject *object, PyObject *given, void *unused) {
    (void)unused;
    handle *self = (handle *)object;
    if (given && !PyCallable_Check(given)) return raise_error(PyObject_CallFunction(bad_hook, "O", given)) ? 0 : -1;
    if (!given && !self->traced) return 0; /* no hook to take away */
    int late = !self->traced && arena->nodes[self->id].refs > 1;
    if (late) { /* prepared layers are no reason to pin: they let go, and leave traced parameters alone */
        PyObject *done = PyObject_CallFunctionObjArgs(changed, NULL);
        if (!done) return -1;
        Py_DECREF(done);
        late = !self->traced && arena->nodes[self->id].refs > 1;
    }
    if (trace(self) < 0 || (given && late && pin(self) < 0)) return -1;
    (void)pg_set_flags(arena, self->id, given ? PG_NODE_HOOK : 0, given ? 0 : PG_NODE_HOOK);
    traced *held = traced_of(self);
    PyObject *before = held->hook;
    Py_XINCREF(given);
    held->hook = given;
    Py_XDECREF(before);
    return 0;
}

/* ---- reverse mode ---- */

static int call_hook(pg_id id) {
    PyObject *owner = handle_of(id);
    if (!owner) return -1;
    const traced *held = traced_of((handle *)owner);
    PyObject *hook = held ? held->hook : NULL;
    int status = 0;
    if (hook) {
        Py_INCREF(hook);
        PyObject *result = PyObject_CallFunctionObjArgs(hook, NULL);
        status = result ? 0 : -1;
        Py_XDECREF(result);
        Py_DECREF(hook);
    }
    Py_DECREF(owner);
    return status;
}

static PyObject *value_backward(PyObject *self, PyObject *unused) {
    (void)unused;
    int status;
    pg_sweep *sweep = pg_sweep_new(arena, ID(self), &status);
    if (!sweep) return raise_status(status, PG_OP_LEAF, 0.0, 0.0);
    int error = 0;
    for (pg_id id; !error && (id = pg_sweep_run(sweep)) != PG_NONE;) error = call_hook(id) < 0;
    arena->unpinned |= (pg_sweep_end(sweep, error) & PG_AFTER_UNPINNED) != 0;
    if (PG_UNLIKELY(arena->limbo != PG_NONE || arena->unpinned)) settle();
    if (error) return NULL;
    Py_RETURN_NONE;
}

/* ---- construction ---- */

static handle *subtype_alloc(PyTypeObject *type) {
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    handle *self = (handle *)alloc(type, 0);
    if (self) self->subtype = 1;
    return self;
}

static PyObject *value_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    handle *self = PG_LIKELY(type == value_type) ? handle_alloc() : subtype_alloc(type);
    if (!self) return NULL;
    pg_id id = pg_leaf_node(arena, 0.0);
    if (PG_UNLIKELY(id == PG_NONE)) {
        Py_DECREF(self);
        return raise_status(pg_take_error(arena), PG_OP_LEAF, 0.0, 0.0);
    }
    attach(self, id);
    return (PyObject *)self;
}

/* Gives the handle another node, and drops the one it had. */
static void replace_node(handle *self, pg_id id) {
    pg_id before = self->id;
    traced *held = traced_of(self);
    if (held && is_plain(self)) PyObject_GC_UnTrack((PyObject *)self);
    detach(self);
    self->traced = 0;
    attach(self, id);
    drop_node(before);
    if (held) drop_traced(held);
}

/* __init__ of a leaf: the handle's node, which __new__ made one. */
static int init_leaf(handle *self, double data) {
    pg_node *node = &arena->nodes[self->id];
    node->data = data;
    node->grad = 0.0;
    self->initialised = 1;
    return 0;
}

/* __init__ of a user-defined op, or of a leaf with a name. children: a tuple of Values; the texts exact str objects. */
static int init_named(handle *self, double data, PyObject *children, PyObject *op, PyObject *label) {
    operand_list list;
    int labelled = PyUnicode_GetLength(label) > 0, named = PyUnicode_GetLength(op) > 0;
    if (PyTuple_Size(children) == 0 && !named) {
        int noted = (arena->nodes[self->id].flags & PG_NODE_SIDE) != 0;
        if ((labelled || noted) && set_note(self->id, label, op) < 0) return -1;
        return init_leaf(self, data);
    }
    if (self->initialised) return raise_error(PyObject_CallFunction(bad_init, NULL)) ? 0 : -1;
    if (operands_quick(&list, children) <= 0) return -1;
    pg_result made = pg_apply_user(arena, data, list.ids, list.count);
    operands_drop(&list);
    if (made < 0) return raise_status((int)made, PG_OP_USER, 0.0, 0.0) ? 0 : -1;
    if ((labelled || named) && set_note(PG_RESULT_ID(made), label, op) < 0) {
        drop_node(PG_RESULT_ID(made));
        return -1;
    }
    replace_node(self, PG_RESULT_ID(made));
    self->initialised = 1;
    return made & PG_RESULT_TRACED ? trace(self) : 0;
}

/* An exact str: that of a given one, or "". */
static PyObject *text_or_empty(PyObject *given, const char *what) {
    return given ? PyObject_CallFunction(text, "Os", given, what) : PyUnicode_FromString("");
}

static int value_init(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"data", "_children", "_op", "label", NULL};
    PyObject *data, *children = NULL, *op = NULL, *label = NULL;
    double number;
    handle *self = (handle *)object;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOO:Value", keywords, &data, &children, &op, &label)) return -1;
    if (to_double(data, "data", &number) < 0) return -1;
    if (NODE(self)->op != PG_OP_LEAF) return raise_error(PyObject_CallFunction(bad_init, NULL)) ? 0 : -1;
    if (PG_LIKELY(!children && !op && !label && !(NODE(self)->flags & PG_NODE_SIDE))) return init_leaf(self, number);
    PyObject *operands = children ? PyObject_CallFunction(as_children, "OO", children, (PyObject *)value_type)
                                  : PyTuple_New(0);
    PyObject *op_text = operands ? text_or_empty(op, "_op") : NULL;
    PyObject *label_text = op_text ? text_or_empty(label, "label") : NULL;
    int status = label_text ? init_named(self, number, operands, op_text, label_text) : -1;
    Py_XDECREF(label_text);
    Py_XDECREF(op_text);
    Py_XDECREF(operands);
    return status;
}

/* ---- saving and restoring, for copies and pickles (pygrad/_copying.py) ---- */

static PyObject *value_state(PyObject *self, PyObject *unused) {
    (void)unused;
    int op = NODE(self)->op;
    int hooked = (NODE(self)->flags & PG_NODE_HOOK) != 0;
    return Py_BuildValue("sdN", pg_op_describe(op)->name, pg_node_constant(arena, ID(self)), PyBool_FromLong(hooked));
}

static PyObject *value_restore(PyObject *unused, PyObject *args) {
    (void)unused;
    const char *name;
    double constant, data, grad;
    PyObject *operands, *op_text, *label;
    if (!PyArg_ParseTuple(args, "sO!dddUU:_restore", &name, &PyTuple_Type, &operands, &constant, &data, &grad,
                          &op_text, &label))
        return NULL;
    operand_list list;
    int quick = operands_quick(&list, operands);
    if (quick < 0) return NULL;
    if (quick == 0) return PyErr_Format(PyExc_TypeError, "_restore: operands must be Values");
    pg_result made = pg_restore(arena, find_op(name), list.ids, list.count, constant, data, grad);
    operands_drop(&list);
    if (made < 0) return raise_status((int)made, PG_OP_LEAF, 0.0, 0.0);
    PyObject *result = wrap(made);
    int noted = PyUnicode_GetLength(op_text) > 0 || PyUnicode_GetLength(label) > 0;
    if (result && noted && set_note(ID(result), label, op_text) < 0) Py_CLEAR(result);
    return result;
}

static PyObject *value_stats(PyObject *unused, PyObject *unused2) {
    (void)unused, (void)unused2;
    pg_stats stats;
    pg_arena_stats(arena, &stats);
    return Py_BuildValue("KK", (unsigned long long)stats.live, (unsigned long long)stats.bytes);
}

static PyObject *value_trim(PyObject *unused, PyObject *unused2) {
    (void)unused, (void)unused2;
    pg_arena_trim(arena);
    Py_RETURN_NONE;
}

/* ---- parameters: many nodes at once (pygrad/_updates.py). A token is a bytes object of ids ---- */

static PyObject *done(pg_result status) {
    if (status < 0) return raise_status((int)status, PG_OP_LEAF, 0.0, 0.0);
    Py_RETURN_NONE;
}

static PyObject *value_ids(PyObject *unused, PyObject *values) {
    (void)unused;
    operand_list list;
    int quick = operands_quick(&list, values);
    if (quick < 0) return NULL;
    if (quick == 0)
        return PyErr_Format(PyExc_TypeError, "_ids: expected a list or tuple of Values of the same backend");
    PyObject *token = PyBytes_FromStringAndSize((const char *)list.ids, (Py_ssize_t)(list.count * sizeof *list.ids));
    operands_drop(&list);
    return token;
}

/* 0, or -1 with an error set. The ids may be of no node: the functions of pygrad.h look at them. */
static int token_ids(PyObject *token, const pg_id **ids, size_t *n) {
    if (PyBytes_Check(token) && (size_t)PyBytes_Size(token) % sizeof **ids == 0) {
        *ids = (const pg_id *)(const void *)PyBytes_AsString(token);
        *n = (size_t)PyBytes_Size(token) / sizeof **ids;
        return 0;
    }
    PyErr_SetString(PyExc_TypeError, "a token that Value._ids gave was expected");
    return -1;
}

/* 'data' is 0, 'grad' 1; -1 with an error set for anything else. */
static int is_grad(const char *what) {
    if (strcmp(what, "data") == 0) return 0;
    if (strcmp(what, "grad") == 0) return 1;
    PyErr_Format(PyExc_ValueError, "'data' or 'grad' was expected, not '%s'", what);
    return -1;
}

/* memory as count doubles; NULL with an error set where it is no such thing. */
static double *doubles(char *memory, Py_ssize_t size, uint64_t count) {
    if ((uint64_t)size != count * sizeof(double)) {
        PyErr_Format(PyExc_ValueError, "%zd bytes of doubles were expected, not %zd",
                     (Py_ssize_t)(count * sizeof(double)), size);
        return NULL;
    }
    if (count > 0 && (uintptr_t)memory % _Alignof(double) != 0) {
        PyErr_SetString(PyExc_ValueError, "the doubles must begin where a double may");
        return NULL;
    }
    return (double *)(void *)memory;
}

static PyObject *value_get(PyObject *unused, PyObject *args) {
    (void)unused;
    PyObject *token;
    const char *what;
    const pg_id *ids;
    size_t n;
    if (!PyArg_ParseTuple(args, "Os:_get", &token, &what)) return NULL;
    int grad = is_grad(what);
    if (grad < 0 || token_ids(token, &ids, &n) < 0) return NULL;
    PyObject *memory = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(n * sizeof(double)));
    double *numbers = memory ? doubles(PyByteArray_AsString(memory), PyByteArray_Size(memory), n) : NULL;
    pg_result status = !numbers ? 0 : grad ? pg_get_grads(arena, ids, n, numbers) : pg_get_data(arena, ids, n, numbers);
    if (status < 0) (void)done(status);
    if (!numbers || status < 0) Py_CLEAR(memory);
    return memory;
}

static PyObject *value_put(PyObject *unused, PyObject *args) {
    (void)unused;
    PyObject *token, *memory;
    const char *what;
    const pg_id *ids;
    size_t n;
    if (!PyArg_ParseTuple(args, "OsS:_put", &token, &what, &memory)) return NULL;
    int grad = is_grad(what);
    if (grad < 0 || token_ids(token, &ids, &n) < 0) return NULL;
    const double *numbers = doubles(PyBytes_AsString(memory), PyBytes_Size(memory), n);
    if (!numbers) return NULL;
    return done(grad ? pg_put_grads(arena, ids, n, numbers) : pg_put_data(arena, ids, n, numbers));
}

static PyObject *value_zero_grads(PyObject *unused, PyObject *token) {
    (void)unused;
    const pg_id *ids;
    size_t n;
    return token_ids(token, &ids, &n) < 0 ? NULL : done(pg_zero_grads(arena, ids, n));
}

static PyObject *value_grad_norm(PyObject *unused, PyObject *token) {
    (void)unused;
    const pg_id *ids;
    size_t n;
    double norm = 0.0;
    if (token_ids(token, &ids, &n) < 0) return NULL;
    pg_result status = pg_grad_norm(arena, ids, n, &norm);
    return status < 0 ? done(status) : PyFloat_FromDouble(norm);
}

static PyObject *value_scale_grads(PyObject *unused, PyObject *args) {
    (void)unused;
    PyObject *token;
    double factor;
    const pg_id *ids;
    size_t n;
    if (!PyArg_ParseTuple(args, "Od:_scale_grads", &token, &factor) || token_ids(token, &ids, &n) < 0) return NULL;
    return done(pg_scale_grads(arena, ids, n, factor));
}

static PyObject *value_clamp_grads(PyObject *unused, PyObject *args) {
    (void)unused;
    PyObject *token;
    double limit;
    const pg_id *ids;
    size_t n;
    if (!PyArg_ParseTuple(args, "Od:_clamp_grads", &token, &limit) || token_ids(token, &ids, &n) < 0) return NULL;
    return done(pg_clamp_grads(arena, ids, n, limit));
}

static int find_rule(const char *name) {
    int rule = 0;
    while (pg_rule_describe(rule) && strcmp(pg_rule_describe(rule)->name, name) != 0) rule++;
    return pg_rule_describe(rule) ? rule : -1;
}

#define PG_MOST_SETTINGS 8

static PyObject *value_optimise(PyObject *unused, PyObject *args) {
    (void)unused;
    const char *name;
    PyObject *token, *given, *memory;
    const pg_id *ids;
    size_t n;
    double settings[PG_MOST_SETTINGS];
    if (!PyArg_ParseTuple(args, "sOO!Y:_optimise", &name, &token, &PyTuple_Type, &given, &memory)) return NULL;
    int rule = find_rule(name);
    if (rule < 0) return PyErr_Format(PyExc_ValueError, "no rule is called '%s'", name);
    Py_ssize_t count = (Py_ssize_t)pg_rule_describe(rule)->setting_count;
    if (PyTuple_Size(given) != count || count > PG_MOST_SETTINGS)
        return PyErr_Format(PyExc_ValueError, "the rule '%s' has %zd settings, but got %zd", name, count,
                            PyTuple_Size(given));
    for (Py_ssize_t i = 0; i < count; i++) {
        settings[i] = PyFloat_AsDouble(PyTuple_GetItem(given, i));
        if (settings[i] == -1.0 && PyErr_Occurred()) return NULL;
    }
    /* from here on no Python code runs that might move the memory */
    if (token_ids(token, &ids, &n) < 0) return NULL;
    uint64_t numbers = (uint64_t)n * pg_rule_slots(rule, settings);
    double *state = doubles(PyByteArray_AsString(memory), PyByteArray_Size(memory), numbers);
    return state ? done(pg_optimise(arena, rule, ids, n, settings, state)) : NULL;
}

/* ---- the rest of the object ---- */

static PyObject *value_repr(PyObject *self) {
    PyObject *data = PyFloat_FromDouble(NODE(self)->data), *grad = PyFloat_FromDouble(NODE(self)->grad);
    PyObject *repr = data && grad ? PyUnicode_FromFormat("Value(data=%R, grad=%R)", data, grad) : NULL;
    Py_XDECREF(data);
    Py_XDECREF(grad);
    return repr;
}

static Py_hash_t value_hash(PyObject *self) {
    uintptr_t address = (uintptr_t)self;
    Py_hash_t hash = (Py_hash_t)((address >> 4) | (address << (8 * sizeof address - 4)));
    return hash == -1 ? -2 : hash;
}

/* == and != are identity; the order is that of data. */
static PyObject *value_compare(PyObject *self, PyObject *other, int comparison) {
    double y;
    int known = comparison != Py_EQ && comparison != Py_NE;
    if (known) {
        if (is_value(other)) {
            y = NODE(other)->data;
        } else {
            known = operand_number(other, &y);
            if (known < 0) return NULL;
        }
    }
    if (!known) {
        Py_INCREF(Py_NotImplemented);
        return Py_NotImplemented;
    }
    double x = NODE(self)->data; /* now: a conversion may have run Python code */
    int truth = comparison == Py_LT ? x < y : comparison == Py_LE ? x <= y : comparison == Py_GT ? x > y : x >= y;
    return PyBool_FromLong(truth);
}

static PyGetSetDef getset[] = {
    {"data", get_data, set_data, "The number, a float.", NULL},
    {"grad", get_grad, set_grad, "The gradient of the last root, accumulated by backward().", NULL},
    {"label", get_label, set_label, "A name for pictures; kept as long as the node lives.", NULL},
    {"operands", get_operands, NULL, "The operands, left to right.", NULL},
    {"_prev", get_prev, NULL, "The set of operands, as in micrograd.", NULL},
    {"_op", get_op, NULL, "The op's symbol; '' for a leaf.", NULL},
    {"_backward", get_backward, set_backward,
     "Runs this node's derivative step. Assign a function of no arguments for a user-defined op.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(handle, weakrefs), READONLY, NULL}, {NULL, 0, 0, 0, NULL}};

#define PG_DEF_S(code, ID_, name, symbol)
#define PG_DEF_U(code, ID_, name, symbol, doc, STATUS, VALUE, DX) \
    {name, method_##ID_, METH_NOARGS, name "($self, /)\n--\n\n" doc},
#define PG_DEF_K(code, ID_, name, symbol, doc, constant, DEFAULT, STATUS, VALUE, DX)   \
    {name, (PyCFunction)(void (*)(void))method_##ID_, METH_VARARGS | METH_KEYWORDS, \
     name "($self, " constant "=" #DEFAULT ")\n--\n\n" doc},
#define PG_DEF_B(code, ID_, name, symbol, doc, STATUS, VALUE, DX, DY) \
    {name, method_##ID_, METH_O, name "($self, other, /)\n--\n\n" doc ", x this Value and y the other."},
#define PG_DEF_N(code, ID_, name, symbol, doc, TERM, DX, DY)
#define PG_DEF_R(code, ID_, name, symbol, doc, TERM, VALUE, DX)
static PyMethodDef methods[] = {
    PG_OP_TABLE(PG_DEF_S, PG_DEF_U, PG_DEF_K, PG_DEF_B, PG_DEF_N, PG_DEF_R)
    {"sum", value_sum, METH_O | METH_STATIC, "sum(values, /)\n--\n\nx0 + x1 + ..., left to right, as one node."},
    {"logsumexp", value_logsumexp, METH_O | METH_STATIC,
     "logsumexp(values, /)\n--\n\nlog(e ** x0 + e ** x1 + ...), without overflow, as one node."},
    {"dot", (PyCFunction)(void (*)(void))value_dot, METH_FASTCALL | METH_KEYWORDS | METH_STATIC,
     "dot(weights, inputs, bias=None)\n--\n\nbias + w0 * x0 + w1 * x1 + ..., left to right, as one node."},
    {"backward", value_backward, METH_NOARGS,
     "backward($self, /)\n--\n\n"
     "Sets this node's gradient to 1 and adds to the gradient of every node it depends on."},
    {"_as_operands", value_operands, METH_VARARGS | METH_STATIC, NULL},
    {"_layers", value_layers, METH_O | METH_STATIC, NULL},
    {"_state", value_state, METH_NOARGS, NULL},
    {"_restore", value_restore, METH_VARARGS | METH_STATIC, NULL},
    {"_stats", value_stats, METH_NOARGS | METH_STATIC, NULL},
    {"_ids", value_ids, METH_O | METH_STATIC, NULL},
    {"_get", value_get, METH_VARARGS | METH_STATIC, NULL},
    {"_put", value_put, METH_VARARGS | METH_STATIC, NULL},
    {"_zero_grads", value_zero_grads, METH_O | METH_STATIC, NULL},
    {"_grad_norm", value_grad_norm, METH_O | METH_STATIC, NULL},
    {"_scale_grads", value_scale_grads, METH_VARARGS | METH_STATIC, NULL},
    {"_clamp_grads", value_clamp_grads, METH_VARARGS | METH_STATIC, NULL},
    {"_optimise", value_optimise, METH_VARARGS | METH_STATIC, NULL},
    {"_trim", value_trim, METH_NOARGS | METH_STATIC, NULL},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Value(data, _children=(), _op='', label='')\n--\n\n"
                "A number that remembers how it was computed, and its gradient.\n\n"
                "See pygrad.reference.Value, which this type equals to the last bit."},
    {Py_tp_new, (void *)(uintptr_t)value_new},
    {Py_tp_init, (void *)(uintptr_t)value_init},
    {Py_tp_dealloc, (void *)(uintptr_t)value_dealloc},
    {Py_tp_traverse, (void *)(uintptr_t)value_traverse},
    {Py_tp_clear, (void *)(uintptr_t)value_clear},
    {Py_tp_repr, (void *)(uintptr_t)value_repr},
    {Py_tp_hash, (void *)(uintptr_t)value_hash},
    {Py_tp_richcompare, (void *)(uintptr_t)value_compare},
    {Py_nb_add, (void *)(uintptr_t)slot_add},
    {Py_nb_subtract, (void *)(uintptr_t)slot_sub},
    {Py_nb_multiply, (void *)(uintptr_t)slot_mul},
    {Py_nb_true_divide, (void *)(uintptr_t)slot_div},
    {Py_nb_power, (void *)(uintptr_t)slot_power},
    {Py_nb_negative, (void *)(uintptr_t)slot_neg},
    {Py_nb_positive, (void *)(uintptr_t)slot_pos},
    {Py_nb_absolute, (void *)(uintptr_t)slot_abs},
    {Py_nb_float, (void *)(uintptr_t)slot_float},
    {Py_tp_getset, getset},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL}};

static PyType_Spec spec = {"pygrad.engine.Value", (int)sizeof(handle), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

/* Makes the arena and the type, and sets module.Value. */
static int install(PyObject *module) {
    static const struct {
        const char *name;
        PyObject **where;
    } wanted[] = {{"as_float", &as_float},
                  {"operand_float", &operand_float},
                  {"op_error", &op_error},
                  {"op_symbol", &op_symbol},
                  {"bad_operand", &bad_operand},
                  {"bad_hook", &bad_hook},
                  {"as_children", &as_children},
                  {"bad_init", &bad_init},
                  {"text", &text},
                  {"changed", &changed}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!*wanted[i].where && !(*wanted[i].where = PyObject_GetAttrString(module, wanted[i].name))) return -1;
    if (!notes && !(notes = PyDict_New())) return -1;
    if (!pins && !(pins = PyDict_New())) return -1;
    if (!arena && !(arena = pg_arena_new(0))) {
        (void)PyErr_NoMemory();
        return -1;
    }
    if (!value_type && !(value_type = (PyTypeObject *)PyType_FromSpec(&spec))) return -1;
    return PyObject_SetAttrString(module, "Value", (PyObject *)value_type);
}

int pg_python_install(uintptr_t module) {
    PyGILState_STATE gil = PyGILState_Ensure();
    int status = install((PyObject *)module);
    if (status < 0) PyErr_WriteUnraisable((PyObject *)module);
    PyGILState_Release(gil);
    return status;
}
