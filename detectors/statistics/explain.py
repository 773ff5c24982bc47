"""What do the affected share that the others do not have?

For each value of each dimension (queue, version, downstream …) the binomial log-likelihood ratio of "its attempts have
a rate of their own" against "one rate for all", minus ln(number of the dimension's values): a value must explain more
than the best of so many would by chance. The best value absorbs its attempts, and what remains is asked again. Pure.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Value = tuple[str, int]
"""A dimension and the code of one of its values."""

NO_VALUE: Final = -1
"""The code of attempts that say nothing of a dimension: that is no cause."""
SCORE_MIN: Final = math.log(1000)
"""In nats. Below, chance explains it nearly as well."""
AFFECTED_MIN: Final = 2.0
"""One affected attempt shares everything with itself."""
ODDS_MIN: Final = 3.0
"""The odds of being affected inside a cause against those outside: among many attempts the smallest difference is
beyond chance, and explains nothing."""
CAUSES_MAX: Final = 20
PARTS_MAX: Final = 6
SPLIT_FIRST: Final = 0.10
SPLIT_EACH: Final = 0.05
"""Several causes in place of one must fit better than it by SPLIT_FIRST, and by SPLIT_EACH for each of them: every
incident more costs a person's attention, and one cause rarely hits all that it hits alike."""
KEEP: Final = 1.25
"""By how much another explanation must be better than the one that was held until now."""


@dataclass(frozen=True)
class Cells:
    """Attempts that are alike in every dimension, counted: `affected` of `attempts`, and the code of each cell's value
    by dimension (NO_VALUE where it has none). `values`: how many values each dimension has. Of values that cannot be
    told apart the earlier dimension is named."""

    attempts: Floats
    affected: Floats
    codes: Mapping[str, NDArray[np.int64]]
    values: Mapping[str, int]

    def mask(self, value: Value) -> Mask:
        """The cells that have the value."""
        dimension, code = value
        found: Mask = self.codes[dimension] == code
        return found


@dataclass(frozen=True)
class Explanation:
    """One cause: in its cells `affected` of `attempts` are, of all others `outside`. `score`: the log-likelihood ratio
    less its penalty, nats. `share` of all that is affected. `also`: values of exactly the same attempts."""

    value: Value
    score: float
    affected: float
    attempts: float
    outside: float
    share: float
    also: tuple[Value, ...]
    cells: Mask


@dataclass(frozen=True)
class _Candidate:
    value: Value
    score: float
    affected: float
    attempts: float


def explain(cells: Cells, held: Collection[Value] = ()) -> list[Explanation]:
    """The causes, the strongest first; empty where nothing sets the affected apart.

    `held`: the values that explained it until now; another is preferred only when it is better by KEEP.

    1. the best value of all; 2. unless several of the values inside it fit clearly better: then the best of these;
    3. it absorbs its cells; again with the rest.
    """
    left = np.ones(len(cells.attempts), dtype=bool)
    everything = float(cells.affected.sum())
    found: list[Explanation] = []
    while len(found) < CAUSES_MAX and (best := _best(cells, left, held)) is not None:
        best = _refined(cells, left, best, held)
        inside = cells.mask(best.value) & left
        found.append(_explanation(cells, left, inside, best, everything))
        left &= ~inside
    return found


def _explanation(
    cells: Cells, left: Mask, inside: Mask, best: _Candidate, everything: float
) -> Explanation:
    others = left & ~inside
    n, o = float(cells.attempts[others].sum()), float(cells.affected[others].sum())
    alike = (
        (name, int(codes[inside][0]))
        for name, codes in cells.codes.items()
        if name != best.value[0] and codes[inside][0] != NO_VALUE
    )
    return Explanation(
        value=best.value,
        score=best.score,
        affected=best.affected,
        attempts=best.attempts,
        outside=o / n if n else 0.0,
        share=best.affected / everything,
        also=tuple(one for one in alike if np.array_equal(cells.mask(one) & left, inside)),
        cells=inside,
    )


def _best(
    cells: Cells, among: Mask, held: Collection[Value], score_min: float = SCORE_MIN
) -> _Candidate | None:
    """The value with the highest score among these cells; of those that cannot be told apart the one that is held,
    else that of the earliest dimension."""
    n, o = float(cells.attempts[among].sum()), float(cells.affected[among].sum())
    found = list(_candidates(cells, among, (n, o), held, score_min)) if o >= AFFECTED_MIN else []
    if not found:
        return None
    chief = max(found, key=lambda one: _favoured(one, held))
    alike = [
        one for one in found if one.affected == chief.affected and one.attempts == chief.attempts
    ]
    return next((one for one in alike if one.value in held), alike[0])


def _candidates(
    cells: Cells,
    among: Mask,
    whole: tuple[float, float],
    held: Collection[Value],
    score_min: float,
) -> Iterator[_Candidate]:
    """Of each dimension the values worth a look: its best and those that are held. `whole`: attempts and affected."""
    n, o = whole
    one_rate = _fit(o, n)
    for dimension, codes in cells.codes.items():
        asked = among & (codes != NO_VALUE)
        size = int(codes.max(initial=NO_VALUE)) + 1
        inside_n: Floats = np.bincount(codes[asked], cells.attempts[asked], size).astype(float)
        inside_o: Floats = np.bincount(codes[asked], cells.affected[asked], size).astype(float)
        llr = _fit(inside_o, inside_n) + _fit(o - inside_o, n - inside_n) - one_rate
        eligible = _sets_apart(inside_o, inside_n, o, n) & (inside_o >= AFFECTED_MIN)
        score = np.where(eligible, llr - math.log(max(cells.values[dimension], 1)), -np.inf)
        codes_held = {code for name, code in held if name == dimension and code < size}
        for code in {int(score.argmax()), *codes_held} if size else ():
            if score[code] > score_min:
                yield _Candidate(
                    (dimension, code),
                    float(score[code]),
                    float(inside_o[code]),
                    float(inside_n[code]),
                )


def _refined(cells: Cells, left: Mask, best: _Candidate, held: Collection[Value]) -> _Candidate:
    """The best of the values inside `best` where these fit clearly better together than it alone, else `best`."""
    for _ in cells.codes:
        # What is worse than the rest of the value's own need not be where the value is not.
        parts = [
            p
            for p in _parts(cells, left, best.value)
            if _is_worse(_candidate(cells, left, p), cells, left)
        ]
        if not parts:
            return best
        margin = 1 + SPLIT_FIRST + SPLIT_EACH * len(parts)
        if best.value in held:
            margin *= KEEP
        if all(part in held for part in parts):
            margin /= KEEP
        if _gain(cells, left, parts) < margin * _gain(cells, left, [best.value]):
            return best
        best = max((_candidate(cells, left, part) for part in parts), key=lambda one: one.score)
    return best


def _parts(cells: Cells, left: Mask, value: Value) -> list[Value]:
    """The values that explain best which of the value's own attempts are affected, one after the other. Whether they
    are worth it is asked of all of them together."""
    inside = left & cells.mask(value)
    parts: list[Value] = []
    while len(parts) < PARTS_MAX and (part := _best(cells, inside, (), 0.0)) is not None:
        parts.append(part.value)
        inside &= ~cells.mask(part.value)
    return parts


def _gain(cells: Cells, left: Mask, causes: list[Value]) -> float:
    """How much better these causes, one after the other, fit all that is left than one rate for all; less their
    penalties."""
    rest = left.copy()
    total = -_fit_of(cells, left)
    for cause in causes:
        mine = rest & cells.mask(cause)
        total += _fit_of(cells, mine) - math.log(max(cells.values[cause[0]], 1))
        rest &= ~mine
    return total + _fit_of(cells, rest)


def _candidate(cells: Cells, left: Mask, value: Value) -> _Candidate:
    inside = left & cells.mask(value)
    o, n = float(cells.affected[inside].sum()), float(cells.attempts[inside].sum())
    return _Candidate(value, _gain(cells, left, [value]), o, n)


def _is_worse(one: _Candidate, cells: Cells, left: Mask) -> bool:
    n, o = float(cells.attempts[left].sum()), float(cells.affected[left].sum())
    return bool(_sets_apart(one.affected, one.attempts, o, n))


def _sets_apart(inside_o: Floats | float, inside_n: Floats | float, o: float, n: float) -> Any:
    """Whether the odds to be affected are clearly higher inside than among the others of all `o` of `n`."""
    inside_odds = inside_o * (n - inside_n - (o - inside_o))
    return inside_odds > ODDS_MIN * (o - inside_o) * (inside_n - inside_o)


def _favoured(candidate: _Candidate, held: Collection[Value]) -> float:
    return candidate.score * (KEEP if candidate.value in held else 1.0)


def _fit_of(cells: Cells, mask: Mask) -> float:
    return float(_fit(cells.affected[mask].sum(), cells.attempts[mask].sum()))


def _fit(affected: Floats | float, attempts: Floats | float) -> Floats:
    """The binomial log-likelihood at the rate that fits best; 0 for no attempts."""
    o, n = np.asarray(affected, dtype=float), np.asarray(attempts, dtype=float)
    healthy = np.maximum(n - o, 0.0)
    fit: Floats = xlogy(o, o) + xlogy(healthy, healthy) - xlogy(n, n)
    return fit
