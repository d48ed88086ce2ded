"""Real data, each source through its own well-kept client, in the one format that everything else reads.

No client is imported before it is used: each is an optional extra of the package. ``fetch`` fills or continues a folder.
"""

from llmrl_lib.market.providers.alpaca import ALPACA
from llmrl_lib.market.providers.errors import SourceError
from llmrl_lib.market.providers.fetching import Fetched, fetch, last_day_over
from llmrl_lib.market.providers.fred import FRED
from llmrl_lib.market.providers.ibkr import IBKR
from llmrl_lib.market.providers.ivolatility import IVOLATILITY
from llmrl_lib.market.providers.sec import SEC
from llmrl_lib.market.providers.source import Part, Session, Source, Wanted
from llmrl_lib.market.providers.yahoo import YAHOO

SOURCES = {source.name: source for source in (YAHOO, FRED, SEC, ALPACA, IBKR, IVOLATILITY)}

__all__ = ["SOURCES", "Fetched", "Part", "Session", "Source", "SourceError", "Wanted", "fetch", "last_day_over"]
