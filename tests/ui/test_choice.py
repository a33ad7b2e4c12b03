import numpy as np
import pytest

from tests.asking import one, session_of
from tests.fake_page import QUESTION, ask, filled_in, form, run_of, wired
from tests.fake_session import FakeSession
from vif import methods
from vif.ui.html.answers import answers_html
from vif.ui.html.words import tones
from vif.ui.panels import choice
from vif.ui.state.form import Truth
from vif.ui.state.payload import payload_of

FOUR = ["plain", "vif", "pai", "vif-free"]
BOX = ((0.1, 0.1, 0.3, 0.4),)


@pytest.fixture(scope="module")
def wiring():
    return wired()


def shown(result):
    return answers_html(result, payload_of(result))


def test_every_method_can_be_chosen_and_says_what_it_costs(wiring):
    assert {value for _, value in wiring.field("chosen").choices} == set(methods.names())
    for name in methods.names():
        assert choice.cost(methods.find(name)) in choice.method_lines([name])


def test_costs_are_counted_in_passes():
    assert choice.cost(methods.find("plain")) == "No extra pass."
    assert choice.cost(methods.find("vif-free")) == "Costs 2 extra passes."
    assert "per token" in choice.cost(methods.find("vcd"))


def test_every_setting_starts_at_its_published_default(wiring):
    own = wiring.controls.own
    sent = own.gather({slider: slider.value for slider in own.sliders})
    for name, values in sent.items():
        assert values == {option.name: option.default for option in methods.find(name).options}


def test_only_panels_of_chosen_methods_are_shown(wiring):
    own = wiring.controls.own
    _, shared, *panels = choice.follow(own, ["plain", "pai"])
    assert not shared.visible
    shown = [name for name, panel in zip(own.panels, panels, strict=True) if panel.visible]
    assert shown == ["pai"]
    assert choice.follow(own, ["plain", "uniform"])[1].visible


@pytest.mark.parametrize("name", [*methods.names(), "free+cut", "look+bias", "look+cut"])
def test_ranges_and_strength_are_offered_exactly_where_they_do_something(name):
    options = {"carve": {"steps": 3}} if name == "carve" else {}
    session = session_of("llava")
    other = {"learning": (0, 0), "injection": (1, 2), "stride": 2, "alpha": 0.9}
    rows = [one(session, name, options=options, **given).rows for given in ({}, other)]
    assert methods.find(name).uses_ranges is not np.array_equal(*rows)


@pytest.mark.parametrize("chosen", [[], [*FOUR, "vcd"]])
def test_too_few_or_too_many_are_said_at_once_and_when_running(wiring, chosen):
    assert 'role="alert"' in choice.method_lines(chosen)
    *_, last = run_of(wiring, chosen=chosen)
    assert list(last) == [wiring.controls.message]


def test_own_settings_reach_the_session_only_for_chosen_methods():
    session = FakeSession()
    own = {"pai": {"alpha": 0.3}, "vcd": {"alpha": 0.9}}
    ask(session, chosen=["plain", "pai"], own=own)
    assert list(session.calls[-1]["options"]) == ["pai"]
    assert session.calls[-1]["options"]["pai"]["alpha"] == 0.3


def test_the_true_place_is_given_only_to_the_method_that_asks_for_it():
    session, truths = FakeSession(), [Truth(QUESTION, "red", BOX)]
    ask(session, truths, chosen=["plain", "oracle"])
    assert session.calls[-1]["boxes"] == BOX
    ask(session, truths)
    assert session.calls[-1]["boxes"] is None


def test_four_answers_stand_side_by_side():
    html = shown(ask(chosen=FOUR))
    assert html.count("<article") == html.count("<canvas") == 4
    assert "4 methods, one answer." in html
    assert len(set(tones(FOUR).values())) == 4


def test_without_plain_the_first_answer_is_what_others_are_compared_with():
    result = ask(chosen=["pai", "vif"])
    assert result.baseline == "pai"
    assert "Difference from PAI" in shown(result)


def test_another_model_keeps_the_choice_but_for_the_form_of_vif():
    assert choice.chosen_for(FakeSession(adapter=False), FOUR) == ["plain", "vif-free", "pai"]
    assert choice.chosen_for(FakeSession(), ["vif-free", "plain"]) == ["vif", "plain"]


def test_a_form_is_read_by_the_names_of_its_fields(wiring):
    filled = form(alpha=0.7, chosen=["pai"])
    again = wiring.read_form(filled_in(wiring, alpha=0.7, chosen=["pai"]))
    assert (again.alpha, again.chosen, again.image) == (0.7, filled.chosen, filled.image)
    assert again.own["pai"] == {o.name: o.default for o in methods.find("pai").options}
    assert set(wiring.form) == {*filled_in(wiring)} - {wiring.key, wiring.truths}
