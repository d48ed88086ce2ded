"""What can be wrong with a dataset, as records, and the one error that carries them to the user."""

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN = 10  # defects spelled out in one error message


@dataclass(frozen=True)
class Defect:
    """One thing found in a dataset that is not as it should be.

    A refused defect (``tolerated=False``) stops the table from being used. A tolerated one is only reported: the
    TDQN benchmark was run on data that has it. Tolerated defects are one record per file and kind; ``line`` is then
    the first line and ``count`` the number of rows.
    """

    file: str  # relative to the dataset folder, with forward slashes
    line: int | None  # 1-based; the header is line 1; None: the file as a whole
    kind: str  # a few fixed words, for counting
    what: str  # what was found
    remedy: str  # what would be right
    tolerated: bool = False
    count: int = 1

    def __str__(self) -> str:
        return f"{self.file}{self._where}: {self.what}; {self.remedy}"

    @property
    def _where(self) -> str:
        return "" if self.line is None else f" line {self.line}"


class DatasetError(ValueError):
    """The dataset cannot be used as it is; ``defects`` says why, the message spells out the first ten."""

    def __init__(self, defects: Iterable[Defect]) -> None:
        self.defects = tuple(defects)
        super().__init__(self.defects)

    def __str__(self) -> str:
        if len(self.defects) == 1:
            return str(self.defects[0])
        shown = self.defects[:SHOWN]
        title = f"{len(self.defects)} defects" + (f", the first {SHOWN}" if len(self.defects) > SHOWN else "")
        return "\n  ".join([f"{title}:", *map(str, shown)])
