"""What the texts name exists: files, links, modules, the fields of configuration, and commands that parse."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from kybern import config
from kybern.cli import arguments

ROOT = Path(__file__).parents[2]
TEXTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "plugins/*/README.md", "examples/*/README.md")
    for path in ROOT.glob(pattern)
)
SUFFIXES = (".py", ".pyi", ".md", ".toml", ".ini")
FOR_EXAMPLE = ("kybern.toml", "my_controllers/__init__.py")
"""Files of the reader's own."""
OF_A_CLUSTER = ("pki/",)
"""Folders of a running cluster's state."""


def place(text: Path) -> str:
    return str(text.relative_to(ROOT))


def sources() -> set[PurePosixPath]:
    """Every source file and every folder above it."""
    found = {
        PurePosixPath(file.relative_to(ROOT))
        for top in ("core", "plugins", "docs", "examples", "tests", "benchmarks", "tools")
        for file in (ROOT / top).rglob("*")
        if file.suffix in SUFFIXES
    }
    found |= {PurePosixPath(file.name) for file in ROOT.iterdir() if file.is_file()}
    return found | {folder for file in found for folder in file.parents}


def pattern(path: str) -> re.Pattern[str]:
    """`.../` stands for any folders; a path may leave out the folders that it begins with."""
    parts = (".*" if part == "..." else re.escape(part) for part in path.rstrip("/").split("/"))
    return re.compile(r"(?:.*/)?" + "/".join(parts))


def paths(text: Path) -> list[str]:
    quoted = re.findall(r"`([\w./-]+)`", text.read_text())
    return [p for p in quoted if p.endswith((*SUFFIXES, "/")) and p not in (*FOR_EXAMPLE, *OF_A_CLUSTER)]


def blocks(text: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", text.read_text(), re.MULTILINE | re.DOTALL)
    return [block for language, block in found if language in languages]


def commands(text: Path) -> list[str]:
    """Lines of `kybern ...`, in backticks or in a block; without comments and what follows it."""
    quoted = [q.replace("\\|", "|") for q in re.findall(r"`(kybern [a-z][^`\n]*)`", text.read_text())]
    shown = re.findall(r"^(?:    |\$ )?(kybern [a-z].*)$", text.read_text(), re.MULTILINE)
    return [re.split(r"  #| && ", line)[0].strip() for line in (*quoted, *shown) if "..." not in line]


def variants(command: str) -> list[list[str]]:
    """The command with what it must have; then with each optional part, and each choice of it."""
    command = command.replace("N]", "1]").replace("--port P", "--port 0").replace("rate N", "rate 2")
    options = re.findall(r"\[([^\]]*)\]", command)
    bare = re.sub(r"\[[^\]]*\]", "", command)
    return [shlex.split(bare), *(shlex.split(f"{bare} {choice}") for part in options for choice in part.split("|"))]


@pytest.mark.parametrize("text", TEXTS, ids=place)
def test_every_path_in_backticks_is_there(text: Path) -> None:
    there = [str(path) for path in sources()]
    missing = [p for p in paths(text) if not any(pattern(p).fullmatch(path) for path in there)]
    assert missing == []


@pytest.mark.parametrize("text", TEXTS, ids=place)
def test_every_link_leads_somewhere(text: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text.read_text()) if "://" not in link]
    assert [link for link in links if not (text.parent / link).exists()] == []


@pytest.mark.parametrize("text", TEXTS, ids=place)
def test_every_dotted_name_can_be_imported(text: Path) -> None:
    for name in re.findall(r"`(kybern\.[a-z_.]+(?:\.[A-Z]\w+)?)`", text.read_text()):
        if name not in FOR_EXAMPLE:
            module, _, last = name.rpartition(".")
            if last[0].isupper():
                assert hasattr(importlib.import_module(module), last), name
            else:
                importlib.import_module(name)


@pytest.mark.parametrize(
    "command", sorted({line for text in TEXTS for line in commands(text) if not line.startswith("kybern kubectl")})
)
def test_every_command_line_parses(command: str) -> None:
    for words in variants(command):
        arguments.parser().parse_args(words[1:])


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in arguments.COMMANDS if f"`kybern {name}" not in readme] == []


@pytest.mark.parametrize("text", TEXTS, ids=place)
def test_every_piece_of_configuration_is_accepted(text: Path, tmp_path: Path) -> None:
    for piece in blocks(text, "toml"):
        if "project" not in tomllib.loads(piece):
            file = tmp_path / "kybern.toml"
            file.write_text(piece)
            config.load(file)


def test_every_make_target_is_one() -> None:
    texts = "\n".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", texts, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"up", "down", "test"} <= named <= targets


@pytest.mark.anyio
async def test_the_readmes_test_passes(kybern_cluster) -> None:
    names: dict = {}
    exec(blocks(ROOT / "README.md", "python")[0], names)
    assert names["pytestmark"] == pytest.mark.anyio
    await names["test_a_pod_runs"](kybern_cluster)


def test_the_controller_that_is_explained_is_the_one_that_runs() -> None:
    """What the page on controllers quotes stands so in the code; its own example of a plugin begins with a comment."""
    page = ROOT / "docs/controllers.md"
    code = (ROOT / re.findall(r"`(plugins/\S+\.py)`", page.read_text())[0]).read_text()
    tests = "\n".join(file.read_text() for file in (ROOT / "tests/controllers").glob("*.py"))
    quoted = [block for block in blocks(page, "python") if not block.startswith("# ")]
    assert len(quoted) >= 6
    assert [block for block in quoted if block not in code and block not in tests] == []


def test_the_whole_controller_is_shown() -> None:
    page = ROOT / "docs/controllers.md"
    code = (ROOT / re.findall(r"`(plugins/\S+\.py)`", page.read_text())[0]).read_text()
    body = code.partition("import Context, Controller, Key, Result\n")[2]
    shown = {line for block in blocks(page, "python") for line in block.splitlines()}
    assert [line for line in body.splitlines() if line not in shown] == []
