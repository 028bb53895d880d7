/* value_nary.c: ops of any number of operands, and reading lists of operands.
 *
 * The usual list, of Values only, is read without running any Python code; whatever else can be iterated is turned into
 * one first.
 */
#include "handle.h"

void operands_drop(operand_list *list) {
    if (list->ids != list->few) PyMem_Free(list->ids);
    Py_XDECREF(list->values);
}

int operands_reserve(operand_list *list, Py_ssize_t count) {
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

/* The usual case: a list or tuple of Values only, whose ids are read without running any Python code. 1 if it was
 * that and the list is filled, 0 if not, -1 on error. Valid until Python code runs. */
int operands_quick(operand_list *list, PyObject *sequence) {
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
        if (PG_LIKELY(made >= 0)) result = wrap(made);
        else if (made == PG_ERR_ARRAY)
            result = call_arrays(op == PG_OP_SUM ? F_SUM_OF : F_LOGSUMEXP_OF, x.values ? x.values : values, NULL, NULL);
        else result = raise_status((int)made, op, 0.0, 0.0);
    }
    operands_drop(&x);
    return result;
}

PyObject *value_sum(PyObject *unused, PyObject *values) {
    (void)unused;
    return reduced(values, PG_OP_SUM, pg_apply_sum);
}

PyObject *value_logsumexp(PyObject *unused, PyObject *values) {
    (void)unused;
    return reduced(values, PG_OP_LOGSUMEXP, pg_apply_logsumexp);
}

/* weights, inputs and bias: as Python objects, the bias None or a Value. */
static PyObject *dot_of(const operand_list *w, const operand_list *x, PyObject *weights, PyObject *inputs, PyObject *bias) {
    if (w->count != x->count)
        return PyErr_Format(PyExc_ValueError, "dot: %zu weights, but %zu inputs", w->count, x->count);
    pg_result made = pg_apply_dot(arena, w->ids, x->ids, w->count, bias == Py_None ? PG_NONE : ID(bias));
    if (made == PG_ERR_ARRAY) return call_arrays(F_DOT_OF, weights, inputs, bias);
    return made >= 0 ? wrap(made) : raise_status((int)made, PG_OP_DOT, 0.0, 0.0);
}

/* dot where something must be converted first. */
static PyObject *dot_slow(PyObject *weights, PyObject *inputs, PyObject *bias) {
    PyObject *start = NULL;
    if (bias != Py_None && !(start = operand_value(bias, "dot"))) return NULL;
    operand_list w, x;
    PyObject *result = NULL;
    if (operands_from(&w, weights, "dot") == 0) {
        if (operands_from(&x, inputs, "dot") == 0) result = dot_of(&w, &x, w.values, x.values, start ? start : Py_None);
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
        result = dot_of(&w, &x, weights, inputs, bias);
        operands_drop(&x);
    }
    operands_drop(&w);
    return quick == 0 ? dot_slow(weights, inputs, bias) : result;
}

/* The names are looked at only where they are used: positions are what nn.py calls with. */
PyObject *value_dot(PyObject *unused, PyObject *const *args, Py_ssize_t count, PyObject *names) {
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

PyObject *value_operands(PyObject *unused, PyObject *args) {
    const char *what;
    PyObject *sequence;
    (void)unused;
    return PyArg_ParseTuple(args, "sO:_as_operands", &what, &sequence) ? operand_values(sequence, what) : NULL;
}
