"""What follows what in a course, against a slow and plain account of it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.statistics.courses import Course, follows, given_up, reentries


def course(*texts: str) -> Course:
    """`a b` as two steps one after the other; texts with a mark stay as they are."""
    out: list[str] = []
    for text in texts:
        out += [text] if text[0] in "+*-!/^" else [f"+{text}", f"-{text}"]
    return tuple(out)


def edges(one: Course, ended: bool = True) -> set[tuple[str, str]]:
    return {(it.after, it.step) for it in follows(one, ended)}


def test_one_after_the_other() -> None:
    assert edges(course("a", "b")) == {("", "a"), ("a", "b"), ("b", "")}
    assert edges(course("a", "b"), ended=False) == {("", "a"), ("a", "b")}
    assert edges(()) == {("", "")}


def test_what_overlaps_is_in_no_order() -> None:
    assert edges(("+a", "+b", "-a", "-b")) == {("", "a"), ("", "b"), ("a", ""), ("b", "")}


def test_branches_meet() -> None:
    parallel = course("a", "+b", "+c", "-c", "-b", "d")
    assert {("b", "d"), ("c", "d"), ("a", "b"), ("a", "c")} <= edges(parallel)
    assert ("a", "d") not in edges(parallel)


def test_a_step_that_did_not_complete_leads_nowhere() -> None:
    assert edges(course("a", "+b", "!b", "c")) == {("", "a"), ("a", "b"), ("a", "c"), ("c", "")}
    (behind,) = [it for it in follows(course("a", "+b", "!b", "c"), True) if it.step == "c"]
    assert not behind.usual
    assert "b" in behind.between
    (undone,) = [it for it in follows(course("a", "*u", "-u"), False) if it.step == "u"]
    assert not undone.usual


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 20), st.integers(1, 6)), max_size=7)
)
def test_follows_is_the_plain_definition(drawn: list[tuple[str, int, int]]) -> None:
    """a directly before b: a had ended when b began, and no c lies wholly in between."""
    # Each name once, so that its run is known by it; all times differ.
    spans = {
        name: (begin * 100 + i, (begin + n) * 100 + 50 + i)
        for i, (name, begin, n) in enumerate(drawn)
    }
    points = [(begin, f"+{name}") for name, (begin, _) in spans.items()]
    points += [(end, f"-{name}") for name, (_, end) in spans.items()]
    one = tuple(text for _, text in sorted(points))
    spans[""] = (10**6, -1)
    plain = {
        (a, b)
        for a, (_, a_end) in spans.items()
        for b, (b_begin, _) in spans.items()
        if a_end < b_begin
        and not any(
            c and c_begin > a_end and c_end < b_begin for c, (c_begin, c_end) in spans.items()
        )
    }
    assert edges(one) == plain


def test_going_back() -> None:
    (found,) = reentries(course("a", "b", "+a"))
    assert (found.step, found.later, found.at) == ("a", frozenset({"b"}), 4)
    assert reentries(course("a", "a")) == ()
    assert reentries(course("+a", "!a", "b", "+a")) == ()
    assert reentries(course("a", "+b", "!b", "c", "+a")) == ()
    assert reentries(course("a", "b", "^", "+a")) == ()
    assert reentries(course("a", "+b", "+a")) == ()


def test_a_later_success_is_none_given_up() -> None:
    assert given_up(course("+a", "!a", "b")) == {"a"}
    assert given_up(course("+a", "!a", "a", "b")) == frozenset()
