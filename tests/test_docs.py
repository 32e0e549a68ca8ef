"""Help pages, translations, README and the pages of docs/ say what the code says."""

import ast
import asyncio
import json
import re
from pathlib import Path

import pytest
from styo.nodes.extension import StyOExtension
from styo.training.prompts import Prompts
from templates import NAMES

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
TROUBLESHOOTING, PAPER, STRUCTURE = (ROOT / f"docs/{name}.md" for name in ("troubleshooting", "paper", "structure"))
PROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
NODES = {
    schema.node_id: schema for schema in (node.GET_SCHEMA() for node in asyncio.run(StyOExtension().get_node_list()))
}

# There is no file for English: without one the page shows the schemas' own text, which a file would only repeat.
LANGUAGES = ("es", "fr", "ja", "ko", "ru", "zh", "zh-TW")
TRANSLATIONS = {
    language: json.loads((ROOT / f"locales/{language}/nodeDefs.json").read_text("utf-8")) for language in LANGUAGES
}
PAGES = [(node_id, language) for node_id in NODES for language in (None, *LANGUAGES)]

HOLE = "…"
"""Stands for what a message fills in."""
ERRORS = ("ValueError", "RuntimeError", "NonFiniteLoss", "StateIsFurther", "NotStyO", "DamagedFile", "MissingWeights")
ROOMS = ("bridge", "nodes", "styo_attention", "training")
CODE = [path for room in ROOMS for path in (ROOT / room).glob("*.py")]


def page_of(node_id: str, language: str | None) -> Path:
    """The help page that the frontend shows for a node; without a language, the one it falls back to."""
    return ROOT / "web/docs" / (f"{node_id}/{language}.md" if language else f"{node_id}.md")


def tables(markdown: str) -> list[list[str]]:
    """The rows of every table of a text."""
    return [block.splitlines()[2:] for block in re.findall(r"(?:^\|.*\n)+", markdown, re.M)]


def by_name(section: str) -> dict[str, str]:
    """The entries of a help page's section by what they are about."""
    return {re.match(r"- \*\*`(.+?)`\*\*", line)[1]: line for line in section.splitlines() if line.startswith("- **`")}


def tooltips(node_id: str, language: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """What a language says about the inputs and outputs of a node, by their names."""
    schema = NODES[node_id]
    outputs = [output.display_name for output in schema.outputs]
    if language is None:
        return {i.id: i.tooltip for i in schema.inputs}, {o.display_name: o.tooltip for o in schema.outputs}
    entries = TRANSLATIONS[language][node_id]
    return (
        {name: entry["tooltip"] for name, entry in entries["inputs"].items()},
        {outputs[int(number)]: entry["tooltip"] for number, entry in entries["outputs"].items()},
    )


@pytest.mark.parametrize(("node_id", "language"), PAGES)
def test_a_help_page_explains_every_input_and_output_as_its_tooltip_does(node_id, language):
    schema = NODES[node_id]
    inputs, outputs = map(by_name, re.split(r"^## .*$", text_of(page_of(node_id, language)), flags=re.M)[1:3])
    input_words, output_words = tooltips(node_id, language)
    assert list(inputs) == [entry.id for entry in schema.inputs]
    assert list(outputs) == [entry.display_name for entry in schema.outputs]
    for entry in schema.inputs:
        row = inputs[entry.id]
        assert re.search(rf" {entry.get_io_type()}( ·|<br>)", row)
        assert input_words[entry.id] in row
        if isinstance(default := getattr(entry, "default", None), str | bool):
            assert f"`{json.dumps(default) if isinstance(default, bool) else default}`" in row
        elif default is not None:
            assert f"`{default:g}`" in row
    for entry in schema.outputs:
        assert output_words[entry.display_name] in outputs[entry.display_name]


@pytest.mark.parametrize(("node_id", "language"), PAGES)
def test_a_help_page_fits_its_panel_and_shows_one_picture(node_id, language):
    """The page's panel is 336 pixels wide: a table of more than two columns is cut off there."""
    text = text_of(page_of(node_id, language))
    assert not re.search(r"^\|", text, re.M)
    ((words, picture),) = re.findall(r"!\[(.+?)\]\((.+?)\)", text)
    assert (ROOT / "web/docs" / picture).is_file() and node_id in picture and words


def test_every_help_page_belongs_to_a_node():
    assert {page_of(*page) for page in PAGES} == set((ROOT / "web/docs").rglob("*.md"))


@pytest.mark.parametrize("language", (None, *LANGUAGES))
def test_the_help_page_of_the_prompt_builder_shows_its_prompts(language):
    page = page_of("StyOPromptBuilder", language).read_text("utf-8")
    for name in ("source", "target", "auxiliary", "stylized"):
        assert re.search(rf"^{name} +{re.escape(getattr(Prompts(), name))}$", page, re.M)


def test_there_are_translations_for_these_languages_only():
    assert {path.name for path in (ROOT / "locales").iterdir()} == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_every_node_input_and_output_and_no_other(language):
    assert list(TRANSLATIONS[language]) == list(NODES)
    for node_id, schema in NODES.items():
        entry = TRANSLATIONS[language][node_id]
        english = {socket.tooltip for socket in (*schema.inputs, *schema.outputs)}
        names = {i.id: i.id for i in schema.inputs}, {str(n): o.display_name for n, o in enumerate(schema.outputs)}
        assert schema.display_name in entry["display_name"]
        for part, expected in zip(("inputs", "outputs"), names, strict=True):
            assert list(entry[part]) == list(expected)
            for key, name in expected.items():
                assert name in entry[part][key]["name"], "an error message calls it by its English name"
                assert entry[part][key]["tooltip"] not in english


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translation_holds_message_syntax_of_the_frontend(language):
    for entry in TRANSLATIONS[language].values():
        sockets = [*entry["inputs"].values(), *entry["outputs"].values()]
        for text in (entry["display_name"], entry["description"], *(socket["name"] for socket in sockets)):
            assert not set(text) & set("{}@|")


DOCS = [README, *sorted((ROOT / "docs").glob("*.md"))]


def text_of(page: Path) -> str:
    """A page's Markdown."""
    return page.read_text("utf-8")


def headings(page: Path) -> set[str]:
    """What a link may name on a page: its headings, as GitHub writes them."""
    lines = re.findall(r"^#+ (.+)$", text_of(page), re.M)
    return {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in lines}


def section(page: Path, title: str) -> str:
    """A section of a page, with its subsections."""
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text_of(page), re.M | re.S)[1]


@pytest.mark.parametrize("command", ["python scripts/demo.py", "python scripts/test.py"])
def test_the_readme_gives_each_command_a_line_to_copy(command):
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text_of(README), re.M | re.S)
    assert any(command in block.splitlines() for block in blocks)


def test_the_readme_explains_every_node():
    (rows,) = tables(section(README, "The nodes"))
    assert {re.search(r"\*\*(.+?)\*\*", row)[1] for row in rows} == {schema.display_name for schema in NODES.values()}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_a_page_links_only_to_what_exists(page):
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)|src=\"([^\"]+)\"", text_of(page)):
        path, _, heading = "".join(target).partition("#")
        place = page.parent / path if path else page
        assert place.exists(), target
        assert not heading or heading in headings(place), target


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_a_page_names_only_modules_that_are_there(page):
    for name in re.findall(r"`((?:\w+/)+\w+\.py)`", text_of(page)):
        assert (ROOT / name).is_file(), name


def test_the_readme_leads_to_every_page():
    for page in set(DOCS) - {README}:
        assert f"]({page.relative_to(ROOT).as_posix()})" in text_of(README)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_a_picture_is_told_in_words(page):
    for picture in re.findall(r"<img [^>]+>|!\[.*?\]", text_of(page)):
        words = re.search(r'alt="([^"]*)"|!\[(.*)\]', picture)
        assert len("".join(filter(None, words.groups())).split()) > 5, picture


def test_the_docs_name_every_template():
    (rows, *_) = tables(section(ROOT / "docs/using.md", "Templates and the node for all of it"))
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(NAMES)


@pytest.mark.parametrize(
    "word",
    [
        *("face", "portrait", "style transfer", "cartoon", "avatar", "identity", "one-shot"),
        *("prompt to prompt", "DreamBooth", "LoRA training"),
    ],
)
def test_a_node_is_found_by_what_people_type(word):
    assert any(word in alias for schema in NODES.values() for alias in schema.search_aliases)


def test_every_node_has_other_words_to_be_found_by():
    assert all(len(schema.search_aliases) > 1 for schema in NODES.values())


def test_the_readme_clones_from_the_repository_of_the_metadata():
    repository = re.search(r'^Repository = "(.+)"', PROJECT, re.M)[1]
    assert f"git clone {repository}`" in text_of(README)


def test_the_docs_say_where_each_part_of_the_paper_stands():
    (rows,) = tables(section(PAPER, "Where the paper's parts stand"))
    for row in rows:
        path, name = re.findall(r"`([^`]+)`", row)
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_the_docs_say_what_each_module_is_for():
    folder, listed = "", set()
    for line in text_of(STRUCTURE).splitlines():
        if found := re.match(r"(\w+/) +\w|  (\w+\.py) +\w", line):
            folder = found[1] or folder
            listed |= {folder + found[2]} if found[2] and folder[:-1] in ROOMS else set()
    assert listed == {path.relative_to(ROOT).as_posix() for path in CODE if path.name != "__init__.py"}


def template(node: ast.AST, constants: dict[str, str]) -> str:
    """The text of a string expression, with a HOLE where it fills something in."""
    match node:
        case ast.Constant(str(text)):
            return re.sub(r"%[.\d]*[sdf]", HOLE, text)
        case ast.Name(name) if name in constants:
            return str(constants[name])
        case ast.FormattedValue(value):
            return template(value, constants)
        case ast.JoinedStr(parts):
            return "".join(template(part, constants) for part in parts)
        case ast.Call(ast.Attribute(text, "format")):
            return re.sub(r"{\w*}", HOLE, template(text, constants))
    return HOLE


def messages() -> set[str]:
    """Every error and warning that the pack words itself."""
    found = set()
    for path in (*CODE, ROOT / "demo/weights.py"):
        tree = ast.parse(path.read_text("utf-8"))
        constants = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Raise(ast.Call(ast.Name(name), [text])) if name in ERRORS:
                    found.add(template(text, constants))
                case ast.Call(ast.Attribute(ast.Name("logging"), "warning" | "error"), [text, *_]):
                    found.add(template(text, constants))
                case ast.Call(ast.Attribute(_, "warn_once"), [text, *_]):
                    found.add(template(text, constants))
    return {message for message in found if len(words(message)) >= 3}


def words(text: str) -> list[str]:
    """What a message says besides what it fills in."""
    return re.findall(r"\w+", text)


def quotes() -> list[str]:
    """Every message that the troubleshooting page quotes: the code spans of its tables' first columns."""
    rows = re.findall(r"^\| (.*)", text_of(TROUBLESHOOTING), re.M)
    spans = [span for row in rows for span in re.findall(r"(`+) ?(.+?) ?\1(?!`)", row.split(" | ")[0])]
    return [text for _, text in spans]


def quoted(message: str, quote: str) -> bool:
    """Whether a message contains the fragments of a quote, in order."""
    return bool(re.search(".*".join(re.escape(part.strip()) for part in quote.split(HOLE)), message, re.S))


@pytest.mark.parametrize("quote", quotes())
def test_troubleshooting_quotes_only_messages_of_the_code(quote):
    assert len(words(quote)) >= 3
    assert any(quoted(message, quote) for message in messages())


@pytest.mark.parametrize("message", sorted(messages()))
def test_troubleshooting_explains_every_message_of_the_code(message):
    assert any(quoted(message, quote) for quote in quotes())
