"""What ``napari-lld demo`` shows of its rounds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from napari_lld.cli.demo import rounds_table
from napari_lld.demo import Outcome
from napari_lld.demo.report import Effort, Round, Scores

SCORES = Scores(9, 60, 50, 0.981, 0.964, 0.9, {}, {}, 0.922)
ROUNDS = [
    Round(0, "starter", 36, 117, SCORES, SCORES, Effort(21, 9), Effort(48, 14)),
    Round(1, "model 1", 66, 87, SCORES, SCORES, Effort(13, 10, 1, 1), Effort(48, 14)),
    Round(2, "model 2", 91, 1062, SCORES, SCORES, None, Effort()),
]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_demo(out: Path, settings: object, watch: object, *, overwrite: bool = False) -> Outcome:
        for one in ROUNDS:
            watch.stage(f"Round {one.number}")  # type: ignore[attr-defined]
            watch.round(one)  # type: ignore[attr-defined]
        return Outcome(
            out, out / "project", out / "export.json", out / "report.html", 61, ROUNDS, ["a"], ["b"]
        )

    monkeypatch.setattr("napari_lld.demo.run_demo", run_demo)


def test_each_round_is_printed_with_all_its_numbers(cli, ran: None, tmp_path: Path) -> None:
    answer = cli("demo", "--out", tmp_path / "out")
    assert answer.code == 0
    assert answer.err == ""
    for said in (
        "Round 0",
        "Round 1",
        "Round 2",
        "36 cells",
        "117 suggestions",
        "0.98/0.98",
        "0.92",
        "70%/77%",
    ):
        assert said in answer.out, said
    assert "unseen" in answer.out.lower()
    assert "Research use only" in answer.out
    assert str(tmp_path / "out" / "report.html") in answer.out


def test_json_is_one_document(cli, ran: None, tmp_path: Path) -> None:
    told = cli("demo", "--out", tmp_path / "out", "--json").json
    assert [one["number"] for one in told["rounds"]] == [0, 1, 2]
    assert told["rounds"][0] == json.loads(json.dumps(asdict(ROUNDS[0])))


def test_the_table_fits_a_narrow_terminal() -> None:
    import io

    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=80).print(rounds_table(ROUNDS))
    assert "…" not in out.getvalue()
    assert "1 model 1" in out.getvalue()
    assert max(len(line) for line in out.getvalue().splitlines()) <= 80


def test_another_folder_is_refused(cli, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    cli("demo", "--out", tmp_path).refuses(str(tmp_path), "--out")
