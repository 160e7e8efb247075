"""`egrl calibrate`: refuses before it measures, writes what passes the check."""

from pathlib import Path

import pytest

import egrl.calibration.measure
from accelerator_sim.targets import load_target
from egrl.calibration.machine import host_accelerator
from egrl.calibration.measure import Calibration
from egrl.cli.main import main
from tests.tiered.machines import host_rates


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []

    def calibrate(threads: int, report, seconds: float) -> Calibration:
        calls.append(threads)
        report("measured")
        return Calibration(host_accelerator(host_rates(), "test"), ())

    monkeypatch.setattr(egrl.calibration.measure, "calibrate", calibrate)
    return calls


def test_the_file_passes_the_check(tmp_path: Path, measured, capsys) -> None:
    out = tmp_path / "host-cpu.toml"
    assert main(["calibrate", "-o", str(out), "--threads", "2"]) == 0
    assert measured == [2]
    assert "measured\n" in capsys.readouterr().out
    assert load_target(str(out)).name == "host-cpu"
    assert main(["targets", "--check", str(out)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["host-cpu.toml"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "{folder}/none/host.toml"],
        ["-o", "{folder}"],
        ["-o", "{folder}/host.txt"],
        ["-o", "{folder}/host.toml", "--threads", "0"],
        ["-o", "{folder}/host.toml", "--threads", "99999"],
        ["-o", "{folder}/host.toml", "--seconds", "soon"],
        [],
    ],
)
def test_wrong_use_is_refused_before_measuring(
    tmp_path: Path, measured, capsys, arguments: list[str]
) -> None:
    given = [argument.format(folder=tmp_path) for argument in arguments]
    assert main(["calibrate", *given]) == 2
    assert measured == []
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
