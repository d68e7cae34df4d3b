"""Nothing that is read may be run: no pickle, no eval, no shell, anywhere in the package."""

import ast

import pytest

from places import ROOT

FILES = sorted((ROOT / "src").rglob("*.py"))
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
    "imp",
}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "runpy.run_path"}
CALLS |= {"torch.jit.load", "torch.hub.load", "subprocess.getoutput"}


def dotted(node):
    """`a.b.c` of a name or attribute; "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def known_as(tree):
    """Local name -> what it was imported as, so that `from os import system` and `import numpy as np` are seen."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                one.asname or one.name.split(".")[0]: one.name if one.asname else "" for one in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return {local: whole for local, whole in names.items() if whole}


def option(call, name):
    """The value of a keyword as written; None where it is not given."""
    return next((ast.unparse(word.value) for word in call.keywords if word.arg == name), None)


def faults(source):
    """Line and reason of everything in a module that could run what a file says."""
    tree = ast.parse(source)
    names = known_as(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [n.name for n in node.names]
            )
            yield from (f"{node.lineno}: imports {m}" for m in modules if m.split(".")[0] in MODULES)
        if not isinstance(node, ast.Call):
            continue
        first, _, rest = dotted(node.func).partition(".")
        called = names.get(first, first) + (f".{rest}" if rest else "")
        if called in CALLS:
            yield f"{node.lineno}: calls {called}"
        if (shell := option(node, "shell")) not in (None, "False"):
            yield f"{node.lineno}: shell={shell}"
        if called in ("torch.load", "numpy.load", "np.load") or called.endswith(
            (".read_array", ".write_array")
        ):
            wanted = "weights_only" if called == "torch.load" else "allow_pickle"
            safe = "True" if called == "torch.load" else "False"
            if option(node, wanted) != safe:
                yield f"{node.lineno}: {called} without {wanted}={safe}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_nothing_that_is_read_can_be_run(path):
    assert list(faults(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads as read",
        "import os\nos.system('ls')",
        "from os import system as call\ncall('ls')",
        "eval('1')",
        "subprocess.run('ls', shell=True)",
        "import torch\ntorch.load(file)",
        "from torch import load\nload(file, weights_only=False)",
        "import numpy as np\nnp.load(file)",
        "import numpy as np\nnp.load(file, allow_pickle=True)",
        "_npy.write_array(file, array)",
    ],
)
def test_the_check_sees_what_it_looks_for(line):
    assert list(faults(line))


def test_the_check_lets_safe_ways_pass():
    safe = (
        "import numpy as np\nimport torch\nnp.load(f, allow_pickle=False)\ntorch.load(f, weights_only=True)"
    )
    assert list(faults(f"{safe}\nnet.eval()\nre.compile('a')\nsubprocess.run(['ls'])")) == []
