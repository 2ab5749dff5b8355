"""Whole slides: search compared with prediction on fields, and differentials from a part of the pixels.

    python examples/benchmarks/build_slide.py --data ../shared/data --side 40000 --out slide
    python examples/benchmarks/benchmark_slide.py search --slide slide/slide.tif slide/slide.ome.zarr
    python examples/benchmarks/benchmark_slide.py differential --data ../shared/data [--slides 50]

`search`: search a slide with known cells (``truth.json`` next to it) twice in one worker, in an empty project
with the defaults. Reported are the duration and the share of the model in it, the peak memory of the worker
and its child processes, and, of the cells that the model finds on fields cut from the slide (``napari-lld
predict --images``), how many the search finds with the same box (intersection over union of 0.9), and how
many twice. Run it on a quiet machine.

`differential`: slides of 40,960 x 40,960 pixels, composed of painted blocks (`bench.blocks`), with 260 white
cells per square millimetre of monolayer as in leukaemia; the mixture of classes differs between slides and
changes along each. The model is trained on another slide, with other cells. Reported is on how many slides
the 95% interval of a differential to 200 contains the true share of each class: among all cells of the
monolayer as classified by this model, of which the differential is a sample, and as classified by experts,
which includes the model's errors; and the part of the slide that was read. ``CACHE/slides`` contains the
blocks and the project.

``--quick`` does both on a small slide from the bundled sample.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from bench import arguments, blocks, project, slide_counts, slide_search, worker
from bench.film import GLASS, MONOLAYER, cut_cells
from build_slide import SAMPLE

from training.protocol import DifferentialRequest

MODES = {"search": slide_search.run, "differential": slide_counts.run}


def quickly(folder: Path) -> None:
    """Search a small slide, all glass except for one block, and count on it."""
    side = 1024
    cells = cut_cells(SAMPLE, "truth.json", "pbc", None)
    painted = blocks.paint(
        folder, cells, many={GLASS: 1, MONOLAYER: 1}, apart=side / 4, kinds=("healthy",), side=side
    )
    places = np.zeros((6, 6), int)
    places[2, 2] = 1
    laid = blocks.Laid(painted, places, side, cells.pixel_size_um)
    file = folder / "slide.tif"
    laid.write(file)
    truth = [item["bbox"] for item in laid.cells()]
    with project.new(folder / "project") as made:
        (slide,) = made.fields.add([file]).added
        searched = slide_search.search(made, slide, worker.ask)
        print(searched | slide_search.compared(made, slide, truth, 2, worker.ask))
        done = worker.ask(DifferentialRequest(project=str(made.path), field=slide, to=20, device="cpu"))
    known = slide_counts.by_experts(laid)
    print(slide_counts.judged(done.result, known, known))


def main() -> None:
    """Run the requested modes."""
    parser = arguments.parser(__doc__ or "")
    parser.add_argument("modes", nargs="*", default=[*MODES], metavar="MODE", help=", ".join(MODES))
    parser.add_argument("--slide", type=Path, nargs="*", default=[], help="slides to search")
    parser.add_argument("--fields", type=int, default=150, help="fields to compare a search with")
    parser.add_argument("--slides", type=int, default=50, help="slides to count on")
    parser.add_argument("--budget", type=float, default=300.0, help="budget of the training in seconds")
    parser.add_argument("--run", default="", help="a name for the run, to repeat what is cached")
    args = arguments.read(parser, only_prints=lambda asked: asked.modes == ["search"])
    for mode in args.modes:
        if mode not in MODES:
            parser.error(f"There is no mode {mode}: choose among {', '.join(MODES)}.")
    if args.quick:
        with tempfile.TemporaryDirectory(prefix="lld-slide-") as place:
            quickly(Path(place))
        return
    for mode in args.modes:
        MODES[mode](args)


if __name__ == "__main__":
    main()
