"""What goes wrong when sources are asked is one clear sentence, nothing half-written, and the rest of the tickers kept."""

import errno
import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from fetching_world import FIRST, LAST, TICKERS, FetchInto
from gateway_double import GatewayDouble
from source_server import KEYS, SourceServer
from typer.testing import CliRunner

from llmrl_lib.cli import app
from llmrl_lib.market.description import read_description
from llmrl_lib.market.providers import (
    SOURCES,
    SourceError,
    alpaca,
    fetching,
    fred,
    ibkr,
    ivolatility,
    patience,
    writing,
    yahoo,
)
from llmrl_lib.market.providers.errors import translated
from llmrl_lib.market.providers.writing import alone_in

PATIENCE = 3.0  # seconds, in which every other answer comes on a busy machine, too
OVER_HTTP = ("yahoo", "fred", "sec", "alpaca", "ivolatility")
FIRST_FILE = {
    "yahoo": "bars/ORVN.csv",
    "fred": "macro.csv",
    "sec": "fundamentals/ORVN.csv",
    "alpaca": "news/ORVN.csv",
    "ivolatility": "options/ORVN.csv",
}
NEXT_FILE = {
    name: "indices.csv" if name == "fred" else file.replace("ORVN", "KSTV") for name, file in FIRST_FILE.items()
}
KEYED = {
    "fred": "FRED_API_KEY",
    "alpaca": "APCA_API_SECRET_KEY",
    "ivolatility": "IVOL_API_KEY",
    "sec": "EDGAR_IDENTITY",
}


def attempts(source: str) -> int:
    """How often a client asks before it gives an error to us: yfinance tries a second kind of cookie."""
    return 2 if source == "yahoo" else 1


def written(folder: Path) -> set[str]:
    """The files of a folder, hidden ones included, by their place in it."""
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def sentence(error: BaseException | str) -> str:
    """The words of an error, after seeing that they are one sentence on one line without a key."""
    words = str(error)
    assert "\n" not in words
    assert len(words) < 400
    assert not [key for key in KEYS.values() if key in words]
    return words


@pytest.mark.parametrize("source", list(SOURCES))
def test_a_client_that_is_not_installed(
    source: str, fetch_into: FetchInto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, SOURCES[source].module, None)
    with pytest.raises(SourceError, match=re.escape(f'in the checkout, pip install -e ".[{source}]"')):
        fetch_into(source)
    assert not (tmp_path / "market").exists()


@pytest.mark.parametrize("source", list(KEYED))
def test_no_key(
    source: str, source_server: SourceServer, fetch_into: FetchInto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEYED[source])
    with pytest.raises(SourceError, match=KEYED[source]) as caught:
        fetch_into(source)
    sentence(caught.value)
    assert not source_server.asked


@pytest.mark.parametrize("source", list(KEYED))
def test_a_wrong_key(source: str, source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path) -> None:
    source_server.wrong_keys = True
    with pytest.raises(SourceError, match="refuse") as caught:
        fetch_into(source)
    assert KEYED[source] in sentence(caught.value)
    assert len(source_server.asked) == 1
    assert not list((tmp_path / "market").rglob("*.csv"))


@pytest.mark.parametrize("source", OVER_HTTP)
def test_too_many_requests_are_waited_for(
    source: str, source_server: SourceServer, fetch_into: FetchInto, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=waits.append))
    source_server.faults = ["429"] * attempts(source)
    assert not fetch_into(source).failures
    assert waits == [0.0]
    assert not source_server.faults


@pytest.mark.parametrize("source", [name for name in OVER_HTTP if name != "sec"])
def test_too_many_requests_without_a_time_are_tried_again_and_then_given_up(
    source: str, source_server: SourceServer, fetch_into: FetchInto, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(patience, "PAUSES", (1.0, 5.0))
    kind = "429_xml" if source == "fred" else "429_bare"
    source_server.faults = [kind] * 2 * attempts(source)
    assert not fetch_into(source).failures
    assert waits == [1.0, 5.0]
    source_server.faults = [kind] * 3 * attempts(source)
    with pytest.raises(SourceError, match="still is after 3 attempts; try later; nothing was fetched") as caught:
        fetch_into(source, start=FIRST - pd.Timedelta(days=1))
    sentence(caught.value)


@pytest.mark.parametrize("source", OVER_HTTP)
def test_a_service_in_trouble_is_asked_again(
    source: str, source_server: SourceServer, fetch_into: FetchInto, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=waits.append))
    source_server.faults = ["503"] * attempts(source)
    assert not fetch_into(source, ["ORVN"]).failures
    assert waits == [0.0]


def test_the_sec_is_left_alone_at_once(source_server: SourceServer, fetch_into: FetchInto) -> None:
    source_server.faults = ["429_bare"]
    with pytest.raises(SourceError, match="left alone for 600 seconds"):
        fetch_into("sec")
    assert len(source_server.asked) == 1


@pytest.mark.parametrize("source", OVER_HTTP)
def test_a_source_that_is_closed_for_the_day_keeps_what_was_fetched(
    source: str, source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    fetch_into(source, ["KSTV"])
    before = {file: (tmp_path / "market" / file).read_bytes() for file in written(tmp_path / "market")}
    kind = "429_xml_for_long" if source == "fred" else "429_for_long"
    source_server.faults = [kind] * attempts(source)
    with pytest.raises(
        SourceError, match="left alone for 86400 seconds; try after that; nothing was fetched, no file written"
    ) as caught:
        fetch_into(source, ["ORVN"], start=FIRST - pd.Timedelta(days=1))
    sentence(caught.value)
    assert {file: (tmp_path / "market" / file).read_bytes() for file in before} == before


@pytest.mark.parametrize("source", OVER_HTTP)
def test_a_page_instead_of_data_fails_one_table_and_keeps_the_rest(
    source: str, source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    source_server.faults = ["html"]
    done = fetch_into(source)
    assert list(done.failures) == [FIRST_FILE[source]]
    assert re.search("not data|without|not a page", sentence(done.failures[FIRST_FILE[source]]))
    assert not (tmp_path / "market" / FIRST_FILE[source]).exists()
    assert (tmp_path / "market" / NEXT_FILE[source]).exists()
    assert not fetch_into(source).failures
    assert (tmp_path / "market" / FIRST_FILE[source]).exists()


@pytest.mark.parametrize("source", ["yahoo", "fred", "alpaca", "ivolatility"])
def test_an_answer_that_never_ends(
    source: str, source_server: SourceServer, fetch_into: FetchInto, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (yahoo, fred, alpaca, ivolatility):
        monkeypatch.setattr(module, "TIMEOUT", PATIENCE)
    source_server.faults = ["stall"]
    done = fetch_into(source)
    assert FIRST_FILE[source] in done.failures
    assert "did not finish its answer" in sentence(done.failures[FIRST_FILE[source]])
    assert NEXT_FILE[source] in done.rows


def test_an_answer_of_the_sec_that_never_ends(
    source_server: SourceServer, fetch_into: FetchInto, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stamina
    from edgar.httpclient import HTTP_MGR

    monkeypatch.setitem(HTTP_MGR.httpx_params, "timeout", PATIENCE)
    source_server.faults = ["stall"]
    with stamina.set_testing(True, attempts=1):  # its client may ask again by itself, with pauses
        done = fetch_into("sec")
    assert list(done.failures) == ["fundamentals/ORVN.csv"]
    assert "did not finish its answer" in sentence(done.failures["fundamentals/ORVN.csv"])
    assert "fundamentals/KSTV.csv" in done.rows
    assert not source_server.faults


def test_pages_that_lead_in_a_circle(source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path) -> None:
    source_server.next_token = lambda page, more: str((page + 1) % 3)  # noqa: ARG005
    done = fetch_into("alpaca", ["ORVN"])
    assert "lead in a circle" in sentence(done.failures["news/ORVN.csv"])
    assert not (tmp_path / "market" / "news").exists()


def test_pages_that_do_not_end(
    source_server: SourceServer, fetch_into: FetchInto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alpaca, "MOST_PAGES", 20)
    source_server.next_token = lambda page, more: str(page + 1)  # noqa: ARG005
    done = fetch_into("alpaca", ["ORVN"])
    assert "do not end (20 of them)" in sentence(done.failures["news/ORVN.csv"])


@pytest.mark.parametrize("source", ["yahoo", "sec", "ivolatility"])
@pytest.mark.usefixtures("source_server")
def test_an_unknown_ticker_fails_alone(source: str, fetch_into: FetchInto, tmp_path: Path) -> None:
    done = fetch_into(source, ["ORVN", "QQXZ", "KSTV"])
    table = SOURCES[source].tables[0]
    assert list(done.failures) == [f"{table}/QQXZ.csv"]
    words = sentence(done.failures[f"{table}/QQXZ.csv"])
    assert "QQXZ" in words
    assert re.search("unknown|not found", words)
    assert {f"{table}/{name}.csv" for name in TICKERS} <= set(done.rows)
    if source != "yahoo":
        assert not (tmp_path / "market" / "dataset.toml").exists()  # there are no bars
        fetch_into("yahoo", TICKERS)
        fetch_into(source, ["QQXZ", "KSTV"])
    assert read_description(tmp_path / "market").tickers == tuple(TICKERS)


@pytest.mark.usefixtures("source_server")
def test_a_ticker_without_news_has_none(fetch_into: FetchInto, tmp_path: Path) -> None:
    done = fetch_into("alpaca", ["QQXZ"])
    assert any("no news from" in note for note in done.notes)
    assert (tmp_path / "market" / "news" / "QQXZ.csv").read_text() == "available_at,headline,summary,source\n"


@pytest.mark.usefixtures("source_server")
def test_a_ticker_without_bars_does_not_make_a_dataset_unusable(fetch_into: FetchInto) -> None:
    fetch_into("yahoo")
    done = fetch_into("alpaca", ["QQXZ"])
    assert done.check is not None
    assert done.check.ok


def test_a_delisted_ticker_keeps_the_days_it_had(source_server: SourceServer, fetch_into: FetchInto) -> None:
    source_server.bars["KSTV"] = source_server.bars["KSTV"].loc[:"2018-03-29"]
    done = fetch_into("yahoo")
    assert not done.failures
    assert done.check is not None
    assert done.check.ok
    assert (done.check.defects["what"].str.contains("2018-03-29")).any()
    done = fetch_into("yahoo", start=pd.Timestamp("2018-01-02"))
    assert not done.failures


@pytest.mark.parametrize("bad", ["../up", "A B", "", ".hidden"])
def test_a_ticker_that_cannot_name_a_file(bad: str, fetch_into: FetchInto) -> None:
    with pytest.raises(SourceError, match="cannot name a file"):
        fetch_into("yahoo", [bad])


def test_a_day_that_one_side_lacks(source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path) -> None:
    source_server.bars["ORVN"].loc["2017-03-01", ["open", "high", "low", "close", "raw_close"]] = float("nan")
    source_server.indices.loc["2017-03-02", "vix_close"] = float("nan")
    done = fetch_into("yahoo")
    assert not done.failures
    assert any("1 days lack a price and are left out (2017-03-01)" in note for note in done.notes)
    assert any("vix_close is missing on 1 days" in note for note in done.notes)
    bars = pd.read_csv(tmp_path / "market" / "bars" / "ORVN.csv")
    assert "2017-03-01" not in set(bars["date"])
    indices = pd.read_csv(tmp_path / "market" / "indices.csv").set_index("date")
    assert pd.isna(indices.loc["2017-03-02", "vix_close"])
    assert indices.loc["2017-03-02", "spx_close"] > 0


def test_a_day_that_one_kind_of_bar_lacks(gateway: GatewayDouble, fetch_into: FetchInto, tmp_path: Path) -> None:
    gateway.options["ORVN"].loc["2017-03-02", "iv_30d"] = float("nan")
    done = fetch_into("ibkr", ["ORVN"])
    options = pd.read_csv(tmp_path / "market" / "options" / "ORVN.csv").set_index("date")
    assert pd.isna(options.loc["2017-03-02", "iv_30d"])
    assert options.loc["2017-03-02", "hv_30d"] > 0
    assert any("only one of OPTION_IMPLIED_VOLATILITY and HISTORICAL_VOLATILITY" in note for note in done.notes)


def test_rows_that_a_dataset_refuses_leave_the_old_file(
    source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    fetch_into("yahoo", end=pd.Timestamp("2017-06-30"))
    before = (tmp_path / "market" / "bars" / "ORVN.csv").read_bytes()
    bars = source_server.bars["ORVN"]
    bars.loc["2017-07-05", "high"] = bars.loc["2017-07-05", "low"] - 1.0
    done = fetch_into("yahoo")
    assert re.search(r"stays as it was: bars/ORVN\.csv line \d+: high .* below low", done.failures["bars/ORVN.csv"])
    assert (tmp_path / "market" / "bars" / "ORVN.csv").read_bytes() == before
    assert done.rows["bars/KSTV.csv"] > 200


@pytest.mark.usefixtures("source_server")
def test_two_fetches_at_once_into_one_folder(fetch_into: FetchInto, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from llmrl_lib.market.providers.writing import alone_in\n"
        "with alone_in(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "market")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(SourceError, match=rf"process {other.pid} on .* is fetching into .*; wait for its end"):
            fetch_into("yahoo")
    finally:
        other.kill()
        other.communicate()
    assert not fetch_into("yahoo").failures


@pytest.mark.usefixtures("source_server")
def test_a_full_disk_leaves_the_old_files(
    fetch_into: FetchInto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_into("yahoo", end=pd.Timestamp("2017-06-30"))
    before = {file: (tmp_path / "market" / file).read_bytes() for file in written(tmp_path / "market")}
    with monkeypatch.context() as patch:

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(writing.os, "fsync", full)
        with pytest.raises(SourceError, match=r"the disk is full while writing .* free some space") as caught:
            fetch_into("yahoo")
    sentence(caught.value)
    assert {file: (tmp_path / "market" / file).read_bytes() for file in written(tmp_path / "market")} == before
    assert not fetch_into("yahoo").failures


@pytest.mark.usefixtures("source_server")
def test_an_end_at_any_moment_is_gone_on_from(
    fetch_into: FetchInto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fetch_into("yahoo").rows
    expected = (tmp_path / "market" / "bars" / "ORVN.csv").read_bytes()
    replace, calls = Path.replace, 0

    for moment in range(1, 6):
        for file in (tmp_path / "market").rglob("*"):
            if file.is_file():
                file.unlink()

        def dies(self: Path, target: Path, moment: int = moment) -> Path:
            nonlocal calls
            calls += 1
            if calls == moment:
                raise KeyboardInterrupt
            return replace(self, target)

        calls = 0
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", dies)
            with pytest.raises(KeyboardInterrupt):
                fetch_into("yahoo")
        assert not fetch_into("yahoo").failures
        assert (tmp_path / "market" / "bars" / "ORVN.csv").read_bytes() == expected
    assert whole["bars/ORVN.csv"] > 400


@pytest.mark.usefixtures("source_server")
def test_a_damaged_record_is_said(fetch_into: FetchInto, tmp_path: Path) -> None:
    fetch_into("yahoo")
    (tmp_path / "market" / "sources.json").write_text("{")
    with pytest.raises(SourceError, match=r"sources\.json is damaged"):
        fetch_into("yahoo")


@pytest.mark.usefixtures("source_server")
def test_a_deleted_file_is_fetched_again(fetch_into: FetchInto, tmp_path: Path) -> None:
    fetch_into("ivolatility")
    file = tmp_path / "market" / "options" / "ORVN.csv"
    content = file.read_bytes()
    file.unlink()
    fetch_into("ivolatility")
    assert file.read_bytes() == content
    fetches = json.loads((tmp_path / "market" / "sources.json").read_text())["files"]["options/ORVN.csv"]["fetches"]
    assert len(fetches) == 2


def _forget_what_edgartools_read_before() -> None:
    """It answers from memory what an earlier test of this process asked, and then needs no server."""
    for name, module in list(sys.modules.items()):
        if name.startswith("edgar."):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


@pytest.mark.parametrize("source", OVER_HTTP)
def test_a_source_that_cannot_be_reached_is_said_in_plain_words_and_leaves_nothing(
    source: str, source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    source_server.__exit__()
    source_server.__exit__ = lambda *_: None  # type: ignore[method-assign]
    if source == "sec":
        _forget_what_edgartools_read_before()
    cause = "its server does not answer" if source == "yahoo" else "its server refuses the connection"
    with pytest.raises(SourceError, match="cannot be reached") as caught:
        fetch_into(source)
    assert sentence(caught.value) == (
        f"{SOURCES[source].title} cannot be reached: {cause}, so check the network; nothing was fetched, no file written"
    )
    assert caught.value.__cause__ is not None  # --debug shows what the client said
    assert not (tmp_path / "market").exists()


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("<urlopen error [Errno -2] Name or service not known>", "the address of its server is not found"),
        ("Failed to perform, curl: (6) Could not resolve host: query2.finance.yahoo.com.", "is not found"),
        (
            "HTTPSConnectionPool(host='a.b', port=443): Max retries exceeded (Caused by NameResolutionError(",
            "is not found",
        ),
        ("[Errno 111] Connection refused", "its server refuses the connection"),
        ("Caused by ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 403'))", "the proxy"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", "its certificate is not trusted here"),
        ("[Errno 104] Connection reset by peer", "its server broke off the connection"),
        ("[Errno 113] No route to host", "no connection to its server comes about"),
    ],
)
def test_what_clients_say_of_a_lost_network_becomes_plain_words(client: str, said: str) -> None:
    found = translated(ConnectionError(client), "The source")
    assert found.fatal
    assert said in sentence(found)
    assert client[:20] not in str(found)


def test_the_inside_of_a_client_is_no_sentence_and_its_plain_words_are() -> None:
    found = translated(RuntimeError("HTTPSConnectionPool(host='a.b', port=443): Read failed"), "The source")
    assert sentence(found) == (
        "The source failed in a way that its client has no plain words for (RuntimeError); try again later, or give "
        "--debug to see what it says"
    )
    assert (
        str(translated(ValueError("The series does not exist."), "FRED")) == "FRED failed: The series does not exist."
    )


@pytest.mark.usefixtures("source_server")
def test_a_fetch_that_gets_nothing_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "market"
    for _ in range(2):
        words = ["data", "fetch", "--source", "sec", "--tickers", "QQXZ", "--out", str(folder), "--start", "2016-09-01"]
        result = CliRunner().invoke(app, [*words, "--end", f"{LAST:%Y-%m-%d}"])
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == "llmrl: nothing was fetched, no file written"
        assert not (tmp_path / "deep").exists()
    folder.mkdir(parents=True)  # one's own folder stays, and so does a file of one's own
    CliRunner().invoke(app, words)
    assert not list(folder.iterdir())
    (folder / "mine.txt").write_text("mine")
    CliRunner().invoke(app, words)
    assert written(tmp_path) == {"deep/market/mine.txt"}


@pytest.mark.parametrize("debug", [False, True])
def test_what_a_client_logs_is_shown_with_debug_alone(
    debug: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("ib_async")
    monkeypatch.setenv("IBKR_PORT", "9")
    words = [
        "data",
        "fetch",
        "--source",
        "ibkr",
        "--tickers",
        "ORVN",
        "--out",
        str(tmp_path / "m"),
        "--start",
        "2016-09-01",
    ]
    result = CliRunner().invoke(app, [*words, *["--debug"] * debug])
    assert any(record.name.startswith("ib_async") for record in caplog.records) == debug
    assert isinstance(result.exception, SourceError) == debug
    assert not (tmp_path / "m").exists()


def test_a_lock_that_was_taken_away_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another fetch ended without anything, and removed the file, between our opening and our locking it."""
    real, calls = fcntl.flock, []

    def flock(file: Any, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            (tmp_path / "market" / writing.LOCK).unlink()
            (tmp_path / "market").rmdir()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with alone_in(tmp_path / "market"):
        assert (tmp_path / "market" / writing.LOCK).is_file()
        with pytest.raises(SourceError, match="is fetching into"), alone_in(tmp_path / "market"):
            pass
    assert len(calls) == 3
    assert not (tmp_path / "market").exists()


@pytest.mark.usefixtures("source_server")
def test_a_record_without_a_table_is_withdrawn(
    fetch_into: FetchInto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> None:
        raise SourceError("the disk is full", fatal=True)

    monkeypatch.setattr(fetching, "put_table", refuses)
    with pytest.raises(SourceError, match="the disk is full; nothing was fetched"):
        fetch_into("yahoo")
    assert not (tmp_path / "market").exists()


@pytest.mark.usefixtures("gateway")
def test_an_interactive_brokers_gateway_that_is_not_there(
    fetch_into: FetchInto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IBKR_PORT", "9")
    with pytest.raises(SourceError, match=r"no TWS or IB Gateway answers at 127\.0\.0\.1:9; start it") as caught:
        fetch_into("ibkr")
    sentence(caught.value)
    monkeypatch.setenv("IBKR_PORT", "here")
    with pytest.raises(SourceError, match="must be whole numbers"):
        fetch_into("ibkr")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((354, "Requested market data is not subscribed"), "does not let this account see ORVN"),
        ((162, "HMDS query returned no data: ORVN@SMART Trades"), "unknown there, delisted, or not subscribed to"),
        ((504, "Not connected"), "failed: Not connected (504)"),
        ("silent", "gave no TRADES of ORVN within"),
    ],
)
def test_what_interactive_brokers_refuses_fails_one_table(
    fault: tuple[int, str] | str,
    said: str,
    gateway: GatewayDouble,
    fetch_into: FetchInto,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ibkr, "TIMEOUT", PATIENCE if fault == "silent" else 120.0)
    gateway.faults = [fault]
    done = fetch_into("ibkr")
    assert list(done.failures) == ["bars/ORVN.csv"]
    assert said in sentence(done.failures["bars/ORVN.csv"])
    assert "bars/KSTV.csv" in done.rows


@pytest.mark.usefixtures("gateway")
def test_interactive_brokers_unknown_ticker_fails_alone(fetch_into: FetchInto) -> None:
    done = fetch_into("ibkr", ["QQXZ", "KSTV"])
    assert set(done.failures) == {"bars/QQXZ.csv", "options/QQXZ.csv"}
    assert "No security definition" in sentence(done.failures["bars/QQXZ.csv"])


def test_interactive_brokers_pacing_is_waited_for(
    gateway: GatewayDouble, fetch_into: FetchInto, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=waits.append))
    gateway.faults = [(162, "Historical Market Data Service error message:Historical data request pacing violation")]
    assert not fetch_into("ibkr").failures
    assert waits == [60.0]


def test_no_client_is_imported_before_it_is_used() -> None:
    modules = [source.module for source in SOURCES.values()]
    code = f"import sys, llmrl_lib.market.providers; print([name for name in {modules} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert out.stdout.strip() == "[]"


@pytest.mark.usefixtures("source_server")
def test_the_command_fetches_checks_and_says_what_failed(tmp_path: Path) -> None:
    words = ["data", "fetch", "--source", "yahoo", "--out", str(tmp_path / "made"), "--start", "2016-09-01"]
    result = CliRunner().invoke(app, [*words, "--end", f"{LAST:%Y-%m-%d}", "--tickers", "ORVN, QQXZ"])
    assert result.exit_code == 1
    assert re.search(r"bars/ORVN\.csv: \+4\d\d rows", result.output)
    assert "The dataset can be used" in result.output
    assert result.stderr.startswith("llmrl: bars/QQXZ.csv: Yahoo Finance has no prices of QQXZ")
    again = CliRunner().invoke(app, [*words, "--end", f"{LAST:%Y-%m-%d}"])
    assert again.exit_code == 0
    assert "bars/ORVN.csv: nothing new" in again.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--source", "bloomberg"], "no source 'bloomberg'; there are yahoo, fred, sec, alpaca, ibkr, ivolatility"),
        (["--source", "yahoo"], "no tickers: give --tickers"),
        (["--source", "yahoo", "--tickers", "A", "--end", "2015-01-01"], "start 2016-09-01 lies after 2015-01-01"),
    ],
)
def test_the_command_says_what_is_wrong(words: list[str], said: str, tmp_path: Path) -> None:
    pytest.importorskip("yfinance")
    result = CliRunner().invoke(
        app, ["data", "fetch", *words, "--out", str(tmp_path / "made"), "--start", "2016-09-01"]
    )
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_help_of_data_names_fetching() -> None:
    assert "fetch real ones from a source" in " ".join(
        CliRunner().invoke(app, ["--help"]).output.replace("│", " ").split()
    )
