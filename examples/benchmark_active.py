"""Where to look next: our ranking and suggestions against random and uncertain choices, in expert seconds.

    python examples/benchmark_active.py --data ../shared/data --weights ../shared/weights/yolo26n.pt

A simulated hematologist (`training.simulate`) annotates a project in rounds, by each strategy of
``active_benchmark.arms``, starting from the COCO weights and a few random regions that all arms of a seed
share. After each round the model is scored on fields that nobody annotates: ``val``, or with ``--fold`` a
fifth of ``train``, for choosing. Runs are kept in a JSONL file and not run again; ``--table`` only prints.
``--quick`` runs two short rounds on the bundled sample.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from active_benchmark.arms import ARMS
from active_benchmark.run import Data, Setting, run
from active_benchmark.stats import compare, curves
from sparse_benchmark.cache import Cache
from sparse_benchmark.data import in_fold, load_fields

from annotation_store.schema import load_schema, schema_from_coco, wbcatt_to_lld
from training.engine.data import TrainingField

SETTINGS = {
    "txl": Setting("txl", pool=80, judged=80, start=8, seconds=400.0, half=0.42, first_steps=200, steps=80),
    "pbc": Setting(
        "pbc", batch=3, crops=40, pool=60, judged=30, start=4, seconds=500.0, half=0.5,
        first_steps=120, steps=80,
    ),
}  # fmt: skip
METRICS = {"txl": ("map50",), "pbc": ("map50", "attribute_f1")}
TITLES = {"map50": "mAP50", "attribute_f1": "attribute F1"}

BY_HAND = ("whole fields", "random regions")
UNAIDED = "ours, by hand"


def parse() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, help="folder with txl and pbc")
    parser.add_argument("--weights", type=Path, help="yolo26n.pt")
    parser.add_argument("--cache", type=Path, default=Path("benchmark_active.jsonl"))
    parser.add_argument("--states", type=Path, help="folder for the first models, which the arms share")
    parser.add_argument("--fold", action="store_true", help="judge on a fifth of train, for choosing")
    parser.add_argument("--setting", choices=list(SETTINGS), help="only this one")
    parser.add_argument("--only", nargs="*", metavar="ARM", help="only these arms")
    parser.add_argument("--seeds", type=int, help="at most so many")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="print what is there")
    parser.add_argument("--quick", action="store_true", help="two short rounds on the bundled sample")
    return parser.parse_args()


def in_lld(field: TrainingField) -> TrainingField:
    """Say the attributes of ``pbc`` in the words of the `lld` schema."""
    cells = []
    for cell in field.cells:
        said = {name: value for name, value in wbcatt_to_lld(cell.attributes).items() if value is not None}
        cells.append(dataclasses.replace(cell, attributes=said))
    return dataclasses.replace(field, cells=tuple(cells))


def load(name: str, setting: Setting, folder: Path, weights: Path | None, *, fold: bool) -> Data:
    """Read a data set: what may be annotated, and what is scored on (by a hash of the file's name)."""
    train = load_fields(folder / "train.json", folder / "images")
    pool = [field for field in train if not in_fold(field.name)]
    judged = (
        [field for field in train if in_fold(field.name)]
        if fold
        else load_fields(folder / "val.json", folder / "images")
    )
    judged.sort(key=lambda field: hashlib.sha256(field.name.encode()).hexdigest())
    # of `val` the second part: on the first two seeds were seen with other settings, which were given up
    judged = judged[: setting.judged] if fold else judged[setting.judged : 2 * setting.judged]
    if name == "pbc":
        schema = load_schema("lld")
        pool, judged = [in_lld(field) for field in pool], [in_lld(field) for field in judged]
    else:
        schema = schema_from_coco(json.loads((folder / "train.json").read_text(encoding="utf-8")))
    return Data(schema, pool, judged, weights, folder / "images")


def wanted(args: argparse.Namespace) -> list[dict[str, Any]]:
    """List the runs, those of the first seeds first."""
    configs = []
    for seed in range(max(seeds for _, seeds in ARMS.values())):
        for name, setting in SETTINGS.items():
            for arm, (_, seeds) in ARMS.items():
                asked_for = args.setting in (None, name) and (not args.only or arm in args.only)
                if asked_for and seed < min(seeds, args.seeds or seeds):
                    configs.append(config_of(setting, arm, seed, judged="fold" if args.fold else "val"))
    return configs


def config_of(setting: Setting, arm: str, seed: int, *, judged: str) -> dict[str, Any]:
    """Describe a run; equal descriptions, equal runs."""
    described = dataclasses.asdict(setting) | {"strategy": dataclasses.asdict(ARMS[arm][0])}
    return {"arm": arm, "seed": seed, "judged_on": judged, **described}


def gathered(cache: Cache, configs: Sequence[dict[str, Any]], name: str) -> dict[str, dict[int, Any]]:
    """Give what there is of a setting: arm to seed to result."""
    found: dict[str, dict[int, Any]] = {}
    for config in configs:
        result = cache.get(config)
        if config["name"] == name and result is not None:
            found.setdefault(config["arm"], {})[config["seed"]] = result
    return found


def tables(cache: Cache, configs: Sequence[dict[str, Any]]) -> str:
    """Print every table."""
    parts = []
    for name in SETTINGS:
        found = gathered(cache, configs, name)
        if found:
            metrics = METRICS[name]
            parts.append(f"**{name}**\n\n" + arm_table(found, metrics))
            if "ours" in found:
                others = [
                    (arm, title, clock) for arm in found if arm != "ours" for title, clock in clocks(arm)
                ]
                parts.append(comparison_table(found, metrics, "ours", others))
                parts.append(suggestion_table(found["ours"]))
            if UNAIDED in found:
                others = [(arm, f"{arm}, by hand", "by_hand") for arm in BY_HAND if arm in found]
                parts.append(comparison_table(found, metrics, UNAIDED, others))
    return "\n\n".join(parts)


def clocks(arm: str) -> list[tuple[str, str]]:
    """Give the title and the clock of an arm; what was done by hand is also timed with suggestions."""
    if arm in BY_HAND:
        return [(f"{arm}, by hand", "by_hand"), (f"{arm}, with suggestions", "seconds")]
    return [(arm, "by_hand" if arm == UNAIDED else "seconds")]


def arm_table(found: dict[str, dict[int, Any]], metrics: Sequence[str]) -> str:
    """Print what each arm reached, and in what time."""
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
                numbers += [spread([some[i][metric] for some in rounds]) for i in (2, -1)]
            lines.append(f"| {title} | {len(rounds)} | {minutes:.1f} | {cells:.0f} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def comparison_table(
    found: dict[str, dict[int, Any]],
    metrics: Sequence[str],
    mine: str,
    others: Sequence[tuple[str, str, str]],
) -> str:
    """Print an arm of ours against others: what it took, how good it was, and how soon it was as good.

    Parameters
    ----------
    others
        Arm, title and clock.
    """
    (_, own_clock), *_ = clocks(mine)
    lines = [
        f"| {mine}, against | metric | paired seeds | our time over theirs | our final score less theirs, p "
        "| mean height over the common time, p | our seconds over theirs to their final score (95%) |",
        "|---" * 7 + "|",
    ]
    for arm, title, clock in others:
        for metric in metrics:
            told = compare(curves(found[mine], metric, own_clock), curves(found[arm], metric, clock))
            lines.append(
                f"| {title} | {TITLES[metric]} | {told['seeds']} | {told['time']:.2f} "
                f"| {gain(told['final'])} | {gain(told['area'])} "
                f"| {share(told['ratio'])} ({share(told['low'])} to {share(told['high'])}) |"
            )
    return "\n".join(lines)


def gain(paired: tuple[float, float, float]) -> str:
    """Write a mean paired difference with its spread and p."""
    mean, deviation, p = paired
    return f"{mean:+.3f}" if math.isnan(p) else f"{mean:+.3f} ± {deviation:.3f}, {p:.3f}"


def suggestion_table(results: dict[int, Any]) -> str:
    """Print how many suggestions needed no correction, and how bulk acceptance went."""
    lines = [
        "| suggestions waiting before round | runs | above 25% | need no correction | rejected "
        "| bulk-accepted on other fields | wrong of these | allowed by the stated bound |",
        "|---" * 8 + "|",
    ]
    count = max(len(result["rounds"]) for result in results.values())
    for number in range(1, count + 1):
        before = [r["rounds"][number]["before"] if number < count else r["after"] for r in results.values()]
        bulk = [r["rounds"][number - 1]["bulk"] for r in results.values()]
        total = sum(one["suggestions"] for one in before)
        clear, rejected = (sum(one[key] for one in before) for key in ("clear", "rejected"))
        shares = f"{clear / total:.0%} | {rejected / total:.0%}" if total else "– | –"
        taken, wrong = (sum(one[key] for one in bulk) for key in ("taken", "wrong"))
        allowed = sum(one["allowed"] for one in bulk)
        lines.append(
            f"| {number} | {len(bulk)} | {total or '–'} | {shares} | {taken} "
            f"| {f'{wrong} ({wrong / taken:.1%})' if taken else '–'} "
            f"| {f'{allowed:.0f} ({allowed / taken:.1%})' if taken else '–'} |"
        )
    return "\n".join(lines)


def share(value: float) -> str:
    """Write a ratio; what was never reached has none."""
    return f"{value:.2f}" if math.isfinite(value) else "not reached"


def spread(values: Sequence[float]) -> str:
    """Write mean and standard deviation over seeds."""
    text = f"{statistics.mean(values):.3f}"
    return text + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


def quick() -> int:
    """Run two arms for two short rounds on the bundled sample, from the starter."""
    from napari_lld import sample

    folder = sample.truth().parent
    fields = load_fields(sample.truth(), folder / "fields")
    data = Data(load_schema("lld"), fields[::2][:5], fields[1::2][:1], None, folder / "fields")
    setting = Setting(
        "pbc", size=224, window=96, batch=2, crops=4, pool=5, judged=1, start=2, rounds=2, seconds=40.0,
        half=0.5, first_steps=1, steps=1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        cache = Cache(Path(place) / "runs.jsonl")
        configs = [config_of(setting, arm, 0, judged="sample") for arm in ("whole fields", "ours")]
        for config in configs:
            cache.add(config, run(setting, config["arm"], 0, data, Path(place) / "states"))
        print(tables(Cache(cache.file), configs))
    return 0


def main() -> int:
    """Run what is not in the cache yet and print the tables."""
    args = parse()
    torch.set_num_threads(args.threads)
    if args.quick:
        return quick()
    if not args.table and not (args.data and args.weights):
        print("Give --data DIR and --weights yolo26n.pt, or --quick, or --table.", file=sys.stderr)
        return 2
    cache = Cache(args.cache)
    configs = wanted(args)
    data: dict[str, Data] = {}
    for config in configs:
        name = config["name"]
        if args.table or cache.get(config) is not None:
            continue
        if name not in data:
            data[name] = load(name, SETTINGS[name], args.data / name, args.weights, fold=args.fold)
        states = args.states or args.cache.parent / "active-states"
        result = run(SETTINGS[name], config["arm"], config["seed"], data[name], states)
        cache.add(config, result)
        last = result["rounds"][-1]
        print(name, config["arm"], config["seed"], result["run_seconds"], last["map50"], flush=True)
    print(tables(cache, configs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
