from stallwatch.model.plain_text import harmless, one_line

HOSTILE = "a\x1b[31mb\x07\r\n\N{RIGHT-TO-LEFT OVERRIDE}c\x9b2J"


def test_nothing_acts_on_a_terminal() -> None:
    assert one_line(HOSTILE) == "a�[31mb����c�2J"
    assert harmless(HOSTILE) == "a�[31mb��\n�c�2J"


def test_what_people_write_stays() -> None:
    text = "Zahlung prüfen → 支払い 🚀"
    assert one_line(text) == harmless(text) == text
