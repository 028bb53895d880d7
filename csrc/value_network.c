/* value_network.c: many nodes in one call: layers of neurons, and the parameters that an optimiser moves.
 *
 * Between Python and layers.c and optim.c; computes nothing itself.
 */
#include "handle.h"

#include <string.h>

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

/* What _layers gives, called: x is a list or tuple of Values, floats and ints, and nothing here runs Python code until the
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
        else if (!PyLong_CheckExact(item) || ((numbers[i] = PyLong_AsDouble(item)) == -1.0 && PyErr_Occurred())) break;
    }
    if (i < n) PyErr_Clear(); /* an int beyond the floats: the long way says so */
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

PyObject *value_layers(PyObject *unused, PyObject *descriptions) {
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

/* ---- parameters: many nodes at once (pygrad/_updates.py). A token is a bytes object of ids ---- */

static PyObject *done(pg_result status) {
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

PyObject *value_optimise(PyObject *unused, PyObject *args) {
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
