import pytest

from autokd_edge.report.canvas import Key, Plot
from autokd_edge.report.markup import card, conditions, definitions, keys, plot, section, sentence, table

EVIL = "<script>alert('x')</script>\" onmouseover=\"y"


@pytest.mark.parametrize(
    "html",
    [
        card(EVIL, EVIL, EVIL),
        conditions([EVIL]),
        definitions({EVIL: EVIL}),
        keys([Key(colour="#000000", form="circle", text=EVIL)]),
        section(EVIL, EVIL),
        table((EVIL, EVIL, EVIL), [(EVIL, EVIL, EVIL)]),
        plot(Plot(name="p", figure="{}", keys=(Key(colour="#000000", form="x", text=EVIL),), conditions=(EVIL,))),
    ],
)
def test_no_text_can_become_an_element_or_an_attribute(html: str) -> None:
    assert "<script>alert" not in html
    assert 'onmouseover="y' not in html
    assert "&lt;script&gt;" in html


def test_a_figure_cannot_end_its_script_element() -> None:
    html = plot(Plot(name="p", figure='{"text": "</script><script>alert(1)</script>"}', keys=(), conditions=()))
    assert html.count("</script>") == 1
    assert "\\u003c/script>" in html


def test_cells_between_the_first_and_the_last_carry_their_column_for_narrow_screens() -> None:
    html = table(("Quantity", "Teacher", "Student", "Compared"), [("a", "b", "c", "d")], strong=2)
    assert '<td data-label="Teacher">b</td><td class="strong" data-label="Student">c</td><td>d</td>' in html
    assert '<th scope="row">a</th>' in html


def test_a_number_and_its_unit_stay_on_one_line() -> None:
    html = table(("a", "b", "c"), [("x", "31.8 µs of 2 sessions", "7.11 MB, 95.00 %")])
    assert "31.8\N{NO-BREAK SPACE}µs of 2 sessions" in html
    assert "7.11\N{NO-BREAK SPACE}MB, 95.00\N{NO-BREAK SPACE}%" in html


def test_no_conditions_leave_no_empty_list() -> None:
    assert conditions([]) == ""


def test_a_sentence_begins_with_a_capital() -> None:
    assert sentence("all limits kept") == "All limits kept"
    assert sentence("") == ""
