/* value_network.c: many nodes in one call: layers of neurons.
 *
 * Between Python and layers.c; computes nothing itself.
 */
#include "handle.h"

#include <string.h>

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
    if (!PyTuple_Check(description)) return PyErr_SetString(PyExc_TypeError, "_layers takes a list of tuples"), NULL;
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
