"""Names leave the headlines, and how many do is measured with attackers."""

import re

import pytest
from hostile_lines import HARMLESS, HOSTILE
from scripted import Scripted

import llmrl_lib as ll
from llmrl_lib.strategy.anonymise import (
    Names,
    anonymise,
    names_of,
)
from llmrl_lib.strategy.reidentification import (
    chat_attacker,
    name_list_attacker,
    reidentification_rate,
    trained_attacker,
)

KNOWN = {
    "ACME": Names("ACME", ("Acme Motors Inc",), ("RoadCat", "Model 3"), ("Jane Doe", "Ann Lee")),
    "BETA": Names("BETA", ("Betacorp",), ("Widget",), ("John Smith",)),
}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Acme Motors Inc raises its outlook", "The Company raises its outlook"),
        ("Shares of ACME fall (NASDAQ: ACME)", "Shares of the Company fall the Company"),
        ("Orders for Acme's RoadCats climb", "Orders for the Company's Product A climb"),
        ("Doe and Jane Doe leave", "Person A and Person A leave"),
        ("ROADCAT sales: roadcat and RoadCat 2", "Product A sales: Product A and Product B"),
        ("Betacorp undercuts Acme", "Company B undercuts the Company"),
        ("Betacorp's Widget beats the Model 3", "Company B's Product A beats the Product B"),
        ("Sales to Zorblax Holdings rise", "Sales to Name A rise"),
        ("Results due on July 7, 2016 and in Q2", "Results due on a date and in a date"),
        ("By Monday, 3 May 2017 or 2018-01-02", "By a date, a date or a date"),
        ("It may rise by 5 % in 3 years", "It may rise by 5 % in 3 years"),
        ("CEO of a U.S. firm speaks in China", "CEO of a U.S. firm speaks in China"),
        ("Ac\u200bme wi\u00adns", "The Company wins"),
        ("Ａｃｍｅ wins", "The Company wins"),
        ("UPDATE 2-Acme to cut jobs", "The Company to cut jobs"),
        ("acme up, $acme and ACME.N too", "The Company up, the Company and the Company too"),
        ("roadcat8 and roadcats sell", "Product A and Product B sell"),
        ("1Q16 beats Q4'15, sales of '14 and Q3 2013", "a date beats a date, sales of a date and a date a date"),
    ],
)
def test_names_by_hand(before, after):
    assert anonymise([before], "ACME", KNOWN) == [after]


@pytest.mark.parametrize("ticker", ["IT", "A", "ALL"])
def test_a_ticker_that_is_a_word_is_one_only_where_it_is_marked(ticker):
    known = {ticker: Names(ticker, ("Zorblax",), (), ()), "ACME": KNOWN["ACME"]}
    lines = [
        "IT pays: A new deal for Acme",
        "It is all a dream",
        f"Zorblax ({ticker.lower()}) or (NYSE: {ticker}), ${ticker}",
    ]
    found = anonymise(lines, ticker, known)
    assert found[:2] == ["IT pays: A new deal for Company B", "It is all a dream"]
    assert found[2].count("the Company") + found[2].count("The Company") == 3


def test_placeholders_are_consistent_within_a_month_and_start_afresh_in_the_next():
    month = ["Zorblax sues Acme", "Quuxly backs Zorblax", "RoadCat recalled"]
    assert anonymise(month, "ACME", KNOWN) == ["Name A sues the Company", "Name B backs Name A", "Product A recalled"]
    assert anonymise(month[1:], "ACME", KNOWN)[0] == "Name A backs Name B"


def test_the_same_headline_seen_from_the_peer():
    assert anonymise(["Betacorp undercuts Acme"], "BETA", KNOWN) == ["The Company undercuts Company B"]


def test_all_names_of_a_peer_are_one_company():
    known = {**KNOWN, "BETA": Names("BETA", ("Betacorp", "Gammasoft"), (), ())}
    assert anonymise(["BETA, Gammasoft and Betacorp"], "ACME", known) == ["Company B, Company B and Company B"]


def test_more_names_than_letters_get_different_placeholders():
    lines = [f"Report on Zz{chr(97 + one)}{chr(97 + two)}x Ltd" for one in range(6) for two in range(10)]
    found = anonymise(lines, "ACME", KNOWN)
    assert len(set(found)) == len(lines)
    assert found[26] == "Report on Name AA"


def test_plain_headlines_are_left_as_they_are():
    assert anonymise(HARMLESS, "ACME", KNOWN) == list(HARMLESS)


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_lines_end_as_one_line_without_the_known_names(line):
    found = anonymise([f"Acme {line} RoadCat", line], "ACME", KNOWN)
    assert all("\n" not in text and len(text) < 15_000 for text in found)
    assert not re.search(r"\bAcme\b|RoadCat", " ".join(found))


def test_names_come_from_the_description_and_for_well_known_tickers_from_the_package(market, tmp_path):
    names = names_of(market)["ORVN"]
    assert names.names == ("Orvane Systems",)
    assert "Velkra" in names.products
    assert "Ilka Quellin" in names.people
    (tmp_path / "bars").mkdir()
    (tmp_path / "dataset.toml").write_text(
        'name = "x"\ntickers = ["AAPL", "ZZZ"]\n[benchmark]\ntrain_start = 2020-01-01\nsplit = 2020-06-01\nend = 2021-01-01\n'
    )
    from llmrl_lib.market.dataset import open_dataset

    found = names_of(open_dataset(tmp_path))
    assert "iPhone" in found["AAPL"].products
    assert found["ZZZ"] == Names("ZZZ", (), (), ())


def months_of(dataset, tickers, step=40):
    """Ticker and headlines of every `step`-th day that has some."""
    found = []
    for ticker in tickers:
        rows = ll.feature_table(dataset, ticker, dataset.bars(ticker).index[25::step]).rows()
        found += [(ticker, [item.headline for item in row.news]) for row in rows if row.news]
    return found


def hidden(months, known):
    return [(ticker, anonymise(texts, ticker, known)) for ticker, texts in months]


def test_a_name_list_finds_every_month_before_and_none_after(market):
    known = names_of(market)
    months = months_of(market, market.tickers)
    attacker = name_list_attacker(known)
    assert reidentification_rate(months, attacker) == 1.0
    assert reidentification_rate(hidden(months, known), attacker) == 0.0


def test_rivals_that_no_list_knows_are_hidden_too(market):
    months = hidden(months_of(market, market.tickers), names_of(market))
    told = " ".join(text for _, texts in months for text in texts)
    assert not re.search(r"Tessaly|Brondale|Novarck|Porrin|Castwell|Umbria", told)


def test_a_name_list_on_real_headlines_does_hardly_better_than_nothing(shared):
    dataset = ll.load_dataset(shared / "market")
    known, attacker = names_of(dataset), name_list_attacker(names_of(dataset))
    months = months_of(dataset, ["AAPL", "TSLA", "META"], 60)
    assert reidentification_rate(months, attacker) > 0.9
    assert reidentification_rate(hidden(months, known), attacker) < 0.05


def test_a_chat_can_attack():
    def guess(request):
        text = request.messages[-1].content
        return {"clues": "cars", "company": "Acme Motors" if "car" in text else "unknown"}

    chat = Scripted(guess)
    attacker = chat_attacker(chat, {"ACME": "Acme Motors", "BETA": "Betacorp"})
    months = [("ACME", ["The Company builds cars"]), ("BETA", ["Nothing to see"]), ("BETA", ["A car crash"])]
    assert reidentification_rate(months, attacker) == pytest.approx(1 / 3)
    assert chat.requests[0].sampling.schema["properties"]["company"]["enum"] == ["Acme Motors", "Betacorp", "unknown"]


def test_a_reader_of_other_months_goes_by_what_a_company_makes():
    read = [
        ("ACME", ["Cars recalled", "New car plant"]),
        ("ACME", ["Cars sell"]),
        ("BETA", ["Phones sell"]),
        ("BETA", ["Phones rot"]),
    ]
    attacker = trained_attacker(read)
    months = [("ACME", ["Cars shown"]), ("BETA", ["New phones recalled"]), ("BETA", ["Quite other words"])]
    assert reidentification_rate(months, attacker) == pytest.approx(2 / 3)
    assert attacker(["zzz"]) is None


def test_a_reader_of_other_embedded_months_can_only_guess(market):
    """All invented companies are reported in the same words, so that nothing but names could tell them apart."""
    months = hidden(months_of(market, market.tickers), names_of(market))
    rate = reidentification_rate(months[1::2], trained_attacker(months[::2]))
    chance, number = 1 / 6, len(months[1::2])
    assert abs(rate - chance) < 3 * (chance * (1 - chance) / number) ** 0.5


def test_no_month_is_no_rate():
    with pytest.raises(ValueError, match="no month"):
        reidentification_rate([], name_list_attacker(KNOWN))
