"""README and docs: commands are parsed by their own parsers, links and files exist."""

import argparse
import ast
import importlib
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from transformers import HfArgumentParser

import app
from training.adapter.arguments import VIFArguments, VIFTrainingArguments
from vif.__main__ import build_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    ROOT / "training" / "README.md",
    ROOT / "assets" / "SOURCES.md",
]
SOURCES = [ROOT / "app.py", *(ROOT / "vif").rglob("*.py"), *(ROOT / "training").rglob("*.py")]
STARTS = r"(?:python -m|python app\.py|vif|make|pip install) "
# Programs of others, whose flags are not ours to check.
OTHERS = (
    "accelerate", "cd", "curl", "git", "jupyter", "lmms-eval", "pre-commit", "torchrun"
)  # fmt: skip


def text_of(path):
    return path.read_text(encoding="utf-8")


def code_blocks(markdown, language=r"[^\n]*"):
    pattern = rf"^ *```{language}\n(.*?)^ *```"
    return re.findall(pattern, markdown, flags=re.MULTILINE | re.DOTALL)


def commands(markdown):
    """Every command of the bash blocks, and whole ones in running text, as words."""
    lines = [
        line
        for block in code_blocks(markdown, "bash")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    prose = re.sub(r"^ *```.*?^ *```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    lines += re.findall(r"`((?:python|vif|make|pip install) [^`]*)`", prose)
    yield from told(lines)


def told(lines):
    """The commands of these lines, as words, without those that end in ``...``."""
    for line in lines:
        words = shlex.split(line.replace("\n", " "), comments=True)
        words = [word for word in words if word != "--help"]
        while words and (given := re.fullmatch(r"[A-Z_]+=(\$\()?(.*)", words[0])):
            words = [*filter(None, [given[1] and given[2]]), *words[1:]]
        if words and words[-1] != "..." and not {"COMMAND", "X"} & set(words):
            yield words


def docstrings(path):
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def commands_of_docstring(docstring):
    """Commands on lines of their own, which are indented, and in double backticks."""
    lines = re.findall(rf"^ +({STARTS}.*)$", docstring.replace("\\\n", " "), flags=re.MULTILINE)
    yield from told([*lines, *re.findall(rf"``({STARTS}[^`]*)``", docstring)])


def all_commands():
    for path in PAGES:
        for words in commands(text_of(path)):
            yield pytest.param(words, id=f"{path.relative_to(ROOT)}: {' '.join(words)[:60]}")
    for path in SOURCES:
        for docstring in docstrings(path):
            for words in commands_of_docstring(docstring):
                yield pytest.param(words, id=f"{path.relative_to(ROOT)}: {' '.join(words)[:60]}")


class Parsed(Exception):
    """Raised instead of the work after parsing."""


def parse_module(name, arguments, monkeypatch):
    """Parses the arguments of a module that makes its parser in ``main``."""
    real = argparse.ArgumentParser.parse_args

    def parse(self, *given):
        real(self, *given)
        raise Parsed

    module = importlib.import_module(name)
    if not hasattr(module, "main"):
        module = importlib.import_module(f"{name}.__main__")
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    with pytest.raises(Parsed):
        module.main()


def check_python(words, monkeypatch):
    match words:
        case ["-m", "vif", *arguments]:
            check_vif(arguments)
        case ["app.py", *arguments]:
            app.parse_arguments(arguments)
        case ["-m", "training.train_vif", *arguments]:
            HfArgumentParser((VIFArguments, VIFTrainingArguments)).parse_args(arguments)
        case ["-m", name, *arguments] if name.startswith("training."):
            parse_module(name, arguments, monkeypatch)
        case ["-m", "torch.distributed.run" | "venv" | "pytest" | "ruff" | "pip", *_]:
            pass
        case _:
            pytest.fail(f"nothing parses python {' '.join(words)}")


def check_vif(arguments):
    """Whole commands are parsed; a mere name in running text is looked up."""
    if len(arguments) > 1:
        build_parser().parse_args(arguments)
    elif arguments:
        with pytest.raises(SystemExit) as stopped:
            build_parser().parse_args([*arguments, "--help"])
        assert stopped.value.code == 0


def check_install(words):
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    for word in words:
        if found := re.fullmatch(r"\.\[(.*)\]", word):
            assert set(found[1].split(",")) <= set(extras)
        elif word.endswith(".txt"):
            assert (ROOT / word).is_file()


def makefile_targets():
    return set(re.findall(r"^([a-z][a-z-]*):", text_of(ROOT / "Makefile"), flags=re.MULTILINE))


@pytest.mark.parametrize("words", all_commands())
def test_every_printed_command_is_one(words, monkeypatch):
    match words:
        case ["make", *given]:
            assert {word for word in given if "=" not in word} <= makefile_targets()
        case ["python", *given]:
            check_python(given, monkeypatch)
        case ["vif", *arguments]:
            check_vif(arguments)
        case ["pip", "install", *given]:
            check_install(given)
        case ["bash", script, *_]:
            assert (ROOT / script).is_file()
        case ["accelerate", "launch", *given] if "-m" in given:
            check_python(given[given.index("-m") :], monkeypatch)
        case _:
            assert words[0] in OTHERS


def test_commands_are_found_in_blocks_and_in_text():
    markdown = "Run `make demo`.\n```bash\nA=1 vif ask \\\n  --scene 3  # a scene\n```\n"
    assert list(commands(markdown)) == [["vif", "ask", "--scene", "3"], ["make", "demo"]]
    docstring = "Prints it: ``vif models``.\n\n    python -m vif ask --scene 3\n"
    assert list(commands_of_docstring(docstring)) == [
        ["python", "-m", "vif", "ask", "--scene", "3"], ["vif", "models"]
    ]  # fmt: skip


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    prose = re.sub(r"^ *```.*?^ *```", "", text_of(path), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose)
    local = [link for link in links if "://" not in link]
    assert not [link for link in local if not (path.parent / link).exists()]


def test_the_readme_is_short_and_names_both_commands():
    readme = text_of(ROOT / "README.md")
    assert len(readme.splitlines()) < 200
    assert {("make", "demo"), ("make", "test")} <= {tuple(words) for words in commands(readme)}


def tree_entries(block):
    """Yields each path of an annotated tree, which is indented by blanks."""
    folders = []
    for line in filter(str.strip, block.splitlines()):
        name, depth = line.strip().split("  ")[0], len(line) - len(line.lstrip())
        folders = [(indent, folder) for indent, folder in folders if indent < depth]
        yield "".join(folder for _, folder in folders) + name
        if name.endswith("/"):
            folders.append((depth, name))


def test_the_tree_of_the_architecture_is_that_of_the_repository():
    (block,) = [b for b in code_blocks(text_of(ROOT / "docs/architecture.md")) if "\nvif/" in b]
    shown = set(tree_entries(block))
    assert not [entry for entry in shown if not (ROOT / entry).exists()]
    rooms = {f"vif/{path.parent.name}/" for path in (ROOT / "vif").glob("*/__init__.py")}
    assert rooms <= shown
