"""Every field of a features record: name, group, unit, formula, source and when it is too old. The book shows this list.

All windows count rows of the ticker's own bars and include the decision date. "Not available" is a value of its own:
nothing is filled in for a missing input.
"""

from dataclasses import dataclass

DAILY_AGE = 7  # calendar days after its own date that a daily figure may be used
MONTHLY_AGE = 75  # calendar days after a monthly series published its newest period: one release may be missed
QUARTERLY_AGE = 200  # the same for a quarterly series
FILING_AGE = 140  # calendar days after a company's newest quarter was announced; the longest usual wait is about 120
NEWS_DAYS = 20  # trading days of headlines
WINDOW = 20  # trading days of slopes, z-scores, VWAP and historical volatility
QUARTER, YEAR = 63, 252  # trading days, for changes of daily figures
BETA_MINIMUM = 126  # days with both returns, of the last YEAR
MACRO_SERIES = {"gdp": "GDP", "pmi": "ISM_PMI", "ppi": "PPIFIS", "confidence": "UMCSENT"}  # names in macro.csv

GROUPS = ("market", "technical", "fundamental", "macro", "options", "news")


@dataclass(frozen=True)
class Definition:
    """What one field is."""

    name: str
    group: str  # one of GROUPS
    unit: str
    formula: str
    source: str  # table and columns
    stale: str  # how old it may get before it counts as not available


_TODAY = "the date itself"
_DAILY = f"{DAILY_AGE} days after its date"
_FILING = f"{FILING_AGE} days after the newest quarter's announcement"
_FILED = f"fundamentals as for a filing: {FILING_AGE} days"
_PER_SHARE = "currency/share"


def _market() -> list[Definition]:
    scaled = "scaled by close / raw_close"
    found = [
        Definition("open", "market", _PER_SHARE, f"open {scaled}", "bars", _TODAY),
        Definition("high", "market", _PER_SHARE, f"high {scaled}", "bars", _TODAY),
        Definition("low", "market", _PER_SHARE, f"low {scaled}", "bars", _TODAY),
        Definition("close", "market", _PER_SHARE, "close, adjusted for splits and dividends", "bars", _TODAY),
        Definition("volume", "market", "shares", "volume", "bars", _TODAY),
        Definition(
            "volume_relative",
            "market",
            "%",
            f"volume / its mean over {WINDOW} days - 1, if any was traded",
            "bars",
            _TODAY,
        ),
    ]
    for week in range(1, 5):
        formula = f"close{f' {5 * week - 5} days ago' if week > 1 else ''} / close {5 * week} days ago - 1"
        found.append(Definition(f"return_week_{week}", "market", "%", formula, "bars", _TODAY))
    for index in ("spx", "ndx"):
        for days in (1, 5, 20):
            formula = f"level / level {days} row{'s' * (days > 1)} of the index before - 1"
            found.append(
                Definition(f"{index}_return_{days}d", "market", "%", formula, f"indices {index}_close", _DAILY)
            )
    return [
        *found,
        Definition("vix", "market", "points", "level", "indices vix_close", _DAILY),
        Definition("vix_change_20d", "market", "points", "level - level 20 rows before", "indices vix_close", _DAILY),
        Definition(
            "beta",
            "market",
            "ratio",
            f"slope of the stock's daily returns on the SPX's over the last {YEAR} days, at least {BETA_MINIMUM} of them",
            "bars, indices spx_close",
            _TODAY,
        ),
    ]


# name: (unit, formula); the unit says how slope and the relative form are written
INDICATORS = {
    **{f"sma_{days}": (_PER_SHARE, f"mean close of {days} days") for days in (20, 50, 100, 200)},
    "rsi_14": ("points", "relative strength index of 14 days, 0 to 100; not available while the close has never moved"),
    "atr_14": (_PER_SHARE, "average true range of 14 days on scaled prices"),
    "macd": (_PER_SHARE, "exponential mean close of 12 days less that of 26"),
    "macd_signal": (_PER_SHARE, "exponential mean of macd over 9 days"),
    "macd_strength": (_PER_SHARE, "macd - macd_signal"),
    "vwap_20": (
        _PER_SHARE,
        f"sum of (high + low + close) / 3 x volume over sum of volume, {WINDOW} days, scaled prices; "
        "days without volume weigh nothing",
    ),
}
LEVELS = (
    "sma_20",
    "sma_50",
    "sma_100",
    "sma_200",
    "vwap_20",
)  # compared with the close; other prices are divided by it


def _technical() -> list[Definition]:
    found = []
    for name, (unit, formula) in INDICATORS.items():
        source = "bars, by TA-Lib" if name != "vwap_20" else "bars"
        priced = unit == _PER_SHARE
        found.append(Definition(name, "technical", unit, formula, source, _TODAY))
        if name in LEVELS:
            found.append(Definition(f"{name}_gap", "technical", "%", f"close / {name} - 1", source, _TODAY))
        elif priced:
            found.append(Definition(f"{name}_relative", "technical", "%", f"{name} / close", source, _TODAY))
        slope = f"least squares slope of {name} over {WINDOW} days" + (" / close" if priced else "")
        found.append(
            Definition(f"{name}_slope", "technical", "%/day" if priced else "points/day", slope, source, _TODAY)
        )
        score = (
            f"({name} - its mean) / its sample standard deviation over {WINDOW} days; not available if it stands still"
        )
        found.append(Definition(f"{name}_zscore", "technical", "sd", score, source, _TODAY))
    return found


def _fundamental() -> list[Definition]:
    def filed(name: str, unit: str, formula: str, source: str) -> Definition:
        return Definition(name, "fundamental", unit, formula, f"fundamentals {source}", _FILING)

    def valued(name: str, unit: str, formula: str, source: str) -> Definition:
        return Definition(name, "fundamental", unit, formula, f"bars, fundamentals {source}", _FILED)

    quarter, year = "the quarter before", "the same quarter a year before"
    found = []
    for name, source in (
        ("current_ratio", "current_ratio"),
        ("quick_ratio", "quick_ratio"),
        ("debt_to_equity", "lt_debt_to_equity"),
        ("liabilities_to_equity", "liabilities_to_equity"),
        ("interest_coverage", "interest_coverage"),
    ):
        found.append(filed(name, "ratio", "newest quarter", source))
        found.append(filed(f"{name}_qoq", "%", f"(newest quarter - {quarter}) / |{quarter}|", source))
    for name in ("gross_margin", "operating_margin", "net_margin"):
        found.append(filed(name, "%", "newest quarter", name))
        found.append(filed(f"{name}_yoy", "% points", f"newest quarter - {year}", name))
    for name in ("roe", "roa"):
        found.append(filed(name, "%", "newest quarter, over twelve months", f"{name}_ttm"))
        found.append(filed(f"{name}_qoq", "% points", f"newest quarter - {quarter}", f"{name}_ttm"))
    ttm = "sum of the last four quarters"
    price = "raw_close"
    cap = f"{price} x shares"
    for name, unit, formula, source in (
        ("price_to_earnings", "ratio", f"{price} / {ttm} of reported_eps, if above zero", "reported_eps"),
        ("price_to_book", "ratio", f"{cap} / equity, if above zero", "net_income, reported_eps, equity"),
        (
            "enterprise_value",
            "currency",
            f"{cap} + long-term debt; cash is not in the table and not taken off",
            "net_income, reported_eps, equity, lt_debt_to_equity",
        ),
        (
            "ev_to_ebitda",
            "ratio",
            "enterprise_value / ebitda_ttm, if above zero",
            "net_income, reported_eps, equity, lt_debt_to_equity, ebitda",
        ),
    ):
        found.append(valued(name, unit, formula, source))
        found.append(valued(f"{name}_qoq", "%", f"{name} / {name} {QUARTER} days ago - 1", source))
    growth = f"as filed; where that is blank, (newest quarter - {year}) / |{year}|"
    return [
        *found,
        filed("ebitda_ttm", "currency", ttm, "ebitda"),
        filed("ebitda_yoy", "%", f"(newest quarter - {year}) / |{year}|", "ebitda"),
        filed("revenue_growth_yoy", "%", growth, "revenue_yoy, revenue"),
        filed("earnings_growth_yoy", "%", growth, "net_income_yoy, net_income"),
    ]


def _macro() -> list[Definition]:
    found = []
    for name, unit, frequency in (
        ("gdp", "%", "quarterly"),
        ("pmi", "points", "monthly"),
        ("ppi", "%", "monthly"),
        ("confidence", "%", "monthly"),
    ):
        age = QUARTERLY_AGE if frequency == "quarterly" else MONTHLY_AGE
        stale = f"{age} days after its newest period was first published (as a {frequency} series)"
        for label, months in (("qoq", 3), ("yoy", 12)):
            sign = "-" if unit == "points" else "/"
            formula = f"newest period {sign} {months} months before" + (" - 1" if unit == "%" else "")
            found.append(Definition(f"{name}_{label}", "macro", unit, formula, f"macro {MACRO_SERIES[name]}", stale))
    for name, what in (("yield_10y", "dgs10"), ("slope_10y_2y", "t10y2y, or dgs10 - dgs2 where blank")):
        for label, days in (("qoq", QUARTER), ("yoy", YEAR)):
            formula = f"newest value - value {days} quoted days before"
            found.append(Definition(f"{name}_{label}", "macro", "% points", formula, f"indices {what}", _DAILY))
    return found


def _options() -> list[Definition]:
    found = []
    for name, unit, what in (
        ("iv_30d", "% a year", "implied volatility over the next 30 days"),
        ("hv_30d", "% a year", "historical volatility as the table gives it"),
        ("skew_30d", "% points", "implied volatility of puts less that of calls, 30 days"),
    ):
        source, change = f"options {name}", f"{name} - {name} 20 rows before"
        found.append(Definition(name, "options", unit, what, source, _DAILY))
        found.append(Definition(f"{name}_change_20d", "options", "% points", change, source, _DAILY))
    deviation = f"sample standard deviation of the daily log returns of {WINDOW} days x sqrt({YEAR})"
    change = "hv_20d - hv_20d 20 days before"
    return [
        *found,
        Definition("hv_20d", "options", "% a year", deviation, "bars", _TODAY),
        Definition("hv_20d_change_20d", "options", "% points", change, "bars", _TODAY),
        Definition("iv_less_hv", "options", "% points", "iv_30d - hv_20d", "options iv_30d, bars", _DAILY),
    ]


def _news() -> list[Definition]:
    formula = f"headlines published from {NEWS_DAYS} trading days before the date up to the day before it"
    return [Definition("news_count", "news", "headlines", f"{formula}; none is not available", "news", "the window")]


FIELDS = {
    definition.name: definition
    for definition in (*_market(), *_technical(), *_fundamental(), *_macro(), *_options(), *_news())
}
