"""The real tiered machine in the document: paired rounds, verdicts both ways."""

import msgspec

from egrl.bench.agent.real_machine import EXACT, MODELS, NATIVE
from egrl.bench.agent.real_table import over_exact, real_goal, real_section
from egrl.bench.agent.rows import Book, Rows, Session, read_rows

DRIFT = [1.0, 3.0, 0.5]
"""By which the computer is slower in a round: all plans of the round alike."""


def session(egrl=(0.8, 0.85, 0.82), random_key=(0.9, 0.95, 0.91)) -> Session:
    levels = {
        NATIVE: (2.0,),
        EXACT: (1.0,),
        "local-search": (1.0, 1.0, 1.0),
        "random-key": random_key,
        "egrl": egrl,
    }
    return Session(
        model=MODELS[0],
        measurements=100,
        ops=7,
        modelled_s={name: list(found) for name, found in levels.items()},
        seconds={
            name: [[level * drift for drift in DRIFT] for level in found]
            for name, found in levels.items()
        },
        minutes=3.0,
        machine="a computer",
    )


def text(of: Session) -> str:
    return "\n".join(real_section(Rows(sessions={of.model: of})))


def test_a_slow_round_is_slow_for_all():
    ratios = over_exact(session(), "egrl")
    assert [round(ratio, 6) for ratio in ratios] == [0.8, 0.85, 0.82]
    assert over_exact(session(), EXACT) == [1.0]


def test_verdicts_both_ways():
    assert "`egrl` is ahead of `random-key`" in text(session())
    assert "`egrl` is level with `random-key`" in text(session(random_key=(0.8, 0.95, 0.91)))
    assert "`egrl` is behind `random-key`" in text(session(random_key=(0.5, 0.6, 0.7)))
    assert "`egrl` is behind `exact`" in text(session((1.1, 1.2, 1.3), (1.4, 1.4, 1.4)))
    whole = session()
    few = {name: found[:2] for name, found in whole.seconds.items()}
    assert "no verdict" in text(msgspec.structs.replace(whole, seconds=few))


def test_the_goal_is_met_where_no_model_is_level_or_behind():
    ahead, level = session(), session(random_key=(0.8, 0.95, 0.91))
    few = {name: found[:2] for name, found in ahead.seconds.items()}

    def goal(*of: Session) -> str:
        sessions = [msgspec.structs.replace(s, model=m) for s, m in zip(of, MODELS, strict=False)]
        return "\n".join(real_goal(Rows(sessions={s.model: s for s in sessions})))

    assert "**met**" in goal(ahead, ahead)
    assert "**short**" in goal(ahead, level)
    assert f"{MODELS[1]}: level with `random-key`" in goal(ahead, level)
    assert "**not fully measured**" in goal(ahead)
    assert "**not measured**" in goal()
    assert "**not measured**" in goal(msgspec.structs.replace(ahead, seconds=few))


def test_what_is_not_measured_is_named():
    assert text(session()).count("not measured yet") == len(MODELS) - 1


def test_a_session_comes_back(tmp_path):
    book = Book(tmp_path / "agent.json")
    book.add(session())
    assert read_rows(tmp_path / "agent.json").sessions == {MODELS[0]: session()}
