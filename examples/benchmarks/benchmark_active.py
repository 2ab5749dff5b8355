"""Active learning: our ranking and suggestions against random and uncertainty sampling, in expert seconds.

    python examples/benchmarks/benchmark_active.py --data ../shared/data

A simulated hematologist (`training.simulate`) annotates a project in rounds with each strategy of
``active_benchmark.arms``, starting from a few random regions that all arms of a subset share. The project is
trained with the defaults of ``napari-lld train``, from the starter or from ``--init``, and after each round
evaluated as by ``napari-lld evaluate --truth`` on fields that are never annotated. ``--prices`` recomputes
the time of the same work with other costs per act. Runs are cached in ``CACHE/active.jsonl``; ``--before``
prints the runs from before projects were trained here. ``--quick`` runs a short round on the bundled sample.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from active_benchmark.arms import ARMS, MAIN
from active_benchmark.prices import SCENARIOS, repriced, scenario, with_acts
from active_benchmark.run import Data, Setting, run
from active_benchmark.stats import compare, curves
from bench import arguments, tables
from bench.cache import Cache, file_digest
from bench.data import sample, taught_and_judged
from bench.tables import spread

from annotation_store.schema import load_schema, schema_from_coco

SETTINGS = {
    "txl": Setting("txl", pool=80, judged=80, start=8, seconds=400.0, half=0.42),
    "pbc": Setting("pbc", pool=60, judged=30, start=4, seconds=500.0, half=0.5),
}
METRICS = {"txl": ("map50",), "pbc": ("map50", "attribute_f1")}
TITLES = {"map50": "mAP50", "attribute_f1": "attribute F1"}
ATTRIBUTES = {"txl": 0, "pbc": 6}
"""Number of attributes per cell."""

MARGIN = 0.02
"""Non-inferiority margin of the final score."""

BY_HAND = ("whole fields", "random regions")
UNAIDED = "ours, by hand"


def load(setting: Setting, folder: Path, judge: str, options: dict[str, Any]) -> Data:
    """Load a data set: the fields to annotate, and those to score on (split by a hash of the file name)."""
    pool, judged = taught_and_judged(folder, judge, in_lld=setting.name == "pbc")
    judged.sort(key=lambda field: hashlib.sha256(field.name.encode()).hexdigest())
    # the second part of `val`: the first was used with settings that were abandoned
    judged = judged[: setting.judged] if judge == "fold" else judged[setting.judged : 2 * setting.judged]
    if setting.name == "pbc":
        schema = load_schema("lld")
    else:
        schema = schema_from_coco(json.loads((folder / "train.json").read_text(encoding="utf-8")))
    return Data(schema, pool, judged, options)


def wanted(args: Any) -> list[dict[str, Any]]:
    """Return the configurations of all runs, those of the first subset first."""
    init = {} if args.init is None else {"init": file_digest(args.init)}
    return [
        config_of(setting, arm, seed, judge=args.judge) | init
        for seed in range(args.subsets)
        for name, setting in SETTINGS.items()
        for arm in args.arms
        if args.setting in (None, name)
    ]


def config_of(setting: Setting, arm: str, seed: int, *, judge: str) -> dict[str, Any]:
    """Return the configuration of a run, its key in the cache."""
    described = dataclasses.asdict(setting) | {"strategy": dataclasses.asdict(ARMS[arm])}
    return {"benchmark": "active", "arm": arm, "seed": seed, "judge": judge, **described}


Found = Mapping[str, dict[int, Any]]
"""Arm to seed to result."""


def gathered(rows: Sequence[dict[str, Any]], name: str) -> Found:
    """Collect the results of a data set."""
    found: dict[str, dict[int, Any]] = {}
    for row in rows:
        config = row["config"]
        if config["name"] == name:
            found.setdefault(config["arm"], {})[config["seed"]] = row["result"]
    return {arm: found[arm] for arm in ARMS if arm in found}


def text_of(rows: Sequence[dict[str, Any]]) -> str:
    """Format all tables."""
    parts = []
    for name in SETTINGS:
        found = gathered(rows, name)
        if found:
            metrics = METRICS[name]
            parts.append(f"**{name}**\n\n" + arm_table(found, metrics))
            if "ours" in found:
                others = [
                    (arm, title, clock) for arm in found if arm != "ours" for title, clock in clocks(arm)
                ]
                parts += [comparison_table(found, metrics, "ours", others)] if others else []
                parts.append(suggestion_table(found["ours"]))
            others = [(arm, f"{arm}, by hand", "by_hand") for arm in BY_HAND if arm in found]
            if UNAIDED in found and others:
                parts.append(comparison_table(found, metrics, UNAIDED, others))
    return "\n\n".join(parts)


def prices_text(rows: Sequence[dict[str, Any]]) -> str:
    """Format the ratio of our time to theirs for other costs per act, recomputed from the same work."""
    parts = []
    for name, metrics in METRICS.items():
        found = gathered(rows, name)
        others = [(arm, *clock) for arm in BY_HAND if arm in found for clock in clocks(arm)]
        if "ours" not in found or not others:
            continue
        head = ["prices", *(f"{title}: time, {TITLES[m]}" for _, title, _ in others for m in metrics)]
        lines = []
        for label in SCENARIOS:
            again = {
                arm: {
                    seed: repriced(_counted(result, name), scenario(label)) for seed, result in some.items()
                }
                for arm, some in found.items()
                if arm in ("ours", *BY_HAND)
            }
            line = [label]
            for arm, _, clock in others:
                for metric in metrics:
                    comparison = compare(
                        curves(again["ours"], metric, "seconds"), curves(again[arm], metric, clock)
                    )
                    line.append(f"{comparison['time']:.2f}, {share(comparison['ratio'])}")
            lines.append(line)
        parts.append(f"**{name}**\n\n{tables.markdown(head, lines)}")
    return "\n\n".join(parts)


def _counted(result: dict[str, Any], name: str) -> dict[str, Any]:
    return result if "acts" in result["rounds"][0] else with_acts(result, ATTRIBUTES[name])


def clocks(arm: str) -> list[tuple[str, str]]:
    """Return titles and clocks of an arm; manual work is also timed as if done with suggestions."""
    if arm in BY_HAND:
        return [(f"{arm}, by hand", "by_hand"), (f"{arm}, with suggestions", "seconds")]
    return [(arm, "by_hand" if arm == UNAIDED else "seconds")]


def arm_table(found: Found, metrics: Sequence[str]) -> str:
    """Format the final scores and the time of each arm."""
    titles = [f"{TITLES[metric]} {when}" for metric in metrics for when in ("after round 2", "at the end")]
    lines = [
        f"| arm | seeds | expert's minutes | cells | {' | '.join(titles)} |",
        "|---" * (4 + len(titles)) + "|",
    ]
    for arm, results in found.items():
        rounds = [result["rounds"] for result in results.values()]
        for title, clock in clocks(arm):
            minutes = statistics.mean(some[-1][clock] for some in rounds) / 60
            cells = statistics.mean(some[-1]["cells"] for some in rounds)
            numbers = []
            for metric in metrics:
                numbers += [spread([some[i][metric] for some in rounds]) for i in (-2, -1)]
            lines.append(f"| {title} | {len(rounds)} | {minutes:.1f} | {cells:.0f} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def comparison_table(
    found: Found,
    metrics: Sequence[str],
    mine: str,
    others: Sequence[tuple[str, str, str]],
) -> str:
    """Format the comparison of one of our arms with others: time, scores, and time to the same score.

    Parameters
    ----------
    others
        Arm, title and clock.
    """
    (_, own_clock), *_ = clocks(mine)
    lines = [
        f"| {mine}, against | metric | paired seeds | our time over theirs | our final score less theirs, p "
        f"| no worse by {MARGIN}: least difference (95%, one-sided) "
        "| mean height over the common time, p | our seconds over theirs to their final score (95%) |",
        "|---" * 8 + "|",
    ]
    for arm, title, clock in others:
        for metric in metrics:
            both = compare(curves(found[mine], metric, own_clock), curves(found[arm], metric, clock))
            lines.append(
                f"| {title} | {TITLES[metric]} | {both['seeds']} | {both['time']:.2f} "
                f"| {gain(both['final'])} | {no_worse(both['least'])} | {gain(both['area'])} "
                f"| {share(both['ratio'])} ({share(both['low'])} to {share(both['high'])}) |"
            )
    return "\n".join(lines)


def gain(paired: tuple[float, float, float]) -> str:
    """Format a mean paired difference with its standard deviation and p."""
    mean, deviation, p = paired
    return f"{mean:+.3f}" if math.isnan(p) else f"{mean:+.3f} ± {deviation:.3f}, {p:.3f}"


def no_worse(least: float) -> str:
    """Format whether the final score is non-inferior, with the bound of its difference."""
    return "–" if math.isnan(least) else f"{'yes' if least > -MARGIN else 'not shown'}: {least:+.3f}"


def suggestion_table(results: dict[int, Any]) -> str:
    """Format the share of suggestions that needed no correction, and the results of bulk acceptance."""
    rows = []
    count = max(len(result["rounds"]) for result in results.values())
    for number in range(1, count + 1):
        before = [r["rounds"][number]["before"] if number < count else r["after"] for r in results.values()]
        total, clear, rejected = (
            sum(item[key] for item in before) for key in ("suggestions", "clear", "rejected")
        )
        shares = [f"{some / total:.0%}" if total else "–" for some in (clear, rejected)]
        bulk = [result["rounds"][number - 1]["bulk"] for result in results.values()]
        taken, wrong, allowed = (sum(item[key] for item in bulk) for key in ("taken", "wrong", "allowed"))
        shares += [f"{some:.0f} ({some / taken:.1%})" if taken else "–" for some in (wrong, allowed)]
        rows.append([number, len(before), total or "–", *shares[:2], taken, *shares[2:]])
    head = ["suggestions waiting before round", "runs", "above 25%", "need no correction", "rejected",
            "bulk-accepted on other fields", "wrong of these", "allowed"]  # fmt: skip
    return tables.markdown(head, rows)


def share(value: float) -> str:
    """Format a ratio, if the score was reached."""
    return f"{value:.2f}" if math.isfinite(value) else "not reached"


def quick() -> int:
    """Run one arm for a short round on the bundled sample."""
    fields = sample()
    options = {"epochs": 1, "size": 64, "holdout": 0.0}
    data = Data(load_schema("lld"), fields[:3], fields[3:4], options)
    setting = Setting("pbc", pool=3, judged=1, start=1, rounds=1, seconds=40.0, half=0.5)
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        kept = Cache(Path(place) / "runs.jsonl")
        config = config_of(setting, "ours", 0, judge="sample")
        kept.kept(config, partial(run, config, setting, data, Path(place) / "states"))
        print(text_of(kept.rows()))
    return 0


def main() -> int:
    """Run what is not cached, and write the tables."""
    parser = arguments.parser(__doc__, list(ARMS), default=MAIN)
    parser.add_argument("--setting", choices=list(SETTINGS), help="run only this setting")
    parser.add_argument("--prices", action="store_true", help="print the same work with other costs per act")
    parser.add_argument(
        "--before", action="store_true", help="print the runs from before projects were trained here"
    )
    args = arguments.read(parser, only_prints=lambda args: args.prices or args.before)
    if args.quick:
        return quick()
    kept = Cache(args.cache / "active.jsonl")
    if args.before:
        rows = [row for row in kept.rows() if "benchmark" not in row["config"]]
        print(prices_text(rows) if args.prices else text_of(rows))
        return 0
    configs = wanted(args)
    data: dict[str, Data] = {}
    for config in [] if args.table or args.prices else configs:
        name = config["name"]
        if name not in data:
            data[name] = load(SETTINGS[name], args.data / name, args.judge, arguments.beginning(args))
        kept.kept(config, partial(run, config, SETTINGS[name], data[name], args.cache / "states"))
    found = [row for config in configs if (row := kept.latest(config)) is not None]
    if args.prices:
        print(prices_text(found))
    else:
        tables.publish(args.cache, f"active-{args.judge}", text_of(found), found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
