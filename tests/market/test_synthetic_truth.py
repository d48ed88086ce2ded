"""The truth of the invented market: the filters against plain algebra, the coefficients against simulated markets."""

import ast
import datetime
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plain_readings import fitted_ics

import llmrl_lib
from llmrl_lib.market import DatasetError, load_dataset, simulate, synthesise
from llmrl_lib.market.synthetic import CATEGORIES, Market, ics_of, measured_ics
from llmrl_lib.market.synthetic.bars import JUMP
from llmrl_lib.market.synthetic.companies import companies_of
from llmrl_lib.market.synthetic.draws import stream
from llmrl_lib.market.synthetic.filtering import FILTERS, estimate_drift
from llmrl_lib.market.synthetic.returns import COMPANY_ALIGNMENT, MARKET_SD, company_shocks, market_shocks
from llmrl_lib.market.synthetic.sightings import Sightings, tone_slope
from llmrl_lib.market.synthetic.states import channel
from llmrl_lib.market.synthetic.truth import FORECASTERS, REACH, return_sd
from llmrl_lib.market.synthetic.world import LOADINGS, PER_RISK, PHI, SURPRISE_NOISE, World, world_of

PACKAGE = Path(llmrl_lib.__file__).parent
ROOT = Path(__file__).resolve().parents[2]
DAYS = 44


@pytest.fixture(scope="module")
def loud() -> list[Market]:
    """Six markets whose signal is as strong as it can be."""
    return [simulate(seed, strength=2.0) for seed in range(6)]


def world(strength: float, carriers: tuple[str, ...]) -> World:
    return world_of(1, 1, strength, carriers, datetime.date(2012, 1, 3), datetime.date(2019, 12, 31), None)


class Algebra:
    """Every quantity as a row of weights on independent standard normal draws; covariances are products of rows."""

    def __init__(self, of: World) -> None:
        self.world = of
        self.company = companies_of(1, 1)[0]
        self.draws = DAYS * 10 + 12
        self.used = 0
        self.seen: dict[tuple[str, int], list[np.ndarray]] = {}  # by category and the first day on which it may be used
        self.drift: list[np.ndarray] = []
        self.rows: dict[str, np.ndarray] = {}
        self._build()

    def fresh(self) -> np.ndarray:
        row = np.zeros(self.draws)
        row[self.used] = 1.0
        self.used += 1
        return row

    def _build(self) -> None:
        s, c, root = self.world.strength, self.world.follow_through, (1.0 - PHI**2) ** 0.5
        beta, own_sd = self.company.beta, self.company.daily_sd
        total = ((beta * MARKET_SD) ** 2 + own_sd**2) ** 0.5
        g, f = s * self.fresh(), s * self.fresh()
        noise = {name: self.fresh() for name in LOADINGS}
        surprise = self.fresh()
        for day in range(DAYS):
            shock_m, shock_e = self.fresh(), self.fresh()
            jump = surprise if day in (21, 41) else 0.0
            if day >= 5:
                self.see("prices", day, PER_RISK * MARKET_SD * g + MARKET_SD * shock_m, "market_return", day)
                own = PER_RISK * own_sd * f + own_sd * shock_e + JUMP * own_sd * jump
                self.see("prices", day, own, "own_return", day)
            g = PHI * g + s * root * (c * shock_m + (1.0 - c * c) ** 0.5 * self.fresh())
            f = PHI * f + s * root * (c * shock_e + (1.0 - c * c) ** 0.5 * self.fresh())
            noise = {name: PHI * row + root * self.fresh() for name, row in noise.items()}
            state = (beta * MARKET_SD * g + own_sd * f) / total
            shown = {name: self.world.loading(name) * (g if name == "macro" else state) + noise[name] for name in noise}
            self.drift.append(PER_RISK * (beta * MARKET_SD * g + own_sd * f))
            if day >= 5:
                self.see("options", day, shown["options"], "options", day)
            if day in (9, 29):
                month = shown["macro"]
            if day in (11, 31):
                self.see("macro", day + 1, month, "macro", day)
            if day == 14:
                quarter = shown["fundamentals"]
            if day == 33:
                self.see("fundamentals", day + 1, quarter, "fundamentals", day)
            if day in (20, 40):
                surprise = self.fresh()
                self.see("earnings", day + 1, shown["earnings"] + SURPRISE_NOISE * surprise, "earnings", day)
            if day % 3 == 0:
                self.see("news", day + 1, shown["news"] + (3.0 + day) ** 0.5 * self.fresh(), "news", day)

    def see(self, category: str, usable: int, row: np.ndarray, table: str, day: int) -> None:
        self.seen.setdefault((category, usable), []).append(row)
        self.rows[f"{table} {day}"] = row

    def sightings(self, draws: np.ndarray) -> Sightings:
        """The same world as the filters see it."""

        def column(table: str) -> np.ndarray:
            values = [
                self.rows[f"{table} {day}"] @ draws if f"{table} {day}" in self.rows else np.nan for day in range(DAYS)
            ]
            return np.array(values)[:, None]

        days = np.arange(DAYS)
        return Sightings(
            market_return=column("market_return")[:, 0],
            own_return=column("own_return"),
            options=column("options"),
            macro=column("macro")[:, 0],
            fundamentals=column("fundamentals"),
            earnings=column("earnings"),
            news=column("news"),
            news_variance=np.where(np.isnan(column("news")), np.nan, 3.0 + days[:, None]),
            month_end=np.isin(days, (9, 29)),
            quarter_end=days == 14,
            reaction=np.isin(days, (21, 41))[:, None],
        )

    def expected(self, name: str, day: int, draws: np.ndarray) -> tuple[float, float]:
        """Best linear estimate of a day's drift from what one filter may use, and its variance."""
        known = [
            row
            for (category, usable), rows in self.seen.items()
            for row in rows
            if usable <= day and name in (category, "best")
        ]
        if not known:
            return 0.0, 0.0
        table = np.array(known)
        weights = np.linalg.pinv(table @ table.T, rcond=1e-12) @ table @ self.drift[day]
        return float(weights @ table @ draws), float(weights @ table @ self.drift[day])


@pytest.mark.parametrize("carriers", [CATEGORIES, ("options", "macro", "earnings"), ("prices",), ()])
def test_the_filters_agree_with_plain_algebra(carriers: tuple[str, ...]) -> None:
    algebra = Algebra(world(1.3, carriers))
    draws = np.random.default_rng(6).standard_normal(algebra.draws)
    estimates = estimate_drift((algebra.company,), algebra.world, algebra.sightings(draws))
    scale = float(algebra.drift[-1] @ algebra.drift[-1])
    for number, name in enumerate(FILTERS):
        for day in range(DAYS):
            drift, variance = algebra.expected(name, day, draws)
            assert estimates.drift[number, day, 0] == pytest.approx(drift, abs=1e-7 * scale**0.5), (name, day)
            assert estimates.variance[number, day, 0] == pytest.approx(variance, abs=1e-7 * scale), (name, day)


def test_prices_that_do_not_carry_say_nothing_about_the_drift() -> None:
    algebra = Algebra(world(2.0, ("news",)))
    draws = np.random.default_rng(7).standard_normal(algebra.draws)
    estimates = estimate_drift((algebra.company,), algebra.world, algebra.sightings(draws))
    assert np.abs(estimates.variance[FILTERS.index("prices")]).max() < 1e-9 * float(algebra.drift[0] @ algebra.drift[0])
    assert estimates.variance[FILTERS.index("best"), -1, 0] >= estimates.variance[FILTERS.index("news"), -1, 0] > 0.0


def test_shocks_have_the_variance_that_is_asked_for_and_the_stated_alignment() -> None:
    for lean in (0.0, -0.5):
        shocks = [company_shocks(stream(seed, 1, "shocks"), 5_000, 0.02, lean) for seed in range(60)]
        values = np.concatenate([one.values for one in shocks])
        innovations = np.concatenate([one.innovations for one in shocks])
        assert values.std() == pytest.approx(0.02, rel=0.02)
        assert innovations.std() == pytest.approx(1.0, rel=0.01)
        assert np.corrcoef(values, innovations)[0, 1] == pytest.approx(lean * COMPANY_ALIGNMENT, abs=0.01)
        later = np.concatenate([one.variance[1:] for one in shocks])
        before = np.concatenate([one.innovations[:-1] for one in shocks])
        assert abs(np.corrcoef(before, later)[0, 1]) < 0.006  # volatility holds no news about the drift
    market = [
        market_shocks(stream(seed, 0, "shocks"), stream(seed, 0, "regimes"), 5_000, 0.0).values for seed in range(60)
    ]
    assert np.concatenate(market).std() == pytest.approx(MARKET_SD, rel=0.03)


def test_the_return_has_the_stated_variance_and_no_autocovariance_where_prices_are_silent() -> None:
    ratios, covariances = [], []
    for seed in range(12):
        market = simulate(seed, strength=2.0, carriers=())
        for company in market.companies:
            closes = market.bars[company.ticker]["close"]
            returns = closes.pct_change().dropna().to_numpy()
            ratios.append((closes.shift(-20) / closes - 1.0).var() / return_sd(company, market.world) ** 2)
            covariances.append(np.mean(returns[:-5] * (returns[1:-4] + returns[5:])) / returns.var())
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.12)
    assert abs(np.mean(covariances)) < 0.012  # 0.05 if the drift alone acted


def test_the_return_of_a_day_holds_the_drift_of_the_day_before() -> None:
    """With prices among the carriers the shocks do not depend on the strength: the difference is the drift."""
    loud, silent = simulate(4, 2, strength=1.5), simulate(4, 2, strength=0.0)
    for company in loud.companies:
        ticker = company.ticker
        closes = loud.bars[ticker]["close"], silent.bars[ticker]["close"]
        added = (closes[0].pct_change() - closes[1].pct_change()).iloc[1:].to_numpy()
        risk = ((company.beta * MARKET_SD) ** 2 + company.daily_sd**2) ** 0.5
        np.testing.assert_allclose(added, PER_RISK * risk * loud.states[ticker].iloc[:-1], atol=5e-5)
    levels = loud.indices["spx_close"], silent.indices["spx_close"]
    added = (levels[0].pct_change() - levels[1].pct_change()).iloc[1:].to_numpy()
    np.testing.assert_allclose(added, PER_RISK * MARKET_SD * loud.market_state.iloc[:-1], atol=2e-5)


def test_tone_slope_is_the_least_squares_slope() -> None:
    channel = 1.9 * np.random.default_rng(8).standard_normal(400_000)
    loading = (1.9**2 - 1.0) ** 0.5
    slope = np.polyfit(channel, 0.085 * 2 * np.clip(channel, -3.0, 3.0), 1)[0]
    assert tone_slope(2, loading, 1.0) == pytest.approx(slope, rel=0.01)
    assert tone_slope(2, loading / 2.0, 2.0) == pytest.approx(slope, rel=0.01)


def test_measured_coefficients_agree_with_the_true_ones(loud: list[Market]) -> None:
    """Within three standard errors for all eight; benchmarks/embedded_ic.py takes forty markets and two."""
    table = measured_ics(loud)
    assert table["forecaster"].tolist() == list(FORECASTERS)
    assert (table["true"] > 0.14).all()
    assert (table["standard_error"].between(0.005, 0.05)).all()
    distance = (table["measured"] - table["true"]) / table["standard_error"]
    assert (distance.abs() < 3.0).all(), table


def test_a_plain_linear_fit_reaches_the_true_coefficients(loud: list[Market]) -> None:
    table = fitted_ics(loud).set_index("category")
    true = loud[0].truth_ic.groupby("forecaster")["ic"].mean()
    for category, row in table.iterrows():
        assert abs(row["fitted"] - true[category]) < 3.0 * row["standard_error"], table
        assert row["fitted"] > 0.7 * true[category]


def test_all_the_signal_can_lie_in_one_category() -> None:
    markets = [simulate(seed, strength=2.0, carriers=("news",)) for seed in range(6)]
    table = fitted_ics(markets).set_index("category")
    true = markets[0].truth_ic.groupby("forecaster")["ic"].mean()
    assert true.drop(["latent", "best", "news"]).abs().max() == 0.0
    assert true["best"] >= true["news"] > 0.35
    assert abs(table.loc["news", "fitted"] - true["news"]) < 3.0 * table.loc["news", "standard_error"]
    silent = table.drop("news")
    assert (silent["fitted"].abs() < 3.0 * silent["standard_error"]).all(), table


def test_without_strength_there_is_no_signal() -> None:
    markets = [simulate(seed, strength=0.0) for seed in range(6)]
    assert (markets[0].truth_ic["ic"] == 0.0).all()
    assert (markets[0].truth.drop(columns="ticker") == 0.0).all(axis=None)
    table = fitted_ics(markets)
    assert (table["fitted"].abs() < 3.0 * table["standard_error"]).all(), table


def test_coefficients_rise_with_the_strength_and_with_what_is_known() -> None:
    means = [
        simulate(1, 2, strength=level).truth_ic.groupby("forecaster")["ic"].mean()
        for level in (0.0, 0.5, 1.0, 1.5, 2.0)
    ]
    table = pd.concat(means, axis=1, keys=range(5))
    assert (table.diff(axis=1).iloc[:, 1:] > 0.0).all(axis=None)
    for column in table:
        assert table.loc["latent", column] >= table.loc["best", column] >= table.loc[list(CATEGORIES), column].max()
    assert table.loc["latent"].tolist() == pytest.approx([0.0, 0.15, 0.29, 0.41, 0.50], abs=0.01)


@pytest.mark.parametrize("published", ["macro", "fundamentals", "earnings", "news"])
def test_forecasts_know_nothing_of_later_rows(published: str) -> None:
    """The last day is one on which a row of the table is published: it may be used from the next day on."""
    market = simulate(2, 2)
    table = (
        market.macro[market.macro["series"] == "ISM_PMI"]
        if published == "macro"
        else getattr(market, published)["ORVN"]
    )
    day = table.loc[table["available_at"].isin(market.days.published[1_000:]), "available_at"].iloc[0]

    def before(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame.index <= day] if frame.index.name == "date" else frame[frame["available_at"] < day]

    by_ticker = ("bars", "options", "fundamentals", "earnings", "news")
    cut = {name: {ticker: before(one) for ticker, one in getattr(market, name).items()} for name in by_ticker}
    short = replace(market, indices=before(market.indices), macro=before(market.macro), **cut)
    last = market.days.at(day)
    assert np.array_equal(short.estimates.drift[:, : last + 1], market.estimates.drift[:, : last + 1])
    number = FILTERS.index(published)
    assert not np.array_equal(short.estimates.drift[number, last + 1], market.estimates.drift[number, last + 1])


def test_each_category_shows_the_state_with_its_loading() -> None:
    """Markets of the same seed share all noise, so that their difference is what the state adds."""
    for category in LOADINGS:
        state = np.linspace(-2.0, 2.0, 50)
        shown, silent = (
            channel(world(1.0, carriers), category, state, stream(3, 1, category)) for carriers in (CATEGORIES, ())
        )
        np.testing.assert_allclose(shown - silent, LOADINGS[category] * state)
    carrying, silent = (simulate(3, 1, carriers=("prices", *more)) for more in (CATEGORIES[1:], ()))
    company, state = carrying.companies[0], carrying.states["ORVN"]
    skew = carrying.options["ORVN"]["skew_30d"] - silent.options["ORVN"]["skew_30d"]
    np.testing.assert_allclose(skew, -1.2 * 0.7 * state, atol=2e-4)
    growth = carrying.fundamentals["ORVN"].set_index("period_end")["revenue_yoy"]
    usual = silent.fundamentals["ORVN"].set_index("period_end")["revenue_yoy"]
    ends = growth.index[growth.index > state.index[0]]
    at_end = state.to_numpy()[state.index.searchsorted(ends, side="right") - 1]
    np.testing.assert_allclose(growth[ends] - usual[ends], 0.05 * 2.5 * at_end, atol=1e-5)
    assert usual.mean() == pytest.approx(company.growth, abs=0.04)
    surprise = carrying.earnings["ORVN"].set_index("available_at")["surprise_pct"]
    plain = silent.earnings["ORVN"].set_index("available_at")["surprise_pct"]
    survey, quiet = (one.macro[one.macro["series"] == "ISM_PMI"].set_index("period") for one in (carrying, silent))
    months = survey.index[survey.index >= state.index[0].replace(day=1)]
    places = state.index.searchsorted(months + pd.offsets.MonthEnd(), side="right") - 1
    added = (survey["value"] - quiet["value"])[months].to_numpy()
    np.testing.assert_allclose(added, 3.0 * 1.5 * carrying.market_state.iloc[places], atol=0.11)
    days = surprise.index[surprise.index > state.index[0]]
    np.testing.assert_allclose(surprise[days] - plain[days], 5.0 * 1.5 * state[days], atol=0.15)


def test_the_truth_in_numbers(loud: list[Market]) -> None:
    market = loud[0]
    company = market.companies[3]
    row = market.truth[market.truth["ticker"] == company.ticker].iloc[700]
    risk = ((company.beta * MARKET_SD) ** 2 + company.daily_sd**2) ** 0.5
    assert pytest.approx(sum(PHI**lag for lag in range(20))) == REACH
    assert row["state"] == pytest.approx(market.states[company.ticker].iloc[700], abs=5e-5)
    assert row["latent"] == pytest.approx(REACH * PER_RISK * risk * market.states[company.ticker].iloc[700], abs=1e-5)
    skew = market.options[company.ticker]["skew_30d"].iloc[700]
    shown, loading = (4.0 - skew) / 1.2, LOADINGS["options"]
    best_of_state = shown * loading * 4.0 / (loading**2 * 4.0 + 1.0)  # strength 2: variance 4
    assert row["options"] == pytest.approx(REACH * PER_RISK * risk * best_of_state, abs=2e-5)
    states = pd.concat([one.states for one in loud])
    assert states.stack().std() == pytest.approx(2.0, rel=0.1)


def test_the_page_tells_the_coefficients_of_the_embedded_market() -> None:
    page = (ROOT / "book" / "embedded_market.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith(("| 0", "| 1", "| 2"))]
    assert [row[0] for row in rows] == ["0", "0.5", "1", "1.5", "2"]
    embedded = load_dataset(ROOT / "data" / "embedded").truth_ic.groupby("forecaster")["ic"].mean()
    assert [float(cell) for cell in rows[2][1:]] == embedded[list(FORECASTERS)].round(2).tolist()


def test_measuring_needs_two_markets_of_the_same_companies() -> None:
    short = {"first": datetime.date(2018, 1, 2), "last": datetime.date(2019, 3, 1)}
    one, other = simulate(1, 1, **short), simulate(1, 2, **short)
    for markets in ([one], [one, other], []):
        with pytest.raises(ValueError, match="give two or more of the same"):
            measured_ics(markets)


def test_one_companys_coefficients_beside_the_true_ones(loud: list[Market]) -> None:
    market, ticker = loud[0], "ORVN"
    truth, true = (frame[frame["ticker"] == ticker] for frame in (market.truth, market.truth_ic))
    table = ics_of(market.bars[ticker]["close"], truth, true)
    closes = market.bars[ticker]["close"]
    outcome = (closes.shift(-20) / closes - 1.0).dropna()
    assert table.loc["best", "measured"] == pytest.approx(truth["best"].loc[outcome.index].corr(outcome))
    assert table["true"].to_dict() == true.set_index("forecaster")["ic"].to_dict()
    silent = ics_of(closes, truth.assign(news=0.0), true)
    assert silent.loc["news", "measured"] == 0.0


def test_the_standard_error_is_that_of_a_forecast_that_knows_nothing() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(300):
        dates = pd.bdate_range("2012-01-03", periods=1020)
        innovations = rng.standard_normal(len(dates))
        innovations[0] *= ((1 - PHI) / (1 + PHI)) ** 0.5  # as wide as the series stays
        forecast = pd.Series(innovations).ewm(alpha=1 - PHI, adjust=False).mean().to_numpy()
        truth = pd.DataFrame(dict.fromkeys(FORECASTERS, forecast), index=dates)
        closes = pd.Series(100 * np.exp(np.cumsum(0.01 * rng.standard_normal(len(dates)))), index=dates)
        true = pd.DataFrame({"forecaster": list(FORECASTERS), "ic": 0.0})
        found.append(ics_of(closes, truth, true).loc["best"])
    table = pd.DataFrame(found)
    assert table["measured"].std() == pytest.approx(table["standard_error"].iloc[0], rel=0.15)


def test_a_dataset_hands_out_its_truth_only_where_there_is_one(tmp_path: Path) -> None:
    short = {"first": datetime.date(2018, 1, 2), "last": datetime.date(2019, 3, 1)}
    folder = synthesise(1, 2, out=tmp_path / "market", **short)
    dataset = load_dataset(folder)
    before = dataset.content_hash()
    pd.testing.assert_frame_equal(dataset.truth, simulate(1, 2, **short).truth)
    lines = (folder / "truth.csv").read_text().splitlines()
    (folder / "truth.csv").write_text("\n".join([*lines[:5], lines[5].replace("ORVN", ""), *lines[6:], ""]))
    with pytest.raises(DatasetError, match=r"truth\.csv line 6: ticker is missing"):
        _ = dataset.truth
    assert dataset.has_truth
    (folder / "truth.csv").unlink()
    assert not dataset.has_truth
    (folder / "truth_ic.csv").unlink()
    assert dataset.content_hash() == before == load_dataset(folder).content_hash()
    with pytest.raises(DatasetError, match=r"truth\.csv: not found in .*; only invented markets have one"):
        _ = dataset.truth
    with pytest.raises(DatasetError, match=r"truth_ic\.csv: not found in"):
        _ = dataset.truth_ic


def uses_of_truth(source: str) -> Iterator[int]:
    """Lines that read an attribute or a file of the truth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in (
            "truth",
            "truth_ic",
            "states",
            "market_state",
            "estimates",
        ):
            yield node.lineno
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("truth"):
            yield node.lineno


def test_only_hindsight_and_experiments_look_at_the_truth() -> None:
    allowed = ("market/synthetic/", "market/dataset.py", "market/tables.py", "market/hindsight", "experiments")
    allowed += ("strategy/lessons/",)  # what Nano is taught and examined with, fenced off by an import contract
    found = [
        f"{path.relative_to(PACKAGE).as_posix()}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.relative_to(PACKAGE).as_posix().startswith(allowed)
        for line in uses_of_truth(path.read_text())
    ]
    assert found == []
    assert list(uses_of_truth("a = dataset.truth\nb = open('truth.csv')")) == [1, 2]
