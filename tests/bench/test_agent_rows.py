"""Rows are written as they are measured, merged, skipped when they are there, and never lost."""

from dataclasses import dataclass
from dataclasses import replace as with_agent
from pathlib import Path

import pytest
from msgspec.structs import replace

from accelerator_sim.problem import PlacementProblem
from egrl.bench.agent import real_machine
from egrl.bench.agent import run as bench
from egrl.bench.agent.methods import METHODS
from egrl.bench.agent.names import check_names
from egrl.bench.agent.rows import Book, joined, read_rows, reference_name, rows_text, thinned
from egrl.bench.agent.settings import PARTS, AgentOptions, Settings
from egrl.bench.options import BenchOptions
from graph_ir.errors import InputError
from tests.bench import synthetic
from tests.placers.support import random_problem


@dataclass(frozen=True, slots=True)
class SmallCase:
    """A random problem."""

    name: str = "small on nnp-i"

    def load(self, folder: Path) -> PlacementProblem:
        return random_problem("nnp-i", 0, 3)


@dataclass(frozen=True, slots=True)
class SmallTask:
    """A run that is not measured, but made up."""

    seed: int
    budget: float = 100.0
    case: SmallCase = SmallCase()
    folder: Path = Path()

    @property
    def row(self):
        return "protocol", self.case.name, "random", self.seed, self.budget


def settings(tmp_path: Path, **agent) -> Settings:
    return Settings(BenchOptions(tmp_path / "agent.md", tmp_path, [], []), AgentOptions(**agent))


def native(case: SmallCase) -> float:
    return bench.native_seconds(case, Path())


def test_rows_come_back_and_one_is_one_line(tmp_path):
    book = Book(tmp_path / "deeper" / "agent.json")
    entries = [
        synthetic.run("time", "b", "random", 1, [(0.5, 1.25)]),
        synthetic.reference("a"),
        synthetic.run("time", "b", "random", 0, []),
    ]
    for entry in entries:
        book.add(entry)
    assert book.rows() == synthetic.rows(*entries)
    lines = book.path.read_text().splitlines()
    assert sum('"method":"random"' in line for line in lines) == 2
    assert rows_text(book.rows()) == book.path.read_bytes()
    assert [path.name for path in book.path.parent.iterdir()] == ["agent.json"]


def test_two_books_on_one_file_keep_each_others_rows(tmp_path):
    ours, theirs = Book(tmp_path / "a.json"), Book(tmp_path / "a.json")
    ours.add(synthetic.run("time", "a", "random", 0, [(1.0, 1.0)]))
    theirs.add(synthetic.run("time", "a", "random", 1, [(1.0, 2.0)]))
    ours.add(synthetic.run("time", "a", "random", 1, [(1.0, 3.0)]))
    assert [run.latency_s for run in ours.rows().of("time", "a", "random")] == [1.0, 3.0]


def test_references_keep_what_either_knew_better():
    old = replace(synthetic.reference("a", best_s=1.2), bound_s=0.95, seconds=60.0)
    new = replace(synthetic.reference("a", best_s=1.1), bound_s=0.8, seconds=5.0, auto_plan="")
    found = joined(old, new)
    assert (found.best_s, found.bound_s, found.seconds, found.auto_plan) == (1.1, 0.95, 60.0, "01")
    assert joined(old, replace(new, native_s=3.0)).best_s == 1.1
    assert joined(old, replace(new, native_s=3.0)).bound_s == 0.8
    rows = synthetic.rows(old).merged(synthetic.rows(new))
    assert rows.references["a"] == found


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "agent.json"
    path.write_text('{"references": {}, "runs": {"x": 3}}')
    with pytest.raises(InputError, match=r"agent\.json"):
        read_rows(path)


def test_rows_of_another_cost_model_do_not_count():
    rows = synthetic.rows(
        synthetic.reference("a"),
        synthetic.run("time", "a", "random", 0, [(1.0, 1.0)]),
        synthetic.run("time", "a", "random", 1, [(1.0, 1.0)], native_s=2.5),
        synthetic.run("unknown", "a by a machine", "random", 1, [(1.0, 1.0)], native_s=2.5),
    )
    assert [run.seed for run in rows.of("time", "a", "random")] == [0]
    assert rows.of("unknown", "a by a machine", "random") == []
    assert reference_name("a on b by a machine") == "a on b"


def test_what_is_there_is_not_measured_again(tmp_path, capsys):
    case = SmallCase()
    done: list[int] = []

    def measure(task: SmallTask):
        done.append(task.seed)
        return synthetic.run(
            "protocol", case.name, "random", task.seed, [(1.0, 0.5)], task.budget, native(case)
        )

    book = Book(tmp_path / "agent.json")
    tasks = [SmallTask(seed) for seed in range(3)]
    bench.measure_missing(settings(tmp_path), book, tasks[:2], measure)
    assert done == [0, 1]
    bench.measure_missing(settings(tmp_path), book, tasks, measure)
    assert done == [0, 1, 2]
    assert "1 of 3 runs" in capsys.readouterr().out
    # A larger budget is another measurement, a smaller one is not.
    bench.measure_missing(settings(tmp_path), book, [SmallTask(0, 200.0)], measure)
    bench.measure_missing(settings(tmp_path), book, [SmallTask(0, 50.0)], measure)
    assert done == [0, 1, 2, 0]
    bench.measure_missing(settings(tmp_path, again=True), book, tasks, measure)
    assert done == [0, 1, 2, 0, 0, 1, 2]


def test_what_was_measured_under_another_cost_model_is_measured_again(tmp_path):
    case = SmallCase()
    book = Book(tmp_path / "agent.json")
    book.add(synthetic.run("protocol", case.name, "random", 0, [(1.0, 0.5)], native_s=123.0))
    done: list[int] = []

    def measure(task: SmallTask):
        done.append(task.seed)
        return synthetic.run("protocol", case.name, "random", task.seed, [(1.0, 0.5)])

    bench.measure_missing(settings(tmp_path), book, [SmallTask(0)], measure)
    assert done == [0]


def test_a_run_that_is_stopped_keeps_what_it_has(tmp_path):
    def measure(task: SmallTask):
        if task.seed == 2:
            raise KeyboardInterrupt
        return synthetic.run("protocol", task.case.name, "random", task.seed, [(1.0, 0.5)])

    book = Book(tmp_path / "agent.json")
    with pytest.raises(KeyboardInterrupt):
        bench.measure_missing(
            settings(tmp_path), book, [SmallTask(seed) for seed in range(5)], measure
        )
    assert sorted(run.seed for run in book.rows().runs.values()) == [0, 1]


def test_a_thinned_curve_keeps_its_ends():
    curve = [(1, 1.0), (2, 0.99999), (3, 0.5), (4, 0.49999), (5, 0.499989)]
    assert thinned(curve) == [(1.0, 1.0), (3.0, 0.5), (5.0, 0.499989)]
    assert thinned([]) == []


def test_without_models_there_is_one_line_and_no_document(tmp_path):
    options = BenchOptions(tmp_path / "agent.md", tmp_path / "none", ["resnet50"], ["nnp-i"])
    with pytest.raises(InputError, match="scripts/models"):
        bench.run(with_agent(options, agent=AgentOptions(parts=("protocol",))))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("common", "agent", "message"),
    [
        ({}, {"methods": ("nobody",)}, "--method nobody: expected one of acts-first"),
        ({}, {"methods": ("egrl-paper",), "parts": ("open",)}, "--method egrl-paper: expected one"),
        ({"models": ["smollm2-decode-4k"]}, {}, "--model smollm2-decode-4k: expected one of resn"),
        ({"models": ["resnet50"]}, {"parts": ("open",)}, "--model resnet50: expected one of resid"),
        ({"targets": ["abacus"]}, {}, "--target abacus: expected one of nnp-i, "),
        ({}, {"precisions": ("int3",)}, "--precision int3: expected one of fp16, int8"),
        ({}, {"precisions": ("fp16",), "parts": ("open",)}, "--precision fp16: expected none"),
    ],
)
def test_a_name_that_no_chosen_experiment_has_is_refused(tmp_path, common, agent, message):
    options = BenchOptions(
        tmp_path / "agent.md", tmp_path, **{"models": [], "targets": [], **common}
    )
    with pytest.raises(InputError, match=message):
        bench.run(with_agent(options, agent=AgentOptions(**agent)))
    assert list(tmp_path.iterdir()) == []


def test_names_of_different_experiments_may_be_chosen_together(tmp_path):
    options = BenchOptions(tmp_path / "agent.md", tmp_path, ["ppocr-rec", "unet-10000"], ["nnp-i"])
    check_names(Settings(options, AgentOptions(methods=("egrl",))))
    for part in PARTS:
        chosen = [name for name in METHODS if part in METHODS[name].parts]
        check_names(
            Settings(
                BenchOptions(tmp_path, tmp_path, [], []),
                AgentOptions(parts=(part,), methods=tuple(chosen)),
            )
        )


def test_no_session_where_no_chosen_model_is_of_the_real_machine(tmp_path):
    options = BenchOptions(tmp_path / "agent.md", tmp_path / "none", ["resnet50"], [])
    assert list(real_machine.sessions(Settings(options, AgentOptions()), {})) == []


def test_rows_to_merge_that_are_not_there_are_refused(tmp_path):
    options = BenchOptions(tmp_path / "agent.md", tmp_path, [], [])
    with pytest.raises(InputError, match="--merge"):
        bench.run(with_agent(options, agent=AgentOptions(merge=(tmp_path / "none.json",))))
