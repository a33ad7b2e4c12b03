import re
from html import unescape

import numpy as np
import pytest

from tests.support.asking import one, session_of
from tests.support.fake_page import QUESTION, ask, filled_in, form, run_of, wired
from tests.support.fake_session import FakeSession
from vif import methods
from vif.charts.style import method_colour
from vif.errors import InputError
from vif.methods import Group, Method
from vif.methods.base import METHODS
from vif.methods.edits.base import EDITS
from vif.methods.maps.base import MAPS
from vif.ui.html.answers import answers_html
from vif.ui.panels import choice
from vif.ui.state.form import Truth
from vif.ui.state.payload import payload_of
from vif.ui.tones import colour_classes, contrast, readable, style

FOUR = ["plain", "vif", "pai", "vif-free"]
BOX = ((0.1, 0.1, 0.3, 0.4),)


@pytest.fixture(scope="module")
def wiring():
    return wired()


def shown(result):
    return answers_html(result, payload_of(result))


def test_every_method_can_be_chosen_and_says_what_it_costs(wiring):
    menu = wiring.field("chosen").props["menu"]
    for name in methods.names():
        assert f'value="{name}"' in menu
        assert choice.cost(methods.find(name)) in choice.method_lines([name])


def test_methods_are_listed_by_group_and_maps_meet_edits(wiring):
    menu = wiring.field("chosen").props["menu"]
    legends = re.findall("<legend>(.*?)</legend>", menu)
    assert legends == list(methods.Group)
    for part in (*MAPS, *EDITS):
        assert f'<option value="{part}"' in menu


def test_what_cannot_work_with_the_model_is_greyed_and_says_why():
    for session, name in ((FakeSession(), "paint"), (FakeSession(adapter=False), "vif")):
        why = methods.find(name).obstacle(session.backbone, session.adapter)
        menu = choice.menu_html(session)
        (row,) = re.findall(f'<label.*"checkbox" value="{name}".*</label>', menu)
        assert "disabled" in row
        assert why in unescape(row)
    free = choice.menu_html(FakeSession(adapter=False))
    assert re.search('<option value="vif" disabled data-words="The map [^"]* needs a VIF', free)
    assert not re.search('<option value="vif" disabled', choice.menu_html(FakeSession()))


def test_a_method_that_is_one_file_comes_into_the_menu_with_its_label_group_and_colour(monkeypatch):
    class Lift(Method):
        name, label, group = "lift", "Lift", Group.DECODING
        colour, summary = "#118833", "Lifts."
        tap = None

    monkeypatch.setitem(METHODS, "lift", Lift())
    menu = choice.menu_html(FakeSession())
    assert menu.index(Group.DECODING) < menu.index("<b>Lift</b> Lifts.") < menu.index("VCD")
    assert colour_classes(["plain", "lift"])["lift"] == "vl-lift"
    assert ".vl-lift{--vl-tone:var(--vl-lift);--vl-heat:#118833" in style()
    assert method_colour("lift", 3) == "#118833"


def test_words_in_an_answer_s_colour_can_be_read_on_both_pages():
    for colour in ("#000000", "#ffffff", "#64911a", "#777777"):
        for surface in ("#f1f4f8", "#1f2937"):
            assert contrast(readable(colour, surface), surface) >= 4.5
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_costs_are_counted_in_passes():
    assert choice.cost(methods.find("plain")) == "No extra passes."
    assert choice.cost(methods.find("vif-free")) == "Costs 2 extra passes."
    assert "per token" in choice.cost(methods.find("vcd"))


def test_every_setting_starts_at_its_published_default(wiring):
    own = wiring.controls.own
    chosen = [*methods.names(), "relative+cut", "answers+mix"]
    sent = own.gather({slider: slider.value for slider in own.sliders}, chosen)
    assert {"pai", "relative+cut", "answers+mix"} < set(sent)
    for name, values in sent.items():
        assert values == {option.name: option.default for option in methods.find(name).options}


def test_only_panels_of_chosen_methods_are_shown(wiring):
    own = wiring.controls.own
    _, shared, *panels = choice.updates_for_choice(own, ["plain", "pai"])
    assert not shared.visible
    shown = [name for name, panel in zip(own.panels, panels, strict=True) if panel.visible]
    assert shown == ["pai"]
    assert choice.updates_for_choice(own, ["plain", "uniform"])[1].visible
    panels = choice.updates_for_choice(own, ["plain", "relative+cut"])[2:]
    shown = [name for name, panel in zip(own.panels, panels, strict=True) if panel.visible]
    assert shown == ["relative+", "+cut"]


def test_a_composite_needs_the_place_that_its_map_needs():
    session, truths = FakeSession(), [Truth(QUESTION, "red", BOX)]
    ask(session, truths, chosen=["plain", "truth+cut"])
    assert session.calls[-1]["boxes"] == BOX
    with pytest.raises(InputError, match=r"'Truth \+ cut' needs a question whose place is known"):
        ask(session, chosen=["truth+cut"])
    with pytest.raises(InputError, match=r"Nothing is marked.*remove 'Look \+ crop'"):
        ask(session, chosen=["look+crop"])


@pytest.mark.parametrize("name", [*methods.names(), "answers+cut", "look+bias", "look+cut"])
def test_ranges_and_strength_are_offered_exactly_where_they_do_something(name):
    options = {"carve": {"steps": 3}} if name == "carve" else {}
    session = session_of("llava")
    other = {"learning": (0, 0), "injection": (1, 2), "stride": 2, "alpha": 0.9}
    rows = [one(session, name, options=options, **given).rows for given in ({}, other)]
    assert methods.find(name).uses_ranges is not np.array_equal(*rows)


@pytest.mark.parametrize("chosen", [[], [*FOUR, "vcd"]])
def test_too_few_or_too_many_are_reported_at_once_and_when_running(wiring, chosen):
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
    assert len(set(colour_classes(FOUR).values())) == 4


def test_without_plain_the_first_answer_is_what_others_are_compared_with():
    result = ask(chosen=["pai", "vif"])
    assert result.baseline == "pai"
    assert "Difference from PAI" in shown(result)


def test_another_model_keeps_the_choice_but_for_the_form_of_vif():
    assert choice.chosen_for(FakeSession(adapter=False), FOUR) == ["plain", "vif-free", "pai"]
    assert choice.chosen_for(FakeSession(), ["vif-free", "plain"]) == ["vif", "plain"]
    assert choice.chosen_for(FakeSession(), ["plain", "paint", "vif+cut"]) == ["plain", "vif+cut"]
    assert choice.chosen_for(FakeSession(adapter=False), ["vif+cut"]) == []


def test_a_form_is_read_by_the_names_of_its_fields(wiring):
    filled = form(alpha=0.7, chosen=["pai"])
    again = wiring.read_form(filled_in(wiring, alpha=0.7, chosen=["pai"]))
    assert (again.alpha, again.chosen, again.image) == (0.7, filled.chosen, filled.image)
    assert again.own["pai"] == {o.name: o.default for o in methods.find("pai").options}
    assert set(wiring.form) == {*filled_in(wiring)} - {wiring.key, wiring.truths}
