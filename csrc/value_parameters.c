/* value_parameters.c: many parameters in one call: their numbers and gradients, and the step of an optimiser; of nodes,
 * and of array Values (pygrad/_updates.py).
 *
 * Between Python and optim.c; computes nothing itself. An array's memory is reached by NumPy's own protocol for C,
 * __array_struct__, which says at every call where it is, how large, and of what kind: nothing is kept, and nothing that
 * Python code computed is trusted.
 */
#include "handle.h"

#include <string.h>

/* ---- nodes: a token is a bytes object of ids ---- */

static PyObject *done(pg_result status) {
    if (status == PG_ERR_ARRAY) return PyErr_Format(PyExc_RuntimeError, "pygrad: %s", pg_status_text((int)status));
    if (status < 0) return raise_status((int)status, PG_OP_LEAF, 0.0, 0.0);
    Py_RETURN_NONE;
}

PyObject *value_ids(PyObject *unused, PyObject *values) {
    (void)unused;
    operand_list list;
    int quick = operands_quick(&list, values);
    if (quick < 0) return NULL;
    if (quick == 0)
        return PyErr_Format(PyExc_TypeError, "_ids: expected a list or tuple of Values of the same backend");
    for (size_t i = 0; i < list.count; i++)
        if (arena->nodes[list.ids[i]].flags & PG_NODE_ARRAY) {
            operands_drop(&list);
            return PyErr_Format(PyExc_TypeError, "_ids: expected scalar Values");
        }
    PyObject *token = PyBytes_FromStringAndSize((const char *)list.ids, (Py_ssize_t)(list.count * sizeof *list.ids));
    operands_drop(&list);
    return token;
}

/* 0, or -1 with an error set. The ids may be of no node: the functions of pygrad.h look at them. */
static int token_ids(PyObject *token, const pg_id **ids, size_t *n) {
    if (refused(Py_None, "many parameters at once")) return -1;
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

PyObject *value_get(PyObject *unused, PyObject *args) {
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

PyObject *value_put(PyObject *unused, PyObject *args) {
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

PyObject *value_zero_grads(PyObject *unused, PyObject *token) {
    (void)unused;
    const pg_id *ids;
    size_t n;
    return token_ids(token, &ids, &n) < 0 ? NULL : done(pg_zero_grads(arena, ids, n));
}

PyObject *value_grad_norm(PyObject *unused, PyObject *token) {
    (void)unused;
    const pg_id *ids;
    size_t n;
    double norm = 0.0;
    if (token_ids(token, &ids, &n) < 0) return NULL;
    pg_result status = pg_grad_norm(arena, ids, n, &norm);
    return status < 0 ? done(status) : PyFloat_FromDouble(norm);
}

PyObject *value_scale_grads(PyObject *unused, PyObject *args) {
    (void)unused;
    PyObject *token;
    double factor;
    const pg_id *ids;
    size_t n;
    if (!PyArg_ParseTuple(args, "Od:_scale_grads", &token, &factor) || token_ids(token, &ids, &n) < 0) return NULL;
    return done(pg_scale_grads(arena, ids, n, factor));
}

PyObject *value_clamp_grads(PyObject *unused, PyObject *args) {
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

/* The code of a rule, and its settings from a tuple; -1 with an error set. */
static int read_rule(const char *name, PyObject *given, double settings[PG_MOST_SETTINGS]) {
    int rule = find_rule(name);
    if (rule < 0) {
        PyErr_Format(PyExc_ValueError, "no rule is called '%s'", name);
        return -1;
    }
    Py_ssize_t count = (Py_ssize_t)pg_rule_describe(rule)->setting_count;
    if (PyTuple_Size(given) != count || count > PG_MOST_SETTINGS) {
        PyErr_Format(PyExc_ValueError, "the rule '%s' has %zd settings, but got %zd", name, count, PyTuple_Size(given));
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        settings[i] = PyFloat_AsDouble(PyTuple_GetItem(given, i));
        if (settings[i] == -1.0 && PyErr_Occurred()) return -1;
    }
    return rule;
}

PyObject *value_optimise(PyObject *unused, PyObject *args) {
    (void)unused;
    const char *name;
    PyObject *token, *given, *memory;
    const pg_id *ids;
    size_t n;
    double settings[PG_MOST_SETTINGS];
    if (!PyArg_ParseTuple(args, "sOO!Y:_optimise", &name, &token, &PyTuple_Type, &given, &memory)) return NULL;
    int rule = read_rule(name, given, settings);
    /* from here on no Python code runs that might move the memory */
    if (rule < 0 || token_ids(token, &ids, &n) < 0) return NULL;
    uint64_t numbers = (uint64_t)n * pg_rule_slots(rule, settings);
    double *state = doubles(PyByteArray_AsString(memory), PyByteArray_Size(memory), numbers);
    return state ? done(pg_optimise(arena, rule, ids, n, settings, state)) : NULL;
}

/* ---- array Values ---- */

/* What __array_struct__ holds: the PyArrayInterface of numpy/ndarraytypes.h, a fixed layout. */
typedef struct {
    int two;
    int nd;
    char typekind;
    int itemsize;
    int flags;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    void *data;
    PyObject *descr;
} array_interface;

enum { C_CONTIGUOUS = 0x1, ALIGNED = 0x100, NATIVE_BYTES = 0x200, WRITEABLE = 0x400 }; /* in flags */

typedef struct {
    double *numbers;
    size_t n;
} span;

/* The numbers of an ndarray: 1 if they are doubles one behind the other, 0 if not, -1 with an error set. */
static int doubles_of(PyObject *array, int needed, span *found) {
    static PyObject *attribute;
    if (!attribute && !(attribute = PyUnicode_InternFromString("__array_struct__"))) return -1;
    PyObject *capsule = PyObject_GetAttr(array, attribute);
    const array_interface *a = capsule ? PyCapsule_GetPointer(capsule, NULL) : NULL;
    int fits = -1;
    if (a) {
        needed |= C_CONTIGUOUS | ALIGNED | NATIVE_BYTES;
        fits = a->two == 2 && a->typekind == 'f' && a->itemsize == (int)sizeof(double) && (a->flags & needed) == needed;
        *found = (span){a->data, 1};
        for (int i = 0; i < a->nd; i++) found->n *= (size_t)a->shape[i];
    }
    Py_XDECREF(capsule);
    return fits;
}

/* Whether a rule may read the one while it writes the other; both of one length. */
static int are_apart(span x, span g) {
    uintptr_t a = (uintptr_t)x.numbers, b = (uintptr_t)g.numbers, size = x.n * sizeof(double);
    return a == b || (a < b ? b - a : a - b) >= size;
}

typedef struct {
    PyObject *data, *grad; /* held: the arrays */
    span x, g, state;
} array_parameter;

/* Fills one in: 1 if a rule can be run on it, 0 if not, -1 with an error set. grad: None for zeros; NULL for v's own. */
static int read_parameter(array_parameter *p, PyObject *v, PyObject *memory, PyObject *grad, size_t slots) {
    if (!is_value(v) || !holds_array(v)) {
        PyErr_Format(PyExc_TypeError, "_optimise_arrays: expected array Values of the same backend");
        return -1;
    }
    const traced *held = traced_of((handle *)v);
    p->data = held->data;
    p->grad = !grad ? held->grad : grad == Py_None ? NULL : grad;
    Py_INCREF(p->data);
    Py_XINCREF(p->grad);
    PyTypeObject *ndarray = Py_TYPE(p->data); /* of no other type: a property there might run Python code */
    if ((p->grad && Py_TYPE(p->grad) != ndarray) || Py_TYPE(memory) != ndarray) return 0;
    int fits = doubles_of(p->data, WRITEABLE, &p->x);
    if (fits > 0 && p->grad) fits = doubles_of(p->grad, 0, &p->g);
    if (fits > 0 && p->grad) fits = p->g.n == p->x.n && are_apart(p->x, p->g);
    if (fits > 0) fits = doubles_of(memory, WRITEABLE, &p->state);
    if (fits > 0) fits = p->state.n == slots * p->x.n;
    return fits;
}

/* _optimise_arrays(rule, values, settings, memory, grads=...): see pygrad/_updates.py */
PyObject *value_optimise_arrays(PyObject *unused, PyObject *args) {
    (void)unused;
    const char *name;
    PyObject *values, *given, *memory, *grads = NULL;
    double settings[PG_MOST_SETTINGS];
    array_parameter few[16], *parameters = few;
    if (!PyArg_ParseTuple(args, "sO!O!O!|O!:_optimise_arrays", &name, &PyTuple_Type, &values, &PyTuple_Type, &given,
                          &PyTuple_Type, &memory, &PyTuple_Type, &grads))
        return NULL;
    Py_ssize_t n = PyTuple_Size(values), read = 0;
    int rule = read_rule(name, given, settings);
    if (rule < 0) return NULL;
    if (PyTuple_Size(memory) != n || (grads && PyTuple_Size(grads) != n))
        return PyErr_Format(PyExc_ValueError, "_optimise_arrays: expected memory, and a gradient, for each of %zd Values", n);
    if (n > (Py_ssize_t)(sizeof few / sizeof *few) && !(parameters = PyMem_Malloc((size_t)n * sizeof *parameters)))
        return PyErr_NoMemory();
    /* nobody changes an array meanwhile: the GIL is held, and no Python code runs */
    PyObject *others = PyList_New(0);
    for (; others && read < n; read++) {
        array_parameter *p = &parameters[read];
        *p = (array_parameter){.data = NULL};
        int fits = read_parameter(p, PyTuple_GetItem(values, read), PyTuple_GetItem(memory, read),
                                  grads ? PyTuple_GetItem(grads, read) : NULL, pg_rule_slots(rule, settings));
        PyObject *index = fits == 0 ? PyLong_FromSsize_t(read) : NULL;
        if (fits < 0 || (fits == 0 && (!index || PyList_Append(others, index) < 0))) Py_CLEAR(others);
        Py_XDECREF(index);
    }
    int all_fit = others && PyList_Size(others) == 0;
    for (Py_ssize_t i = 0; i < read; i++) {
        array_parameter *p = &parameters[i];
        if (all_fit) (void)pg_optimise_array(rule, p->x.numbers, p->g.numbers, p->x.n, settings, p->state.numbers);
        Py_XDECREF(p->data);
        Py_XDECREF(p->grad);
    }
    if (parameters != few) PyMem_Free(parameters);
    return others;
}
