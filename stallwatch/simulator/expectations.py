"""What must be firing at a time of a scenario, and whether it is. Pure: no store, no clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from stallwatch.errors import InputError
from stallwatch.model.durations import format_duration, parse_time
from stallwatch.model.findings import DETECTOR_IDS, Finding, Severity, Status
from stallwatch.simulator.spec import Spec, parse_offset_s

CLAUSES: Final = ("findings", "contains", "absent")
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "detector": DETECTOR_IDS,
    "severity": tuple(Severity),
    "status": tuple(Status),
}


@dataclass(frozen=True)
class Expectation:
    """One line of `expect`; a clause that is None was not given.

    `findings`: exactly these fire. `contains`: each of these fires, others may. `absent`: none of
    these does. Each is a mapping of Finding fields to what they must be.
    """

    at: datetime
    offset_s: float
    line: int
    findings: list[dict[str, Any]] | None = None
    contains: list[dict[str, Any]] | None = None
    absent: list[dict[str, Any]] | None = None


def parse_expectation(spec: Spec, start: datetime) -> Expectation:
    """InputError names the place of an unknown key, field, detector, severity or status."""
    children = spec.mapping(("at", *CLAUSES), ("at",))
    given = {
        clause: [_parse_expected(item, start) for item in children[clause].sequence()]
        for clause in CLAUSES
        if clause in children
    }
    if not given:
        raise spec.error(f"needs one of {', '.join(CLAUSES)}")
    offset_s = children["at"].duration_s()
    at = start + timedelta(seconds=offset_s)
    return Expectation(at=at, offset_s=offset_s, line=spec.line, **given)


def check_expectation(expectation: Expectation, firing: Sequence[Finding]) -> list[str]:
    """What is wrong, a sentence each; empty when `firing` is as expected."""
    problems = []
    if expectation.findings is not None:
        problems += _check_exactly(expectation.findings, firing)
    for expected in expectation.contains or ():
        if not any(matches(expected, finding) for finding in firing):
            problems.append(f"{_expected(expected)} should be firing and is not; {_all(firing)}")
    for expected in expectation.absent or ():
        problems += [
            f"{_finding(finding)} is firing, but {_expected(expected)} should not be"
            for finding in firing
            if matches(expected, finding)
        ]
    place = f"at {format_duration(expectation.offset_s)} (line {expectation.line})"
    return [f"{place}: {problem}" for problem in problems]


def matches(expected: dict[str, Any], finding: Finding) -> bool:
    """Every field given is as the finding's: lists are contained in it, mappings a part of it."""
    return all(_agrees(value, getattr(finding, name)) for name, value in expected.items())


def _check_exactly(expected: list[dict[str, Any]], firing: Sequence[Finding]) -> list[str]:
    partner = _pair(expected, firing)
    problems = [
        f"{_expected(item)} should be firing and is not; {_all(firing)}"
        for index, item in enumerate(expected)
        if index not in partner
    ]
    left_over = set(range(len(firing))) - set(partner.values())
    problems += [
        f"{_finding(firing[index])} is firing and was not expected" for index in sorted(left_over)
    ]
    return problems


def _pair(expected: list[dict[str, Any]], firing: Sequence[Finding]) -> dict[int, int]:
    """A largest pairing of expectations with findings, each used once (Kuhn's augmenting paths).

    Needed because an expectation with few fields may fit the finding that another one alone needs.
    """
    fits = [
        [place for place, finding in enumerate(firing) if matches(item, finding)]
        for item in expected
    ]
    holder: dict[int, int] = {}

    def place_for(index: int, tried: set[int]) -> bool:
        for place in fits[index]:
            if place in tried:
                continue
            tried.add(place)
            if place not in holder or place_for(holder[place], tried):
                holder[place] = index
                return True
        return False

    for index in range(len(expected)):
        place_for(index, set())
    return {index: place for place, index in holder.items()}


def _agrees(expected: Any, actual: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(
            key in actual and _agrees(value, actual[key]) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return isinstance(actual, list | tuple) and all(item in actual for item in expected)
    # True == 1 in Python, and a person who wrote `true` did not mean 1.
    return isinstance(expected, bool) == isinstance(actual, bool) and bool(expected == actual)


def _parse_expected(spec: Spec, start: datetime) -> dict[str, Any]:
    fields = spec.mapping(tuple(_READERS), ())
    if not fields:
        raise spec.error("names no field")
    return {name: _READERS[name](child, start) for name, child in fields.items()}


def _read_text(spec: Spec, _: datetime) -> str:
    """Text, which may be empty: `step: \"\"` means that the finding names no step."""
    return "" if spec.value == "" else spec.text()


def _read_choice(spec: Spec, _: datetime) -> str:
    name = spec.path.rpartition(".")[2]
    if spec.value not in _CHOICES[name]:
        known = ", ".join(_CHOICES[name])
        raise spec.error(f"{spec.value!r} is not a known {name}; known are {known}")
    return spec.text()


def _read_texts(spec: Spec, _: datetime) -> list[str]:
    return [item.text() for item in spec.sequence()]


def _read_count(spec: Spec, _: datetime) -> int:
    return spec.integer(0, 2**63 - 1)


def _read_evidence(spec: Spec, _: datetime) -> dict[str, Any]:
    spec.mapping()
    evidence: dict[str, Any] = spec.plain()
    return evidence


def _read_time(spec: Spec, start: datetime) -> datetime:
    return offset_or_time(spec, start)


_READERS: Final[dict[str, Callable[[Spec, datetime], Any]]] = {
    "detector": _read_choice,
    "severity": _read_choice,
    "status": _read_choice,
    "namespace": _read_text,
    "engine": _read_text,
    "workflow": _read_text,
    "step": _read_text,
    "executions": _read_texts,
    "count": _read_count,
    "first_seen": _read_time,
    "last_seen": _read_time,
    "fingerprint": _read_text,
    "title": _read_text,
    "explanation": _read_text,
    "evidence": _read_evidence,
    "next_steps": _read_texts,
}


def offset_or_time(spec: Spec, start: datetime) -> datetime:
    """An offset from `start` (`5m`, `-10s`), or a time as such."""
    try:
        return start + timedelta(seconds=parse_offset_s(spec.value))
    except InputError:
        pass
    try:
        return parse_time(spec.text(), start)
    except InputError:
        raise spec.error(f"must be an offset or a time, not {spec.value!r}") from None


def _expected(expected: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {_short(value)}" for name, value in expected.items()) + "}"


def _finding(finding: Finding) -> str:
    told = [finding.detector]
    told += [
        f"{name} {value}" for name in ("workflow", "step") if (value := getattr(finding, name))
    ]
    if finding.executions:
        told.append(f"executions {_short(list(finding.executions[:3]))}")
    return f"{' · '.join(told)} ({finding.title})"


def _all(firing: Sequence[Finding]) -> str:
    if not firing:
        return "nothing is firing"
    return "firing: " + "; ".join(_finding(finding) for finding in firing)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(str(item) for item in value) + "]"
    return str(value)
