"""Whatever the text, a page shows it as it is: no markup, no HTML, no link, no cell of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from flows.artifacts.markdown import block, code, inline, label, picture, quoted, table
from flows.summary.table import Table
from flows.wording import visible

HOSTILE = {
    "cell": "a | b || c",
    "html": '<script>alert("1")</script><img src=x onerror=alert(1)>',
    "code": "` `` ``` ~~~",
    "emphasis": "**bold** _it_ __init__ ~~gone~~",
    "link": "[here](http://evil.example) ![x](javascript:alert(1)) <http://evil.example>",
    "address": "http://evil.example www.evil.example me@evil.example",
    "heading": "# not a heading",
    "lines": "first\n\n# second\n| a | b |\n- - -",
    "entity": "&lt;b&gt; &#60; &amp;",
    "escape": r"back\slash \| \` \\",
    "mermaid": 'x"]; click a "javascript:alert(1)"; b["y #quot; --> z',
    "fence": "```\nout of the block\n```\n# heading",
    "control": "\x1b[31mred\x1b[0m \u202edcba",
    "lists": "- one\n+ two\n3. three\n4) four\n===\n---",
    "footnote": "[^1] [x] {y} $z$ <!-- c -->",
}
PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def parts(markdown: str) -> Iterator[Token]:
    for token in PARSER.parse(markdown):
        yield token
        yield from token.children or ()


def one_line(text: str) -> str:
    return " ".join(visible(text).split())


def shown(markdown: str) -> str:
    """The text that a reader sees."""
    return "".join(
        token.content for token in parts(markdown) if token.type in ("text", "text_special", "code_inline")
    )


def kinds(markdown: str) -> set[str]:
    return {token.type for token in parts(markdown)}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_text_in_a_line_is_shown_and_is_nothing_else(name: str) -> None:
    text = HOSTILE[name]
    assert kinds(f"Task: {inline(text)}") <= {
        "paragraph_open",
        "paragraph_close",
        "inline",
        "text",
        "text_special",
    }
    assert shown(f"Task: {inline(text)}") == f"Task: {one_line(text)}"
    assert kinds(f"The policy chose {code(text)}.") <= {
        *("paragraph_open", "paragraph_close", "inline", "text", "text_special", "code_inline")
    }
    assert shown(f"It chose {code(text)}.") == f"It chose {one_line(text)}."


@pytest.mark.parametrize("name", HOSTILE)
def test_a_text_in_a_table_stays_in_its_cell(name: str) -> None:
    text = HOSTILE[name]
    drawn = table(Table(text, (text, "b"), ("c",), ((text, text, "1"), ("x", "y", text)), (text,)))
    tokens = list(PARSER.parse(drawn))
    assert [token.type for token in tokens].count("td_open") == 6
    assert [token.type for token in tokens].count("th_open") == 3
    cells = [shown(f"x{token.content}")[1:] for token in tokens if token.type == "inline"]
    line = one_line(text)
    assert cells == [line, line, "b", "c", line, line, "1", "x", "y", line, line]
    assert not kinds(drawn) & {
        "html_inline",
        "html_block",
        "link_open",
        "image",
        "em_open",
        "strong_open",
        "s_open",
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_a_block_holds_the_whole_text(name: str) -> None:
    text = HOSTILE[name]
    tokens = PARSER.parse(f"before\n\n{block(text, 'sql')}\n\nafter")
    assert [token.type for token in tokens].count("fence") == 1
    assert [token.content for token in tokens if token.type == "fence"] == [visible(text) + "\n"]
    assert [token.type for token in tokens].count("paragraph_open") == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_a_quotation_has_the_lines_of_the_text(name: str) -> None:
    drawn = quoted(HOSTILE[name])
    assert not kinds(drawn) & {
        "html_inline",
        "html_block",
        "link_open",
        "image",
        "heading_open",
        "fence",
        "hr",
    }
    assert not kinds(drawn) & {"bullet_list_open", "ordered_list_open"}
    assert shown(drawn) == "".join(one_line(line) for line in HOSTILE[name].splitlines())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_label_cannot_leave_its_node(name: str) -> None:
    written = label(HOSTILE[name], "second line")
    inside = written.replace("<br>second line", "")
    assert re.fullmatch(r"(?:[\w .,%()+/-]|#\d+;)*", inside), "nothing that Mermaid or markdown reads"
    assert re.sub(r"#(\d+);", lambda found: chr(int(found[1])), inside) == one_line(HOSTILE[name])


def test_the_parser_would_see_what_is_not_escaped() -> None:
    assert "html_block" in kinds(HOSTILE["html"])
    assert "link_open" in kinds(HOSTILE["link"])
    assert "heading_open" in kinds(HOSTILE["heading"])


def test_a_table_aligns_its_numbers_and_says_so_when_it_is_empty() -> None:
    assert table(Table("Won", ("split",), ("n",), (("seen", "3"),))) == (
        "### Won\n\n| split | n |\n| --- | ---: |\n| seen | 3 |"
    )
    assert table(Table("Won", ("split",), ("n",), ())) == "### Won\n\nnone"


def test_a_picture_is_in_the_page() -> None:
    assert picture(b"png", "Success [rates]") == r"![Success \[rates\]](data:image/png;base64,cG5n)"
