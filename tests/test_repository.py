"""Rules for the whole repository: sizes, direction of imports, tools."""

import ast
import functools
import graphlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A Space takes larger files only through LFS.
MAX_BYTES = 10_000_000


def repository_files():
    """Every file that is tracked or would be by `git add .`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, so there is no list of tracked files")
    paths = [ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def sources(folder):
    return sorted((ROOT / folder).rglob("*.py"))


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_modules(path):
    """Yields each imported module's dotted name, with its leading dots if it is relative."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def importers(paths, package):
    return [
        str(path.relative_to(ROOT))
        for path in paths
        if any(name.split(".")[0] == package for name in imported_modules(path))
    ]


def test_no_file_is_too_large_for_a_space():
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in repository_files()}
    assert not {name: size for name, size in sizes.items() if size > MAX_BYTES}


def test_vif_has_sources():
    assert sources("vif")


def test_only_the_page_imports_gradio():
    outside = [path for path in sources("vif") if ROOT / "vif" / "ui" not in path.parents]
    assert not importers([*outside, *sources("training")], "gradio")


def test_vif_and_the_app_do_not_import_training():
    app = [path for path in [ROOT / "app.py"] if path.exists()]
    assert not importers([*sources("vif"), *app], "training")


def test_vif_does_not_import_the_app_or_the_tests():
    for package in ("app", "tests"):
        assert not importers(sources("vif"), package)


def test_no_import_is_relative():
    relative = {
        str(path.relative_to(ROOT)): name
        for path in [*sources("vif"), *sources("training"), *sources("tests")]
        for name in imported_modules(path)
        if name.startswith(".")
    }
    assert not relative


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def import_graph():
    """Every module of the project and the modules of the project that it imports anywhere."""
    paths = [*sources("vif"), *sources("training"), ROOT / "app.py"]
    known = {module_name(path): path for path in paths}
    graph = {}
    for name, path in known.items():
        found = graph.setdefault(name, set())
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                dotted = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {one if one in known else node.module for one in dotted}
        graph[name] = {one for one in found if one in known and one != name}
    return graph


def test_no_module_is_imported_in_a_circle():
    # TopologicalSorter raises CycleError, which names the circle.
    assert list(graphlib.TopologicalSorter(import_graph()).static_order())


def test_no_folder_is_imported_in_a_circle():
    """In every folder, its subfolders and modules depend on each other in one direction."""
    graph = import_graph()
    parents = {name.rpartition(".")[0] for name in graph}
    # The parents of folders without modules of their own.
    parents |= {parent.rpartition(".")[0] for parent in parents}
    for parent in parents:
        depth = len(parent.split(".")) if parent else 0
        inside = {
            name: ".".join(name.split(".")[: depth + 1])
            for name in graph
            if not parent or name.startswith(f"{parent}.")
        }
        entries = {entry: set() for entry in inside.values()}
        for name, entry in inside.items():
            entries[entry] |= {inside[one] for one in graph[name] if one in inside} - {entry}
        assert list(graphlib.TopologicalSorter(entries).static_order())


def test_no_import_of_the_project_is_hidden_inside_a_function():
    hidden = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in [*sources("vif"), *sources("training"), ROOT / "app.py"]
        for function in ast.walk(tree_of(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and node.module
        and node.module.split(".")[0] in ("vif", "training")
    ]  # fmt: skip
    assert not hidden


def makefile_targets():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, flags=re.MULTILINE))


def test_makefile_has_its_targets():
    assert {"demo", "test", "lint", "format", "clean", "help"} <= makefile_targets()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_every_make_target_is_explained_by_help():
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    explained = set(re.findall(r"^make ([a-z-]+) ", shown, flags=re.MULTILINE))
    assert explained == makefile_targets() - {"help"}


def test_no_comparison_asks_for_more_digits_than_float32_has():
    """NumPy's default of 1e-7 holds only on one machine with one number of threads."""
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("tests")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "np.testing.assert_allclose"
        and "rtol" not in {keyword.arg for keyword in node.keywords}
    ]
    assert bare == []


def test_ci_is_executable():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def requirements(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-test.txt", "requirements-docs.txt"]
)
def test_every_requirement_has_an_upper_bound(name):
    assert requirements(name)
    assert not [line for line in requirements(name) if not re.search(r"<\d|==", line)]


def test_ruff_that_is_installed_is_the_ruff_that_is_configured():
    (pin,) = [line for line in requirements("requirements-test.txt") if line.startswith("ruff==")]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pin.removeprefix("ruff==") in settings["tool"]["ruff"]["required-version"]
