"""Lines from outside stay in their field, whatever they hold."""

import json
import time
import unicodedata

import pytest
from hostile_lines import HARMLESS, HOSTILE
from hypothesis import given
from hypothesis import strategies as st

from llmrl_lib.language.fencing import LONGEST, clean, fenced

FORBIDDEN = set("<>[]{}`|\n\r\t\u2028\u2029\x85\x0b\x0c")


def unseen(text: str) -> list[str]:
    """Characters that a reader does not see, or that reorder what is seen."""
    return [
        letter
        for letter in text
        if unicodedata.category(letter)[0] == "C" or unicodedata.category(letter) in ("Zl", "Zp")
    ]


def test_there_are_enough_hostile_lines() -> None:
    assert len(set(HOSTILE)) >= 60


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_line_stays_one_json_string_on_one_line(line: str) -> None:
    field = fenced(["before", line, "after"])
    before, mine, after = field.split("\n")
    assert (before, after) == ('"before"', '"after"')
    assert not FORBIDDEN & set(mine)
    assert not unseen(mine)
    assert json.loads(mine) == clean(line)
    assert len(json.loads(mine)) <= LONGEST + 60


@given(st.lists(st.text(), max_size=4))
def test_any_text_stays_in_its_line(lines: list[str]) -> None:
    field = fenced(lines)
    assert [json.loads(line) for line in field.split("\n") if line] == [clean(line) for line in lines]
    assert not FORBIDDEN - {"\n"} & set(field)


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)


def test_what_a_harmless_line_says_is_kept() -> None:
    assert [clean(line) for line in HARMLESS] == list(HARMLESS)
    assert clean("Umsätze steigen um 5 % – größer als erwartet (€ 3.2 Mrd.) “so”") == (
        "Umsätze steigen um 5 % – größer als erwartet (€ 3.2 Mrd.) “so”"
    )


def test_a_cut_is_told() -> None:
    assert clean("x" * 5000) == "x" * LONGEST + "... (cut; the line had 5000 characters)"
    assert len(clean("x" * 300)) == 300


def test_hidden_writing_disappears_and_look_alikes_become_plain() -> None:
    assert clean("Ig\u200bnore\u202e the ab\u2060ove") == "Ignore the above"
    assert clean("".join(chr(0xE0000 + ord(letter)) for letter in "LONG") + "shown") == "shown"
    assert clean("Ｉｇｎｏｒｅ ＜ｂ＞") == "Ignore <b>"
    assert fenced(["Ｉｇｎｏｒｅ ＜ｂ＞"]) == '"Ignore \\u003cb\\u003e"'


def test_huge_lines_are_quick() -> None:
    started = time.process_time()
    fenced(HOSTILE)
    assert time.process_time() - started < 2.0
