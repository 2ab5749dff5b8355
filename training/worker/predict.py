"""The prediction task: suggestions in the project, or a COCO file for other images."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from annotation_store.errors import ImageError, LLDError
from annotation_store.files.outputs import check_output, write_file
from annotation_store.formats.coco.coco import categories_out, category_of, trust_out
from annotation_store.images import find_images, read_image
from annotation_store.project import Project
from annotation_store.records import Field, Proposal, Shape
from annotation_store.schema import Schema
from training.evaluation.unchecked_films import later_classes_reason
from training.inference.ahead import ahead
from training.inference.predict import calibrated, cell_sides, in_memory
from training.inference.predictor import Predictor, View, parts
from training.inference.stain_proposals import stain_below, stain_proposals, stain_reason
from training.models.model import LearnedModel
from training.protocol import Done, Notice, PredictRequest, Progress, Started, Suggested
from training.worker.annotated_fields import annotated_fields, readable
from training.worker.channel import Channel
from training.worker.films import Films
from training.worker.many import elsewhere, predictor_for
from training.worker.models import resolve
from training.worker.out_of_fold import check_labels, trunk_for
from training.worker.renew import learn_from_labels
from training.worker.search import Searcher, search_notice, to_review
from training.worker.slides_to_file import Found, SlideFiles, is_slide
from training.worker.suggest import rank_again, suggest_on


def predict(request: PredictRequest, channel: Channel, device: torch.device) -> Done:
    """Predict cells; see `PredictRequest`."""
    if (request.images is None) != (request.out is None):
        raise LLDError("Give both the images and the file to write (--images and --out), or neither.")
    with (
        Project.open(
            request.project,
            annotator=request.annotator,
            reading=request.reading,
            read_only=request.images is not None,
        ) as project,
        ExitStack() as stack,
    ):
        model, number = resolve(project, request.model, keep=True)
        model.to(device)
        known = annotated_fields(project)
        films = Films(project, model, known)
        predictor = stack.enter_context(predictor_for(request, project, channel))
        if request.images is not None and request.out is not None:
            return _to_file(request, channel, project.schema, (model, number), films, predictor)
        fields = [item for item in annotated_fields(project, own=True) if item.window is None]
        slides = [slide for slide in project.slides.all() if not slide.skipped]
        all_fields = request.fields is None
        if request.fields is not None:
            field_ids = set(request.fields)
            missing = field_ids - {field.id for field in project.fields.all()}
            if missing:
                raise LLDError(f"The project has no field {min(missing)}.")
            fields = [item for item in fields if item.field.id in field_ids]
            slides = [slide for slide in project.slides.all() if slide.id in field_ids]
        if request.area is not None and (len(slides) != 1 or fields):
            raise LLDError("An area is searched on one whole slide: choose the slide.")
        if not (fields or slides):
            raise LLDError("The project has no fields yet. Add some first.")
        channel.send(Started(task="predict", device=str(device), fields=len(fields) + len(slides)))
        checked = None
        if all_fields:  # with a selection of fields, keep earlier results
            readable_ones, _ = readable(project, known)
            trunk = trunk_for(project, model, number)
            checked = check_labels(project, trunk, readable_ones, channel, predictor=elsewhere(predictor))
        was_renewed = number is not None and any(
            one.renewed
            and one.model_id == number
            and (request.fields is None or one.field_id in request.fields)
            for one in project.suggestions.find()
        )
        result: dict[str, Any] = {"fields": len(fields), "count": 0, "unknown": 0, "from_stain": 0}
        if fields:
            outcome = suggest_on(
                project,
                model,
                number,
                fields,
                channel,
                films=films,
                min_confidence=request.min_confidence,
                checked=checked,
                predictor=predictor,
            )
            result |= {"count": outcome.count, "unknown": outcome.unknown}
            result["from_stain"] = len(outcome.from_stain)
            result["damaged"] = outcome.damaged
            result["fields"] -= len(outcome.damaged)
        if slides:
            searcher = Searcher(
                project,
                model,
                number,
                films,
                channel,
                request.min_confidence,
                checked,
                elsewhere(predictor),
            )
            search = _search(searcher, slides, request)
            result["count"] += search["count"]
            result["unknown"] += search["unknown"]
            for name, new in (("pending", "count"), ("pending_unknown", "unknown")):
                result[name] = result[new] - search[new] + search[name]
            result["slides"] = search
        films.tell_without_classes(channel)
        if was_renewed and (later := films.count_later_classes()):
            channel.send(Notice(reason=later_classes_reason(later).stored()))
        result |= films.trust() | model.sets.summary()
    return Done(task="predict", model_id=number, result=result)


def _search(searcher: Searcher, slides: Sequence[Field], request: PredictRequest) -> dict[str, Any]:
    """Search slides one after the other; report and skip slides that cannot be opened."""
    channel = searcher.channel
    area = None if request.area is None else Shape.rectangle(*request.area)
    lost = 0
    for slide in slides:
        damaged = len(searcher.found.damaged)
        try:
            searcher.search(slide, area)
        except ImageError as error:
            lost += 1
            if lost == len(slides):
                raise
            channel.send(Notice(reason=str(error).removesuffix(".")))
        if new := searcher.found.damaged[damaged:]:
            channel.send(search_notice(slide, new))
    search = searcher.found
    ids = [slide.id for slide in slides]
    search.unknown += learn_from_labels(
        searcher.project, searcher.model, searcher.number, channel, searcher.films, ids
    )
    rank_again(searcher.project, channel)
    waiting = to_review(searcher.project, slides)
    channel.send(
        Suggested(
            field_ids=ids,
            count=search.count,
            unknown=search.unknown,
            **waiting,
            **searcher.films.trust(),
        )
    )
    return {
        "slides": len(slides) - lost,
        **search.counts(),
        **waiting,
        "seconds_preparing": round(search.preparing, 2),
    }


def image_files(paths: Sequence[str]) -> list[Path]:
    """Return the images among files and, recursively, in folders; an OME-Zarr folder is one image.

    Raises
    ------
    LLDError
        If a path does not exist, or has no images.
    """
    files = find_images(paths)
    if not files:
        raise LLDError("There is no image to predict on: give files or folders.")
    return files


def _to_file(
    request: PredictRequest,
    channel: Channel,
    schema: Schema,
    using: tuple[LearnedModel, int | None],
    films: Films,
    predictor: Predictor,
) -> Done:
    (model, number), out = using, Path(str(request.out))
    every = image_files(request.images or [])
    slides = [file for file in every if is_slide(file)]
    files = [file for file in every if file not in slides]
    if request.area is not None and (len(slides) != 1 or files):
        raise LLDError("An area is searched on one whole slide: give that slide alone.")
    if not out.parent.is_dir():
        raise LLDError(f"The folder {out.parent} does not exist; create it first.")
    check_output(out, overwrite=request.overwrite)
    if out.exists() and any(file.exists() and file.samefile(out) for file in every):
        raise LLDError(f"{out} is one of the images: choose another file to write.")
    channel.send(
        Started(task="predict", device=str(next(model.detector.parameters()).device), fields=len(every))
    )
    predicted_images: list[OfImage] = []
    from_stain: list[Path] = []
    skipped: list[dict[str, str]] = []
    least = max(0.001, model.calibration.raw(request.min_confidence))
    sides: dict[str, float] = {}  # by image size: estimated on the first images with cells

    def batches() -> Iterator[tuple[_Read, list[View]]]:
        for batch, images in ahead(parts(files, predictor.batch), lambda part: _read(part, skipped)):
            pixels = in_memory(images)
            domains = [films.of_size(image.shape[1], image.shape[0]) for image in images]
            known = [sides.get(domain) for domain in domains]
            seen = cell_sides(model, pixels, domains, known, estimate=predictor.seen_side)
            sides.update({d: side for d, side in zip(domains, seen, strict=True) if side is not None})
            views = [
                View(item, side, films.move(domain))
                for item, side, domain in zip(pixels, seen, domains, strict=True)
            ]
            yield (batch, images, domains), views

    below = stain_below(request.min_confidence)
    predictions = predictor.propose(model, batches(), min_score=least, stain_below=below)
    for (batch, images, domains), raws in predictions:
        channel.check()
        for file, image, film, raw in zip(batch, images, domains, raws, strict=True):
            assert raw is not None  # its pixels were read
            films.note(film, raw)
            proposals = calibrated(model, raw, min_confidence=request.min_confidence)
            if not proposals and raw.nuclei is not None:
                proposals = stain_proposals(raw.nuclei)
                from_stain += [file] if proposals else []
            predicted_images.append(
                OfImage(file, image.shape[1], image.shape[0], film, proposals, films.is_unchecked(film))
            )
        channel.send(Progress(stage="predict", done=len(predicted_images) + len(skipped), total=len(files)))
    with SlideFiles(schema, model, films, channel, request.min_confidence) as searched:
        searched.predictor = elsewhere(predictor)
        area = None if request.area is None else Shape.rectangle(*request.area)
        for file in slides:
            try:
                one_slide = searched.search(file, area)
            except ImageError as error:
                skipped.append({"path": str(file), "why": str(error)})
                continue
            film, size = one_slide.film, (one_slide.width, one_slide.height)
            predicted_images.append(OfImage(file, *size, film, one_slide.found, films.is_unchecked(film)))
        if not predicted_images:
            more = f" ({len(skipped) - 1} more likewise)" if len(skipped) > 1 else ""
            raise LLDError(f"No image could be read, so nothing was written. {skipped[0]['why']}{more}")
        if from_stain:
            channel.send(Notice(reason=stain_reason(len(from_stain)).stored()))
        trust = films.trust()
        predicted_images = [
            _without_sets(item) if item.film in trust["unlike"] else item for item in predicted_images
        ]
        channel.check()
        films.tell_without_classes(channel)
        write_file(out, coco_chunks(schema, predicted_images, set(from_stain)))
        unknown = [item.is_unknown for of_image in predicted_images for item in of_image.proposals]
    return Done(
        task="predict",
        model_id=number,
        result={
            "fields": len(predicted_images),
            "skipped": skipped,
            "count": len(unknown),
            "unknown": sum(unknown),
            "out": str(out),
            "from_stain": len(from_stain),
            **({"slides": searched.result()} if slides else {}),
            **trust,
            **model.sets.summary(),
        },
    )


_Read = tuple[list[Path], list[np.ndarray], list[str]]
"""Files, their pixels, and the assumed film of each."""


def _read(files: Sequence[Path], skipped: list[dict[str, str]]) -> tuple[list[Path], list[np.ndarray]]:
    """Read images; add those that cannot be read to `skipped`, with the reason."""
    read: list[Path] = []
    images: list[np.ndarray] = []
    for file in files:
        try:
            images.append(np.asarray(read_image(file)))
        except ImageError as error:
            skipped.append({"path": str(file), "why": str(error)})
        else:
            read.append(file)
    return read, images


class OfImage(NamedTuple):
    """A model's predictions for one image file.

    Attributes
    ----------
    unchecked
        Whether predictions on its film were not validated, even if there are no proposals.
    """

    file: Path
    width: int
    height: int
    film: str
    proposals: Iterable[Proposal]
    unchecked: bool = False


def _without_sets(image: OfImage) -> OfImage:
    proposals = image.proposals
    if isinstance(proposals, Found):
        return image._replace(proposals=replace(proposals, sets=False))
    return image._replace(proposals=[replace(proposal, sets={}) for proposal in proposals])


def coco_object(
    schema: Schema,
    predicted_images: Sequence[OfImage],
    from_stain: Collection[Path] = (),
) -> dict[str, Any]:
    """Return proposals as a COCO object: see ``docs/formats.md``.

    Parameters
    ----------
    from_stain
        Images on which the model found nothing: their proposals are marked ``"source": "stain"``.
    """
    content: dict[str, Any] = json.loads("".join(coco_chunks(schema, predicted_images, from_stain)))
    return content


def coco_chunks(
    schema: Schema, predicted_images: Sequence[OfImage], from_stain: Collection[Path] = ()
) -> Iterator[str]:
    """Yield the text of a COCO object, proposal by proposal, so that those of a slide need no memory."""
    images = [
        {
            "id": number,
            "file_name": of_image.file.name,
            "width": of_image.width,
            "height": of_image.height,
            "annotated_regions": [],
            "ignore_areas": [],
            **({"unchecked": True} if of_image.unchecked else {}),
        }
        for number, of_image in enumerate(predicted_images, 1)
    ]
    stated = {p.stated_class for predicted in predicted_images for p in predicted.proposals}
    head = {
        "info": {"description": "White cells proposed by napari-lld. Research use only, not for diagnosis."},
        "napari_lld": {"schema": json.loads(schema.model_dump_json())},
        "categories": categories_out(schema, stated),
        "images": images,
    }
    yield json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}") + ',\n "annotations": ['
    number, before = 0, "\n  "
    for image, of_image in enumerate(predicted_images, 1):
        stain = of_image.file in from_stain
        for proposal in of_image.proposals:
            number += 1
            annotation = _annotation(number, image, proposal, schema, stain=stain)
            yield before + json.dumps(annotation, ensure_ascii=False)
            before = ",\n  "
    yield "\n ]\n}"


def _annotation(
    number: int, image: int, proposal: Proposal, schema: Schema, *, stain: bool
) -> dict[str, Any]:
    x, y, w, h = (round(v, 2) for v in proposal.box)
    return {
        "id": number,
        "image_id": image,
        "category_id": category_of(proposal.stated_class, schema),
        "bbox": [x, y, w, h],
        "area": round(w * h, 2),
        "iscrowd": 0,
        "attributes": proposal.best_attributes,
        **({"source": "stain"} if stain else {}),
        "score": round(proposal.confidence, 5),
        "class_probabilities": {k: round(p, 5) for k, p in proposal.class_probabilities.items()},
        "attribute_probabilities": {
            name: {k: round(p, 5) for k, p in values.items()}
            for name, values in proposal.attribute_probabilities.items()
        },
        **trust_out(proposal),
    }
