"""The invented companies: names, products, people, and the numbers that make their shares differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from numpy.random import Generator

from llmrl_lib.market.synthetic.draws import stream, uniform


@dataclass(frozen=True)
class Company:
    """An invented company; any likeness to a real one is chance."""

    ticker: str
    name: str
    first_price: float  # dollars, before any split
    beta: float  # loading on the market's return
    daily_sd: float  # of the company's own part of the return, jumps not counted
    drift: float  # a day, beyond the market
    dividend_yield: float  # a year, paid quarterly
    shares_traded: float  # on a usual day
    split_above: float  # the price in dollars above which shares are split
    split_into: int
    growth: float  # of revenue, a year
    products: tuple[str, ...]
    executives: tuple[str, ...]  # the first one is the chief executive

    @property
    def short_name(self) -> str:
        """The name as headlines give it."""
        return self.name.split()[0]


_COMPANIES = (
    ("ORVN", "Orvane Systems", 58.0, 1.05, 0.0110, 0.0002, 0.018, 21e6, 110.0, 4, 0.08),
    ("KSTV", "Kestrova Retail", 182.0, 1.15, 0.0145, 0.0004, 0.0, 4e6, 900.0, 5, 0.12),
    ("QLRY", "Quillory Search", 320.0, 1.00, 0.0105, 0.0001, 0.0, 3e6, 560.0, 2, 0.10),
    ("FLMK", "Flumark Networks", 38.0, 1.10, 0.0180, 0.0002, 0.0, 28e6, 240.0, 3, 0.09),
    ("BLMR", "Bellmire Software", 27.0, 0.95, 0.0100, 0.0003, 0.025, 40e6, 180.0, 2, 0.07),
    ("HDRN", "Hadrane Motors", 29.0, 1.30, 0.0260, 0.0004, 0.0, 9e6, 200.0, 5, 0.13),
)
_SYLLABLES = ("bar", "cal", "dor", "fen", "gil", "hol", "jun", "kel", "lum", "mor", "nal", "pex", "rud", "sol", "tav")
_TRADES = ("Foods", "Energy", "Health", "Freight", "Materials", "Media", "Insurance", "Devices")
_BEGINNINGS = ("Vel", "Tos", "Quan", "Mir", "Zel", "Ond", "Pra", "Sy", "Kor", "Ulf", "Dra", "Eth", "Nor", "Wex", "Ji")
_ENDINGS = ("kra", "mio", "dexo", "lith", "vora", "pina", "tarn", "buro", "quil", "nesta", "grane", "folt")
_FIRST_NAMES = ("Ilka", "Bram", "Odalys", "Teun", "Maren", "Corvin", "Sunniva", "Dario", "Yelda", "Anselm", "Petra")
_SURNAMES = ("Quellin", "Vanholt", "Osterby", "Marchetta", "Dunleith", "Koravic", "Seldane", "Thrane", "Abiru", "Wynd")

RIVALS = ("Tessaly Group", "Brondale", "Novarck", "Ellis Porrin", "Castwell", "Umbria Works")


def companies_of(seed: int, tickers: int) -> tuple[Company, ...]:
    """The first ``tickers`` companies: the six of the embedded market, and beyond them as many more as asked for."""
    return tuple(_company(seed, number) for number in range(tickers))


def _company(seed: int, number: int) -> Company:
    numbers = _drawn(stream(seed, number + 1, "company"), number) if number >= len(_COMPANIES) else _COMPANIES[number]
    products = tuple(_combined(67 * (3 * number + more), _BEGINNINGS, _ENDINGS, "") for more in range(3))
    people = tuple(_combined(37 * (2 * number + more), _FIRST_NAMES, _SURNAMES, " ") for more in range(2))
    return Company(*numbers, products=products, executives=people)


def _combined(number: int, first: Sequence[str], second: Sequence[str], between: str) -> str:
    """The pair with that number, counted round; other numbers give other pairs as long as there are any."""
    one, other = divmod(number % (len(first) * len(second)), len(second))
    return first[one] + between + second[other]


def _drawn(
    source: Generator, number: int
) -> tuple[str, str, float, float, float, float, float, float, float, int, float]:
    one, other = divmod(number - len(_COMPANIES), len(_SYLLABLES))
    stem = _SYLLABLES[one] + _SYLLABLES[other]
    draw = uniform(source, 8).tolist()
    price = round(20.0 + 180.0 * draw[0], 2)
    return (
        stem.upper(),
        f"{stem.capitalize()} {_TRADES[number % len(_TRADES)]}",
        price,
        round(0.7 + 0.7 * draw[1], 2),
        round(0.008 + 0.014 * draw[2], 4),
        round(0.0005 * draw[3] - 0.0001, 5),
        round(0.03 * draw[4], 4) if number % 3 == 0 else 0.0,
        float(round(1e6 + 3e7 * draw[5])),
        round(price * (1.8 + 2.0 * draw[6]), 2),
        2 + number % 3,
        round(0.04 + 0.1 * draw[7], 3),
    )
