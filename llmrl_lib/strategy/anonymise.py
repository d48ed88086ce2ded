"""Takes the names out of headlines before a model reads them: company, ticker, products, people, peers, places, dates.

Known names come from `dataset.toml` ([companies.TICKER]: name, products, executives), for well-known tickers without such a
section from a list in the package. Whatever else looks like a name (a capital where English has none) goes too, so that
no list has to be complete. A name keeps its placeholder within one call, that is one month, and not beyond.
How well this works is measured in `strategy.reidentification`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from typing import Any

from llmrl_lib.language.fencing import LONGEST, clean
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.description import FILE

COMPANY = "the Company"
DATE = "a date"
_LOOKED_AT = 1000  # characters of a headline; the rest is cut before it is shown anyway
# private-use characters stand for names while the text is worked on; `clean` lets none in
_FIRST_MARK, _MOST_MARKS = 0xE000, 6000
_SUFFIXES = {
    "inc", "corp", "corporation", "co", "company", "group", "systems", "motors", "networks", "software", "retail", "search",
    "holdings", "plc", "ltd", "limited", "sa", "ag", "se", "nv", "technologies", "industries", "international", "works",
    "foods", "energy", "health", "freight", "materials", "media", "insurance", "devices", "platforms", "services",
}  # fmt: skip
_PLAIN = {  # capitals that name no one
    "I", "A", "An", "The", "CEO", "CFO", "COO", "CTO", "IPO", "EPS", "AI", "EV", "EVs", "TV", "TVs", "PC", "PCs", "US", "U.S",
    "UK", "EU", "USD", "EUR", "GBP", "GDP", "Q&A", "M&A", "R&D", "ETF", "ETFs", "IT", "OK", "VP", "PR", "HR", "IP", "LTE",
    "CEOs", "Internet", "Web", "American", "Americans", "Chinese", "European", "Asian",
    "Wall", "Street", "Asia", "Europe", "Africa",
    "America", "Latin", "North", "South", "East", "West", "China", "Japan", "India", "Germany", "France", "Britain", "United",
    "States", "Kingdom", "Nordics", "Congress", "Senate", "Treasury", "Fed",
}  # fmt: skip
_SHORT_WORDS = {
    "a", "an", "as", "at", "be", "by", "do", "go", "he", "if", "in", "is", "it", "me", "my", "no", "of", "on", "or",
    "so", "to", "up", "us", "we", "ex", "vs", "the", "and", "for", "factbox", "timeline", "buzz", "recap", "refile", "wrapup",
    "poll", "tech", "lenders", "canteen", "museum", "antitrust", "insider", "activist", "startup", "ecommerce",
    "tribunal", "lawmakers",
}  # fmt: skip
_ENDINGS = ("s", "er", "ers", "ed", "ing", "ings", "ly", "est", "ner", "ment", "less")
_MONTH = (
    "(?:January|February|March|April|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|"
    r"Sept|Sep|Oct|Nov|Dec)\b\.?"
)
_DATES = re.compile(
    rf"\b(?:{_MONTH}(?:\s+\d{{1,2}}(?:st|nd|rd|th)?\b)?|\d{{1,2}}(?:st|nd|rd|th)?\s+(?:{_MONTH}|May\b)|May\s+\d{{1,2}}\b|"
    r"(?<=in )May\b|(?<=of )May\b|(?<=until )May\b|(?<=since )May\b|(?<=by )May\b)"
    r"(?:\s*,?\s*(?:19|20)\d{2}\b)?"
    r"|\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b|\b(?:FY\s?'?)?(?:19|20)\d{2}s?\b(?!\s*%)|\bFY\s?'?\d{2}\b"
    r"|\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?\b|\bQ[1-4](?:\s?'?\d{2}\b)?(?![^\W_])|\b[1-4]Q(?:\s?'?\d{2})?\b"
    r"|(?<!\w)'[0-3]\d\b(?!')"
)
_TAG = re.compile(
    r"^(?:(?:UPDATE|WRAPUP|REFILE|CORRECTED|EXCLUSIVE|BRIEF|FACTBOX|ANALYSIS|RPT|TEXT)[ \d:-]*)+", re.IGNORECASE
)
_WORD = re.compile(r"[^\W_](?:[\w&.]*[^\W_])?", re.UNICODE)


@dataclass(frozen=True)
class Names:
    """What is known of one company's names."""

    ticker: str
    names: tuple[str, ...]  # of the company and its parts
    products: tuple[str, ...]
    people: tuple[str, ...]


def names_of(dataset: Dataset) -> dict[str, Names]:
    """The known names of every ticker of a dataset: from its description, else from the package's list, else the ticker."""
    companies = tomllib.loads((dataset.path / FILE).read_text("utf-8-sig")).get("companies", {})
    return {ticker: _names(ticker, companies.get(ticker, {})) for ticker in dataset.tickers}


def anonymise(texts: Sequence[str], ticker: str, known: Mapping[str, Names]) -> list[str]:
    """The texts with every name replaced: the company of `ticker` by "the Company", others by letters in order of appearance.

    `known` are the names of all companies of the dataset: those of other tickers are peers. Texts come back cleaned, one line
    each. Nothing outside of `texts` and `known` is used, so the same month gives the same placeholders.
    """
    marks = _Marks()
    patterns = _known_patterns(ticker, known)
    marked = []
    for text in texts:
        line = _TAG.sub("", clean(text[: 20 * _LOOKED_AT], _LOOKED_AT))
        marked.append(_without_names(_without_known(line, patterns, marks), marks))
    return [marks.written(line) for line in marked]


def without_known_names(
    texts: Sequence[str], ticker: str, known: Mapping[str, Names], longest: int = LONGEST
) -> list[str]:
    """The same for known names and dates alone: for what a model wrote, who may have recognised the company and named it.

    Texts are cut with a remark to `longest` characters.
    """
    marks, patterns = _Marks(), _known_patterns(ticker, known)
    return [marks.written(_without_known(clean(text, longest), patterns, marks)) for text in texts]


class _Marks:
    """One private character per name, and what it is written as."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str], str] = {}
        self._kinds: dict[str, str] = {}
        self._written: dict[str, str] = {}
        self._count: dict[str, int] = {}

    def of(self, kind: str, name: str) -> str:
        key = (kind, "" if kind in ("company", "date") else name)
        if key not in self._marks:
            mark = chr(_FIRST_MARK + min(len(self._marks), _MOST_MARKS))
            self._marks[key], self._kinds[mark] = mark, kind
        return self._marks[key]

    def written(self, line: str) -> str:
        """The line with its placeholders; they are lettered as they are first written."""
        for mark in line:
            if mark in self._kinds and mark not in self._written:
                self._written[mark] = self._placeholder(self._kinds[mark])
        text = "".join(self._written.get(character, character) for character in line)
        return text[:1].upper() + text[1:] if text.startswith(COMPANY) else text

    def _placeholder(self, kind: str) -> str:
        if kind in ("company", "date"):
            return COMPANY if kind == "company" else DATE
        number = self._count[kind] = self._count.get(kind, 0) + 1
        letters = ""
        while number:
            number, place = divmod(number - 1, 26)
            letters = chr(ord("A") + place) + letters
        label = {"product": "Product", "person": "Person", "peer": "Company", "name": "Name"}[kind]
        return f"{label} {letters if kind != 'peer' else _after(letters)}"


def _after(letters: str) -> str:
    """Peers are lettered from B on: the company itself is A."""
    return letters[:-1] + chr(ord(letters[-1]) + 1) if letters[-1] < "Z" else letters + "A"


def _without_known(line: str, patterns: Iterable[tuple[re.Pattern[str], str, str]], marks: _Marks) -> str:
    for pattern, kind, owner in patterns:
        line = pattern.sub(partial(_mark, marks, kind, owner), line)
    return _DATES.sub(lambda _: marks.of("date", ""), line)


def _mark(marks: _Marks, kind: str, owner: str, match: re.Match[str]) -> str:
    return marks.of(kind, _key(kind, owner, match[0]))


def _key(kind: str, owner: str, name: str) -> str:
    """What makes two mentions the same: a peer by all its names, a person by the surname, a product by its own name."""
    return owner if kind == "peer" else _plain(name.split()[-1] if kind == "person" else name)


def _known_patterns(ticker: str, known: Mapping[str, Names]) -> list[tuple[re.Pattern[str], str, str]]:
    """What to look for, the longest names first, with the kind of placeholder; the company's own come before its peers'."""
    found: list[tuple[str, tuple[str, str]]] = []
    for owner in sorted(known, key=lambda name: name != ticker):
        names = known[owner]
        own = owner == ticker
        found += [(name, ("company" if own else "peer", owner)) for name in (*variants(names.names), *names.names)]
        found += [(name, ("product", owner)) for name in names.products]
        found += [(part, ("person", owner)) for person in names.people for part in (person, *person.split()[1:])]
    unique: dict[str, tuple[str, str]] = {}
    for name, what in sorted(found, key=lambda item: -len(item[0])):
        unique.setdefault(name, what)
    patterns = [(_pattern(name, kind), kind, owner) for name, (kind, owner) in unique.items() if len(name) > 1]
    longest = sorted(known, key=len, reverse=True)
    tickers = [(_ticker_pattern(name), "company" if name == ticker else "peer", name) for name in longest]
    return [*tickers, *patterns]


def _pattern(name: str, kind: str) -> re.Pattern[str]:
    """The name in any case, or as it is written if short or an English word; plural and a product's model go with it."""
    words = r"[\s\-]*".join(re.escape(word) for word in name.split())
    odd = any(character.isupper() for character in name[1:])  # as in iPhone or AWS
    flags = re.IGNORECASE if odd or (len(name) > 3 and name.lower() not in common_words()) else 0
    model = r"(?:\d{1,2}[a-z]?|\s+(?:\d{1,2}[a-zA-Z]?|X[SR]?)(?![^\W_]|\s*[%,.]|-))?" if kind == "product" else ""
    return re.compile(rf"(?<![^\W_]){words}s?{model}(?![^\W_])", flags)


def _ticker_pattern(ticker: str) -> re.Pattern[str]:
    """The ticker in capitals or small letters; a short one that is a word only where its exchange or a $ marks it."""
    marked = r"\(?(?i:NASDAQ|NYSE)\s*:\s*|\$"
    short = len(ticker) == 1 or ticker in _PLAIN or (len(ticker) <= 3 and ticker.lower() in common_words())
    forms = {ticker} if not short and ticker.lower() in common_words() else {ticker, ticker.lower()}
    symbol = "|".join(re.escape(form) for form in sorted(forms))
    where = marked if short else rf"{marked}|(?<![^\W_])"
    return re.compile(rf"(?:{where})(?:{symbol})(?:\.[A-Z]{{1,2}})?(?![^\W_])\)?")


def variants(names: Iterable[str]) -> list[str]:
    """A company's name without what it shares with others: Orvane for Orvane Systems."""
    found = []
    for name in names:
        words = name.replace(",", " ").replace(".com", " ").split()
        while len(words) > 1 and words[-1].strip(".").lower() in _SUFFIXES:
            words.pop()
            found.append(" ".join(words))
    return found


def _without_names(line: str, marks: _Marks) -> str:
    """Replaces runs of capitalised words that are not known to be plain words."""
    words = list(_WORD.finditer(line))
    flags = [_is_name(match[0], first) for match, first in zip(words, _starts(line, words), strict=True)]
    pieces, place, index = [], 0, 0
    while index < len(words):
        if not flags[index]:
            index += 1
            continue
        last = index
        while (
            last + 1 < len(words)
            and flags[last + 1]
            and line[words[last].end() : words[last + 1].start()] in (" ", "-", " & ")
        ):
            last += 1
        start, end = words[index].start(), words[last].end()
        pieces += [line[place:start], marks.of("name", _plain(line[start:end]))]
        place, index = end, last + 1
    return "".join([*pieces, line[place:]])


def _starts(line: str, words: Sequence[re.Match[str]]) -> list[bool]:
    """Whether each word begins a sentence, or stands in a headline that capitalises all its words."""
    capitals = sum(match[0][0].isupper() for match in words)
    titled = len(words) >= 4 and capitals >= 0.7 * len(words)
    return [titled or not re.search(r"[^\W_]", _last_part(line[: match.start()])) for match in words]


def _last_part(before: str) -> str:
    """What stands between the last end of a sentence, or a colon, and here."""
    return re.split(r"[.:;?!\"“”—-]\s+|^\W+", before)[-1]


def _is_name(word: str, first: bool) -> bool:
    base = re.sub(r"['’]s?$", "", word)
    if not any(character.isupper() for character in base) or base in _PLAIN or base.replace(".", "") in _PLAIN:
        return False
    if len(base) == 1 or base[0].isdigit():
        return False
    return not (first and _is_common(base.lower()))


def _is_common(word: str) -> bool:
    """Whether a word, or what is left of it without a usual ending, is plain English."""
    stems = [word, *(word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending))]
    return any(stem in common_words() for stem in (*stems, *(f"{stem}e" for stem in stems)))


@cache
def common_words() -> frozenset[str]:
    """Words whose capital at the start of a sentence makes them no name."""
    text = resources.files("llmrl_lib.strategy").joinpath("common_words.txt").read_text("utf-8")
    return (
        frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())
        | _SHORT_WORDS
    )


@cache
def _gazetteer() -> Mapping[str, Any]:
    return tomllib.loads(resources.files("llmrl_lib.strategy").joinpath("gazetteer.toml").read_text("utf-8"))


def _names(ticker: str, company: Mapping[str, Any]) -> Names:
    if company:
        given = [company["name"]] if isinstance(company.get("name"), str) else []
        return Names(ticker, tuple(given), _texts(company.get("products")), _texts(company.get("executives")))
    listed = _gazetteer().get(ticker, {})
    return Names(ticker, _texts(listed.get("names")), _texts(listed.get("products")), _texts(listed.get("people")))


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str) and item.strip()) if isinstance(value, list) else ()


def _plain(name: str) -> str:
    """One spelling for all forms of a name."""
    return re.sub(r"[\s\-]+", " ", name).casefold().removesuffix("'s").removesuffix("s")
