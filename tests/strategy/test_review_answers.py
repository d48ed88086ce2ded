"""Files of answers: whole ones are read, two hundred broken or hostile ones are refused with a reason."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reviewed import study

from llmrl_lib.strategy.review import packet as packets
from llmrl_lib.strategy.review.answers import Sheet, read_sheet, sheet_of, sheet_to_text
from llmrl_lib.strategy.review.collecting import answers_table, collect, table_to_csv
from llmrl_lib.strategy.review.packet import canonical, packet
from llmrl_lib.strategy.review.simulated import Traits, quality_of, simulated_sheets
from llmrl_lib.strategy.review.study import ReviewError

STUDY = replace(study(), sent=tuple(packet(study(), f"S0{number}").sent for number in (1, 2, 3, 4)))
HOSTILE = (
    "<script>window.done = 1</script>", "<img src=x onerror=alert(1)>", "</td></table><script>alert(1)</script>",
    "$$\\def\\x{}$$", "[x](javascript:alert(1))", "=cmd|' /C calc'!A0", "'; DROP TABLE answers; --", "{{7*7}} ${7*7} #{7}",
    "\u202e\u0000", "\U0001f600",
)  # fmt: skip
RAW = (
    b"", b" \n", b"null", b"[]", b"{}", b'"x"', b"0", b"NaN", b"\xff\xfe\x00", b"\x00" * 99, b"<html></html>", b"PK\x03\x04",
)  # fmt: skip


def sheets(count: int = 4) -> list[Sheet]:
    """Whole answers as people would give them."""
    made = simulated_sheets(STUDY, [Traits()] * count, quality_of(STUDY))
    return [replace(one, simulated=False) for one in made]


def sealed(record: dict[str, Any]) -> bytes:
    """A file whose checksum fits whatever it holds: a forger's."""
    import hashlib

    body = {name: value for name, value in record.items() if name != "checksum"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return json.dumps({**body, "checksum": hashlib.sha256(text.encode()).hexdigest()}).encode()


def broken_files() -> Iterator[tuple[str, bytes]]:
    """Two hundred files that are no whole answers, each with its story."""
    text = sheet_to_text(sheets(1)[0])
    good, whole = json.loads(text), text.encode()
    source = random.Random(8)
    for number in range(40):
        yield f"cut {number}", whole[: source.randrange(len(whole))]
    for number in range(40):
        place = source.randrange(len(whole))
        yield f"byte {number}", whole[:place] + bytes([whole[place] ^ (1 << source.randrange(7))]) + whole[place + 1 :]
    for encoding in ("utf-16", "utf-16-le", "utf-32", "cp037", "utf-7"):
        changed = text.encode(encoding) if encoding != "utf-7" else text.replace("{", "+AHs-").encode()
        yield f"encoding {encoding}", changed
    for raw in RAW:
        yield f"raw {raw[:9]!r}", raw
    yield "deep", b"[" * 100_000 + b"]" * 100_000
    yield "deep object", b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    yield "huge", b" " * 1_000_001 + whole
    yield "twice the same key", whole.replace(b'"reviewer":', b'"reviewer":"S02","reviewer":', 1)
    yield "two files in one", whole + whole
    values = (None, True, 0, 4, -1, 2.0, 2.5, "2", [2], {}, 1e999, float("nan"), 10**30, 10**300, "\ud800", "<b>2</b>")
    for name in ("confidence", "rationale", "fidelity", "safety"):
        for value in values:
            yield f"{name} {value!r}", sealed(_with(good, name, value))
    for value in ("long", "HOLD", "", None, 1, ["LONG"], {"LONG": 1}, "LONG\u200b"):
        yield f"side {value!r}", sealed(_with(good, "side", value))
    for value in (None, 5, ["x"], "x" * 2001, "\ud83d", "a\x00b", {"toString": 1}):
        yield f"comment {str(value)[:9]!r}", sealed(_with(good, "comment", value))
    for value in (-1, 1.5, "9", 86_401, None, True):
        yield f"seconds {value!r}", sealed(_with(good, "seconds", value))
    for key in ("__proto__", "constructor", "toString", "hasOwnProperty", "prototype"):
        yield f"key {key}", sealed({**good, key: {"simulated": True}})
        yield f"answer key {key}", sealed(_with(good, key, {"polluted": 1}))
    for name in good:
        if name == "checksum":
            continue
        yield f"without {name}", sealed({key: value for key, value in good.items() if key != name})
    for name, value in (
        ("study", "0" * 12), ("packet", "0" * 64), ("reviewer", "R99"), ("reviewer", "<script>"), ("reviewer", ["S01"]),
        ("reviewer", "S02"), ("simulated", "no"), ("simulated", 0), ("format", "llmrl review answers 2"), ("background", {}),
        ("background", {"group": "king", "years": 3}), ("background", {"group": "retail", "years": 10**9}), ("order", []),
        ("order", good["order"][::-1]), ("answers", {}), ("answers", good["answers"][:-1]), ("answers", good["answers"][1:]),
        ("answers", good["answers"] * 2), ("answers", good["answers"][::-1]), ("answers", [None] * 12),
    ):  # fmt: skip
        yield f"{name} {str(value)[:20]}", sealed({**good, name: value})
    yield "a number of many digits", whole.replace(b'"years":', b'"years":' + b"9" * 5000, 1)
    yield "a checksum of another file", whole.replace(good["checksum"].encode(), b"0" * 64)
    yield "no checksum", whole.replace(good["checksum"].encode(), b"")


def _with(good: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    place = random.Random(name).randrange(len(good["answers"]))
    changed = [dict(one) for one in good["answers"]]
    changed[place][name] = value
    return {**good, "answers": changed}


def test_whole_answers_are_read_as_they_were_given() -> None:
    for sheet in sheets():
        assert sheet_of(STUDY, sheet_to_text(sheet).encode()) == sheet
        assert sheet_of(STUDY, b"\xef\xbb\xbf" + sheet_to_text(sheet).encode() + b"\n") == sheet


def test_two_hundred_broken_or_hostile_files_are_refused_with_a_reason(tmp_path: Path) -> None:
    files = list(broken_files())
    assert len(files) >= 200
    (tmp_path / "good.json").write_text(sheet_to_text(sheets()[3]))
    for number, (_, content) in enumerate(files):
        (tmp_path / f"{number:03d}.json").write_bytes(content)
    taken = collect(STUDY, tmp_path.iterdir())
    names = {Path(one.file).name for one in taken.refused}
    let_in = [files[number][0] for number in range(len(files)) if f"{number:03d}.json" not in names]
    assert not let_in
    assert taken.files == 1
    assert list(taken.table["reviewer"].unique()) == ["S04"]
    for one in taken.refused:
        reason = one.why.removeprefix(one.file)
        assert len(reason) < 300
        assert reason.isascii() or "must" in reason
        assert "Traceback" not in reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text[: len(text) // 2], "cut off before its end"),
        (lambda text: text.replace('"years":', '"years":1', 1), "changed after"),
        (lambda text: text + "x", "not JSON"),
        (lambda text: text[:0], "is empty"),
    ],
)  # fmt: skip
def test_reasons_name_what_happened(tmp_path: Path, change: Any, reason: str) -> None:
    place = tmp_path / "a.json"
    place.write_text(change(sheet_to_text(sheets()[0])))
    with pytest.raises(ReviewError, match=rf"a\.json: .*{reason}"):
        read_sheet(STUDY, place)


def test_missing_answers_are_counted() -> None:
    sheet = sheets()[0]
    record = json.loads(sheet_to_text(sheet))
    with pytest.raises(ReviewError, match="3 of 12 answers are missing"):
        sheet_of(STUDY, sealed({**record, "answers": record["answers"][:9]}))


def test_answers_to_another_study_are_refused() -> None:
    with pytest.raises(ReviewError, match="it answers study"):
        sheet_of(study(seed=3), sheet_to_text(sheets()[0]).encode())


def test_answers_are_held_against_what_was_sent_and_not_against_what_would_be_sent_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sheet = sheets()[0]
    monkeypatch.setattr(packets, "order_of", lambda study, _: tuple(one.id for one in study.cases))
    assert packet(STUDY, "S01").order != sheet_order(sheet)
    assert sheet_of(STUDY, sheet_to_text(sheet).encode()) == sheet
    with pytest.raises(ReviewError, match="another packet than the one that S01 was sent"):
        sheet_of(replace(STUDY, sent=()), sheet_to_text(sheet).encode())
    now = sealed({**json.loads(sheet_to_text(sheet)), "packet": packet(STUDY, "S01").digest})
    with pytest.raises(ReviewError, match="another packet than the one that S01 was sent"):
        sheet_of(STUDY, now)


def sheet_order(sheet: Sheet) -> tuple[str, ...]:
    return tuple(one.case for one in sheet.answers)


def test_a_copy_is_left_out_and_two_different_files_of_one_reviewer_are_both_refused(tmp_path: Path) -> None:
    first, second = sheets()[:2]
    other = replace(second, years=(second.years + 1) % 60)
    for name, sheet in (("a", first), ("b", first), ("c", second), ("d", other)):
        (tmp_path / f"{name}.json").write_text(sheet_to_text(sheet))
    found = collect(STUDY, tmp_path.iterdir())
    assert list(found.table["reviewer"].unique()) == [first.reviewer]
    assert [Path(one.file).name for one in found.refused] == ["b.json", "c.json", "d.json"]
    assert "is a copy of a.json" in str(found.refused[0])
    assert "S02 has other answers in d.json" in str(found.refused[1])


@pytest.mark.parametrize(
    ("kept", "copies"),
    [
        ("S01.json", ["S01 copy.json", "S01 (1).json", "Copy of S01.json", "A.json.json"]),
        (
            f"review-{STUDY.id}-S01.json",
            ["S01.json", f"review-{STUDY.id}-S01 (1).json", f"review-{STUDY.id}-S01 - Copy.json"],
        ),
        ("from mail.json", ["from mail (2).json"]),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_of_copies_the_plainly_named_file_stays_whatever_the_order(
    tmp_path: Path, kept: str, copies: list[str], backwards: bool
) -> None:
    for name in (kept, *copies):
        (tmp_path / name).write_text(sheet_to_text(sheets()[0]))
    found = collect(STUDY, sorted(tmp_path.iterdir(), reverse=backwards))
    assert found.files == 1
    assert sorted(Path(one.file).name for one in found.refused) == sorted(copies)
    assert all(one.why == f"is a copy of {kept}" for one in found.refused)


def test_who_is_none_of_the_groups_can_say_so() -> None:
    other = replace(sheets()[0], group="other")
    assert sheet_of(STUDY, sheet_to_text(other).encode()).group == "other"
    assert ["other", "none of these"] in packet(STUDY, "S01").data["backgrounds"]
    assert {sheet.group for sheet in sheets()} == {
        "professional",
        "retail",
        "inactive",
    }  # simulated ones know what they are


def test_people_and_simulated_reviewers_are_never_in_one_table(tmp_path: Path) -> None:
    people, simulated = sheets()[0], replace(sheets()[1], simulated=True)
    (tmp_path / "a.json").write_text(sheet_to_text(people))
    (tmp_path / "b.json").write_text(sheet_to_text(simulated))
    for wanted, taken in ((False, "S01"), (True, "S02")):
        found = collect(STUDY, tmp_path.iterdir(), simulated=wanted)
        assert list(found.table["reviewer"].unique()) == [taken]
        assert "never put together" in str(found.refused[0])
    with pytest.raises(ReviewError, match="cannot be in one table"):
        answers_table(STUDY, [people, simulated])


def test_the_table_says_what_stood_behind_each_answer() -> None:
    table = answers_table(STUDY, sheets())
    assert len(table) == 4 * 12
    row = table.iloc[5]
    case = STUDY.case(row["case"])
    assert (row["ticker"], row["date"], row["side"], row["kind"]) == (case.ticker, case.date, case.side, case.kind)
    assert row["agrees"] == (row["own_side"] == case.side)
    assert list(table.query("reviewer == 'S02'")["case"]) == list(packet(STUDY, "S02").order)


@pytest.mark.parametrize("comment", HOSTILE)
def test_hostile_comments_are_kept_as_text_and_a_spreadsheet_computes_none(comment: str) -> None:
    sheet = sheets()[0]
    answers = (replace(sheet.answers[0], comment=comment), *sheet.answers[1:])
    if "\x00" in comment:
        with pytest.raises(ReviewError, match="characters that no text has"):
            sheet_of(STUDY, sheet_to_text(replace(sheet, answers=answers)).encode())
        return
    read = sheet_of(STUDY, sheet_to_text(replace(sheet, answers=answers)).encode())
    table = answers_table(STUDY, [read])
    assert table["comment"].iloc[0] == comment
    cell = table_to_csv(table).splitlines()[1]
    assert ("'=cmd" in cell) == comment.startswith("=")


def test_the_canonical_spelling_is_ascii() -> None:
    assert canonical({"b": "é\x7f\n", "a": [1, True, None]}) == '{"a":[1,true,null],"b":"\\u00e9\\u007f\\n"}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical(float("nan"))
