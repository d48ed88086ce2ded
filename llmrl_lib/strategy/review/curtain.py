"""The curtain before a case's second half: the model's strategy cannot be read in the page until a prediction is committed.

Text is combined with a stream of SHA-256(key, counter) blocks. The key is not in the page as such: it is wrapped once for
each prediction that can be made, and unwrapping needs that prediction. This hides the text from who reads the page, its
source or its document tree. It is no protection against somebody who runs the page's own code by hand, and cannot be: the
page holds all that it needs. `packet.js` has the same functions.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from llmrl_lib.strategy.review.rubric import CONFIDENCES, SIDES


def drawn(text: str, case: str, secret: str) -> Mapping[str, Any]:
    """`text` behind the curtain of a case: its cipher and the key wrapped for every prediction, in base64.

    `secret` is any text that only the maker of the packet knows; the same one gives the same bytes.
    """
    key = hashlib.sha256(f"{secret}\n{case}".encode()).digest()
    wrapped = {token: _combined(key, _wrapper(case, token)) for token in predictions()}
    return {
        "cipher": _written(_combined(text.encode(), _stream(key, len(text.encode())))),
        "keys": {token: _written(value) for token, value in wrapped.items()},
    }


def opened(curtain: Mapping[str, Any], case: str, prediction: str) -> str:
    """The text, given a prediction such as "LONG 2". Raises KeyError for what is none."""
    key = _combined(base64.b64decode(curtain["keys"][prediction]), _wrapper(case, prediction))
    cipher = base64.b64decode(curtain["cipher"])
    return _combined(cipher, _stream(key, len(cipher))).decode()


def predictions() -> Iterable[str]:
    """All that can be committed."""
    return [f"{side} {confidence}" for side in SIDES for confidence in CONFIDENCES]


def _wrapper(case: str, prediction: str) -> bytes:
    return hashlib.sha256(f"{case}\n{prediction}".encode()).digest()


def _stream(key: bytes, length: int) -> bytes:
    blocks = (hashlib.sha256(key + count.to_bytes(4, "big")).digest() for count in range(-(-length // 32)))
    return b"".join(blocks)[:length]


def _combined(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one) ^ int.from_bytes(other)).to_bytes(len(one))


def _written(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
