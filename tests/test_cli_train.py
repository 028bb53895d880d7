"""`python -m pygrad train` and `predict`: each in a process of its own, in an empty folder, as a user runs them."""

from __future__ import annotations

import csv
import io
import os
import random
import re
import signal
import subprocess
import sys

import pytest

from pygrad import _csv, backends, saving
from pygrad._recipe import Recipe, Target, mean_and_scale


@pytest.fixture
def command(tmp_path):
    """Runs `python -m pygrad` with arguments in an empty folder."""

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "pygrad", *map(str, arguments)],
            capture_output=True, cwd=tmp_path, env={**os.environ, **environment}, check=False, encoding="utf-8",
        )  # fmt: skip

    return run


@pytest.fixture
def flowers(tmp_path):
    """Three classes about three points, one of them named with a comma; a column that means nothing."""
    rng = random.Random(1)
    path = tmp_path / "flowers.csv"
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        out = csv.writer(file)
        out.writerow(["length", "width", "kind", "note"])
        for i in range(60):
            k = i % 3
            out.writerow([10 + 3 * k + rng.gauss(0, 0.5), 0.001 * (k == 1) + rng.gauss(0, 1e-4),
                          ["rose", "tulip, red", "lily"][k], f"n{i}"])  # fmt: skip
    return path


@pytest.fixture
def line(tmp_path):
    """y = 3 a - b + 1000, without names."""
    rng = random.Random(2)
    path = tmp_path / "line.txt"
    rows = [(rng.uniform(-1, 1), rng.uniform(5, 7)) for _ in range(40)]
    path.write_text("".join(f"{a}\t{3 * a - b + 1000}\t{b}\n" for a, b in rows))
    return path


def table(text):
    return list(csv.reader(io.StringIO(text)))


def test_classification(command, flowers, tmp_path):
    out = command("train", "flowers.csv", "--target", "kind", "--features", "width, length", "--epochs", "40",
                  "--hidden", "6", "--save", "model.npz")  # fmt: skip
    assert (out.returncode, out.stderr) == (0, "")
    for part in [
        "data:    flowers.csv: 48 rows to train + 12 rows to test\n",
        "target:  'kind' from 2 columns (classification, 3 classes)\n",
        "model:   2 -> 6 -> 3, relu, 39 parameters\n", "loss:    cross_entropy, adam with learning rate 0.01\n",
        "epoch 40/40  loss 0.", "test rows by class, and what was predicted:\n",
        "; saved to model.npz\nto use it:  python -m pygrad predict model.npz DATA.csv\n",
    ]:  # fmt: skip
        assert part in out.stdout
    assert len(re.findall("^epoch ", out.stdout, re.MULTILINE)) == 11
    train, test = re.search(r"^accuracy +([\d.]+)% +([\d.]+)%$", out.stdout, re.MULTILINE).groups()
    assert float(train) > 90
    shown = [row.split() for row in out.stdout.split("was predicted:\n")[1].split("\n\n")[0].splitlines()[1:]]
    assert sum(int(n) for row in shown for n in row[-3:]) == 12
    assert sum(int(row[-3 + i]) for i, row in enumerate(shown)) / 12 == pytest.approx(float(test) / 100, abs=1e-4)

    # the columns in another order, and without the target
    rows = table(flowers.read_text(encoding="utf-8-sig"))
    with open(tmp_path / "new.csv", "w", newline="") as file:
        csv.writer(file).writerows([row[3], row[1], row[0]] for row in rows)
    out = command("predict", "model.npz", "new.csv")
    assert (out.returncode, out.stderr) == (0, "")
    header, *predicted = table(out.stdout)
    assert header == ["prediction", "probability of lily", "probability of rose", "probability of tulip, red"]
    right = [p[0] == row[2] for p, row in zip(predicted, rows[1:])]
    assert sum(right) / 60 == pytest.approx((48 * float(train) + 12 * float(test)) / 6000, abs=1e-3)
    for name, *p in predicted:
        assert sum(map(float, p)) == pytest.approx(1.0)
        assert name == header[1 + max(range(3), key=lambda i: float(p[i]))].removeprefix("probability of ")

    out = command("predict", "model.npz", "new.csv", "--output", "p.csv")
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")
    assert table((tmp_path / "p.csv").read_text()) == [header, *predicted]


def test_regression_without_names(command, line, tmp_path):
    out = command("train", "line.txt", "--delimiter", "tab", "--no-header", "--target", "2", "--hidden", "none",
                  "--epochs", "200", "--lr", "0.05", "--save", "m.npz", "--quiet")  # fmt: skip
    assert (out.returncode, out.stderr) == (0, "")
    assert "target:  '2' from 2 columns (regression)" in out.stdout
    assert "model:   2 -> 1, relu, 3 parameters" in out.stdout
    assert not re.search("^epoch", out.stdout, re.MULTILINE)
    error, score = re.search(r"^RMS error +\S+ +(\S+)\nR\*\*2 +\S+ +(\S+)$", out.stdout, re.MULTILINE).groups()
    assert float(error) < 0.1
    assert float(score) > 0.99
    wanted = [float(row.split("\t")[1]) for row in line.read_text().splitlines()]
    inputs = tmp_path / "inputs.txt"  # only the inputs, in their order
    inputs.write_text("".join("{0}\t{2}\n".format(*row.split("\t")) for row in line.read_text().splitlines()))
    for file in ("line.txt", "inputs.txt"):
        out = command("predict", "m.npz", file)
        (header,), *rows = table(out.stdout)
        assert header == "prediction"
        assert [float(x) for (x,) in rows] == pytest.approx(wanted, abs=0.3)


@pytest.mark.parametrize("loss", [
    None, "hinge", "multiclass_hinge", "cross_entropy", "binary_cross_entropy_with_logits",
])  # fmt: skip
def test_two_classes_with_every_loss(command, tmp_path, loss):
    rows = "".join(f"{x},{'1.0' if x > 4 and x % 2 else int(x > 4)}\n" for x in range(10))
    (tmp_path / "data.csv").write_text("x,big\n" + rows)
    options = ["--loss", loss] if loss else []
    out = command("train", "data.csv", "--target", "-1", "--test", "0", "--epochs", "80", "--lr", "0.05",
                  "--save", "m.npz", *options)  # fmt: skip
    assert (out.returncode, out.stderr) == (0, "")
    assert "classification, 2 classes" in out.stdout
    assert f"loss:    {loss or 'binary_cross_entropy_with_logits'}," in out.stdout
    assert re.search(r"^accuracy +100.00%$", out.stdout, re.MULTILINE)
    out = command("predict", "m.npz", "data.csv")
    header, *rows = table(out.stdout)
    assert [row[0] for row in rows] == ["0"] * 5 + ["1"] * 5
    assert header[1:] == ([] if loss and "hinge" in loss else ["probability of 0", "probability of 1"])
    assert all(float(row[1 + int(row[0])]) > 0.5 for row in rows if len(row) > 1)


def test_the_same_seed_gives_the_same_model_everywhere(command, flowers, tmp_path):
    found = set()
    for backend in backends.NAMES:
        for seed in (3, 4):
            out = command("train", "flowers.csv", "--target", "kind", "--features", "1,2", "--epochs", "2", "--hidden",
                          "3", "--seed", seed, "--save", f"{backend}.npz", "--backend", backend, "--quiet")  # fmt: skip
            assert (out.returncode, out.stderr) == (0, "")
            found.add((seed, *(a.tobytes() for a in saving.read(tmp_path / f"{backend}.npz").parameters.values())))
    assert len(found) == 2


def test_scales_are_those_of_the_rows_to_train(command, line, tmp_path):
    for option in ("--standardize", "--no-standardize"):
        out = command("train", "line.txt", "--delimiter", "\\t", "--no-header", "--target", "2", "--epochs", "1",
                      option, "--save", "m.npz", "--test", "0.5")  # fmt: skip
        assert out.returncode == 0
        recipe = Recipe.from_dict(saving.read(tmp_path / "m.npz").extra)
        if option == "--no-standardize":
            assert (recipe.means, recipe.scales) == ([0.0, 0.0], [1.0, 1.0])
            assert (recipe.target_mean, recipe.target_scale) == (0.0, 1.0)
            continue
        columns = list(zip(*(map(float, row.split("\t")) for row in line.read_text().splitlines())))
        everything = mean_and_scale(columns[0])
        assert everything[0] != recipe.means[0] == pytest.approx(everything[0], abs=0.5)
        assert recipe.scales[1] == pytest.approx(2 / 12**0.5, rel=0.5)
        assert 990 < recipe.target_mean < 1000


BAD = [
    ("a,b,t\n1,2,3\n1,x,4\n", "bad.csv, line 3, column 2 (b): 'x' is not a finite number; --features chooses"),
    ("a,b,t\n1,2,3\n1,,4\n", "bad.csv, line 3, column 2 (b): the cell is empty, where a number is needed"),
    ("a,b,t\n1,nan,3\n", "bad.csv, line 2, column 2 (b): 'nan' is not a finite number"),
    ("a,b,t\n1,-inf,3\n", "bad.csv, line 2, column 2 (b): '-inf' is not a finite number"),
    ("a,b,t\n1,1_0,3\n", "'1_0' is not a finite number"),
    ("a,b,t\n\n1,2\n", "bad.csv, line 3: 2 cells, but there are 3 columns"),
    ("a,b,t\n1,2,3,4\n", "bad.csv, line 2: 4 cells, but there are 3 columns"),
    ('a,b,t\n1,"2\n\n",3\n1,2,\n', "bad.csv, line 5, column 3 (t): the target is empty"),
    ('a,b,t\n1,2,3\n1,"2,3\n', "bad.csv, line 3: unexpected end of data"),
    ("a,b,t\n1,2,3\n1,2,x\n", "bad.csv, line 3, column 3 (t): 'x' is not a finite number, but line 2 has '3'"),
    ("a,b,t\n1,2,x\n1,2,x\n", "line 2, column 3 (t): every row has the same target, 'x': nothing to learn"),
    ("a,b,t\n1,2,x\n1,2,y\n1,2,z\n", "every row has a target of its own, so these are no classes"),
    ("a,b,c\n1,2,3\n", "bad.csv, line 1: no column 't' (--target); the columns are 'a', 'b', 'c'"),
    ("a;b;t\n1;2;3\n", "Is it delimited by ';'? See --delimiter"),
    ("a,b,a,t\n1,2,3,4\n", "bad.csv, line 1, column 3: a second column is called 'a' (the first is column 1)"),
    ("a,,t\n1,2,3\n", "bad.csv, line 1, column 2: the column has no name"),
    ("", "bad.csv: the file is empty"),
    ("a,b,t\n", "bad.csv: 0 rows of data is too little"),
    ("a,b,t\n1,2,3\n", "bad.csv: 1 row of data is too little"),
    ("t\n1\n2\n", "bad.csv: there is no column but the target"),
    (b"a,b,t\n1,2,3\n1,\xe9,3\n", "bad.csv, line 3: byte 0xe9 is not UTF-8; save the file as UTF-8"),
    (b"\xff\xfea\x00,\x00", "bad.csv, line 1: byte 0xff is not UTF-8"),
    ("a,b,t\n" + "1e308,-1e308,3\n1e308,1,4.5\n" * 2, ". A smaller --lr (now 0.01) may help"),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_bad_data(command, tmp_path, content, message):
    (tmp_path / "bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    options = ["--no-standardize"] if "--lr" in message else []
    out = command("train", "bad.csv", "--target", "t", "--save", "m.npz", "--epochs", "3", "--quiet", *options)
    assert out.returncode == 1
    assert out.stderr.startswith("error: ")
    assert message in out.stderr
    assert out.stderr.count("\n") == 1
    assert not (tmp_path / "m.npz").exists()


def test_wrong_command_lines(command, flowers):
    train = ["train", "flowers.csv", "--target", "kind"]
    for arguments, status, message in [
        (["train", "flowers.csv"], 2, "--target"), ([*train, "--hidden", "16,x"], 2, "such as 16,16, or 'none'"),
        ([*train, "--hidden", "0"], 2, "sizes of layers"), ([*train, "--epochs", "0"], 2, "must be at least 1"),
        ([*train, "--lr", "-1"], 2, "must be above 0, not -1"), ([*train, "--test", "1"], 2, "below 1, not 1"),
        ([*train, "--delimiter", "ab"], 2, "one character, or 'tab', not 'ab'"),
        ([*train, "--save", "m.txt"], 2, "error: --save m.txt: "),
        ([*train, "--save", "no/m.npz"], 2, "there is no folder no"), ([*train, "--loss", "l1"], 2, "invalid choice"),
        ([*train, "--loss", "mse", "--task", "classification"], 2, "--loss mse is for regression, not for --task"),
        ([*train, "--loss", "mse", "--features", "1"], 1, "line 2, column 3 (kind): 'rose' is not a"),
        ([*train, "--loss", "hinge", "--features", "1"], 1, "is for two classes, but flowers.csv, column 3"),
        ([*train, "--loss", "binary_cross_entropy", "--features", "1"], 1, "use binary_cross_entropy_with_logits"),
        ([*train, "--features", "length,size"], 1, "no column 'size' (--features)"),
        ([*train, "--features", "length,kind"], 1, "'kind' is the target"),
        ([*train, "--features", "length,1"], 1, "'length' is named twice"),
        ([*train, "--target", "9"], 1, "no column '9'"),
        (["train", "none.csv", "--target", "x"], 1, "error: none.csv: No such file"),
        (["train", ".", "--target", "x"], 1, "error: .: Is a directory"),
        (["predict", "m.npz"], 2, "DATA.csv"), (["predict", "none.npz", "flowers.csv"], 1, "none.npz: No such file"),
        (["predict", "flowers.csv", "flowers.csv"], 1, "error: flowers.csv"),
    ]:  # fmt: skip
        out = command(*arguments)
        assert (out.returncode, out.stdout) == (status, "")
        assert message in out.stderr
        assert "Traceback" not in out.stderr
    assert "train a network on a CSV file" in command("--help").stdout
    assert "compiled to a program that runs in C" in " ".join(command("train", "--help").stdout.split())


@pytest.fixture
def model(command, tmp_path):
    """A trained regression of t by a and b."""
    (tmp_path / "data.csv").write_text("a,b,t\n1,2,3.5\n2,3,4\n3,5,6\n")
    assert command("train", "data.csv", "--target", "t", "--epochs", "2", "--save", "m.npz").returncode == 0


def test_bad_data_to_predict(command, model, tmp_path):
    (tmp_path / "old.csv").write_text("kept")
    for content, message in [
        ("a,c\n1,2\n", "new.csv, line 1: no column 'b' (an input of the model); the columns are 'a', 'c'"),
        ("a;b\n1;2\n", "Is it delimited by ';'?"),
        ("b,a\n1,2\n1\n", "new.csv, line 3: 1 cell, but there are 2 columns"),
        ("b,x,a\n1,text,2\n1,text,?\n", "new.csv, line 3, column 3 (a): '?' is not a finite number"),
        ("b,a\n1,\n", "new.csv, line 2, column 2 (a): the cell is empty"), ("", "new.csv: the file is empty"),
    ]:  # fmt: skip
        (tmp_path / "new.csv").write_text(content)
        out = command("predict", "m.npz", "new.csv", "--output", "old.csv")
        assert (out.returncode, out.stdout) == (1, "")
        assert out.stderr.startswith(f"error: {message.split(',')[0] if message.startswith('new') else 'new.csv'}")
        assert message in out.stderr
        assert (tmp_path / "old.csv").read_text() == "kept"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["data.csv", "m.npz", "new.csv", "old.csv"]
    out = command("predict", "m.npz", "data.csv", "--output", "no/p.csv")
    assert (out.returncode, "no" in out.stderr, "Traceback" in out.stderr) == (1, True, False)
    out = command("predict", "m.npz", "data.csv", "--output", os.devnull)
    assert out.returncode == 2
    assert "no regular file" in out.stderr
    (tmp_path / "bare.csv").write_text("1,2,3,4\n")
    out = command("predict", "m.npz", "bare.csv", "--no-header")
    assert "line 1: 4 columns without names, but the model has 2 inputs, from a file with 3 columns" in out.stderr
    (tmp_path / "bare.csv").write_text("1,2\n3,4\n")
    out = command("predict", "m.npz", "bare.csv")  # names like numbers are no column numbers
    assert (out.returncode, out.stdout) == (1, "")
    assert "line 1: no column 'a' (an input of the model); the columns are '1', '2'" in out.stderr


def test_a_model_that_train_did_not_make(command, tmp_path):
    from pygrad._recipe import Recipe
    from pygrad.nn import MLP

    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    forged = {
        "recipe": 1, "features": ["a", "b"], "positions": [0, 1], "columns": 3, "header": True, "delimiter": ",",
        "target": "y", "loss": "mse", "classes": [], "means": [0.0, 0.0], "scales": [1.0, 1.0], "target_mean": 0.0,
        "target_scale": 1.0,
    }  # fmt: skip
    Recipe.from_dict(forged)
    wrong = [{**forged, "delimiter": "ab"}, {**forged, "scales": [0.0, 1.0]}, {**forged, "delimiter": 1}]
    for extra in (None, {"recipe": 1}, {"recipe": 2}, {"a": 3}, *wrong):
        saving.save(MLP(2, 1), tmp_path / "m.npz", extra=extra)
        out = command("predict", "m.npz", "data.csv")
        assert (out.returncode, out.stdout) == (1, "")
        assert out.stderr == (
            "error: m.npz: it has no description of its columns: `python -m pygrad train` did not make it\n"
        )


def test_predictions_stream(command, model, tmp_path):
    """The rows before a bad one are there; and a reader that goes away is no error of ours."""
    (tmp_path / "new.csv").write_text("a,b\n1,2\n3,x\n")
    out = command("predict", "m.npz", "new.csv")
    assert len(out.stdout.splitlines()) == 2
    assert "line 3, column 2 (b)" in out.stderr
    (tmp_path / "long.csv").write_text("a,b\n" + "1,2\n" * 50_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "pygrad", "predict", "m.npz", "long.csv"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline().strip() == b"prediction"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


@pytest.mark.skipif(os.name == "nt", reason="a child cannot be sent Ctrl-C alone")
def test_ctrl_c_keeps_the_model(flowers, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "pygrad", "train", "flowers.csv", "--target", "kind", "--features", "1,2",
         "--epochs", "1000000", "--save", "m.npz"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert any(text.startswith("epoch") for text in process.stdout)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    expected = r"^interrupted after \d+ of 1000000 epochs.*; trained in .* s, on a compiled program; saved to m.npz$"
    assert re.search(expected, out, re.MULTILINE)
    assert saving.read(tmp_path / "m.npz").model().predict_proba([[0, 0]], loss="cross_entropy").shape == (1, 3)


@pytest.mark.skipif(os.name == "nt", reason="a child cannot be sent Ctrl-C alone")
def test_ctrl_c_while_predicting(model, tmp_path):
    (tmp_path / "long.csv").write_text("a,b\n" + "1,2\n" * 50_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "pygrad", "predict", "m.npz", "long.csv"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline().strip() == b"prediction"
    process.send_signal(signal.SIGINT)  # the pipe is full by now, or will be: it cannot have ended
    _, err = process.communicate()
    assert (process.returncode, err) == (130, b"")


# ---- what a target is taken for ----


def decided(cells, task="auto", tmp="t.csv"):
    class File:
        def where(self, line, column):
            return f"line {line}"

    target = Target(File(), 0, task)
    for i, cell in enumerate(cells):
        target.add(_csv.Row(i + 2, [cell]))
    return target.decided()


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        (["0", "1", "0", "1"], "auto", ["0", "1"]),
        (["10", "9", "9.0", "10"], "auto", ["9", "10"]),
        (["0", "1", "2", "0"], "auto", []),
        (["0.5", "1", "0.5", "1"], "auto", []),
        (["0.5", "1", "0.5", "1"], "classification", ["0.5", "1"]),
        ([str(i % 11) for i in range(50)], "auto", []),
        ([str(i % 10) for i in range(50)], "auto", [str(i) for i in range(10)]),
        (["0", "1", "0", "1"], "regression", []),
        (["b", " a", "a "], "auto", ["a", "b"]),
        (["b", "2", "2", "b"], "classification", ["2", "b"]),
    ],
)
def test_what_a_target_is_taken_for(cells, task, classes):
    found, targets = decided(cells, task)
    assert found == classes
    wanted = [float(cell) for cell in cells] if not classes else None
    if wanted:
        assert targets == wanted
    else:
        assert [found[i] for i in targets] == [
            cell.strip() if not cell.strip().replace(".", "").isdigit() else f"{float(cell):g}" for cell in cells
        ]


def test_mean_and_scale():
    assert mean_and_scale([1.0, 3.0]) == (2.0, 1.0)
    assert mean_and_scale([0.1] * 10) == (pytest.approx(0.1), 1.0)
    mean, scale = mean_and_scale([1e9 + x for x in (1, 2, 3, 4)])
    assert (mean, scale) == pytest.approx((1e9 + 2.5, 1.25**0.5))


def test_recipes_are_checked():
    good = Recipe(["a"], [0], 2, True, ",", "t", "mse", [], [0.0], [1.0], 0.0, 1.0).to_dict()
    assert Recipe.from_dict(good).to_dict() == good
    assert Recipe.from_dict({**good, "means": [1.0], "scales": [4.0]}).scaled([3.0]) == [0.5]
    for wrong in [
        {"means": []}, {"scales": ["1"]}, {"positions": [2]}, {"features": "a", "positions": [0.5]}, {"loss": "x"},
        {"classes": ["a"]}, {"target": 3}, {"more": 1}, {"target_mean": None}, {"means": 3},
    ]:  # fmt: skip
        with pytest.raises(ValueError, match="no description of its columns"):
            Recipe.from_dict({**good, **wrong})
