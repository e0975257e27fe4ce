"""docs/how_it_works.md names functions that exist, one below each equation."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs/how_it_works.md"
TEXT = PAGE.read_text(encoding="utf-8")
REFERENCE = re.compile(r"\[`([^`]+)`\]\((\.\./tnqrnn/[^)]+\.py)\)")
BLOCK = re.compile(r"```text\n(.*?)```\n+([^`\n][^\n]*)?", re.DOTALL)


def defined_names(path: pathlib.Path) -> set[str]:
    """Functions, classes and values of a module, methods as ``Class.method``."""
    names = set()

    def collect(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef):
                names.add(prefix + node.name)
            elif isinstance(node, ast.ClassDef):
                names.add(prefix + node.name)
                collect(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign):
                targets = [t for t in node.targets if isinstance(t, ast.Name)]
                names.update(prefix + target.id for target in targets)

    collect(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return names


def test_the_page_refers_to_code_by_links_alone():
    named = re.findall(r"\w+\.py\b", TEXT)
    assert named and len(named) == len(REFERENCE.findall(TEXT))


@pytest.mark.parametrize("name, link", sorted(set(REFERENCE.findall(TEXT))))
def test_every_function_that_the_page_names_exists(name, link):
    path = (PAGE.parent / link).resolve()
    assert path.is_file()
    assert name in defined_names(path)


def test_every_equation_is_followed_by_the_function_that_computes_it():
    blocks = BLOCK.findall(TEXT)
    assert len(blocks) == TEXT.count("```text")
    equations = [block for block in blocks if "--" not in block[0]]  # no diagrams
    missing = [text for text, below in equations if not below.startswith("In code: ")]
    assert len(equations) > 20 and not missing, "\n".join(missing)


def test_the_glossary_has_fifteen_words_in_order():
    glossary = TEXT.split("## Fifteen words")[1].split("\n## ")[0]
    words = re.findall(r"^\| ([^|]+) \|", glossary, re.MULTILINE)[1:]
    words = [word for word in words if set(word) != {"-"}]
    assert len(words) == 15
    assert words == sorted(words, key=str.lower)
