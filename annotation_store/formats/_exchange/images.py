"""Find the images that annotations name: image files, or fields of the project.

One rule for every format. In this order: the exact path; the same name in folders that agree; the same but
for capitals and Unicode composition; the same name with another suffix. Folders must agree from the image
upwards, as far as both sides state them: ``P2/field1.png`` is never found in ``P1/field1.png``, nor in a
folder ``films/P1``. An absolute path or a web address begins at the root of an unknown machine: its first
folders may be others than here, its last ones may not, and one that says whose the image is must agree.

Where no folder that a file of annotations names is here, its images may lie in one folder without any
(`find_by_name_alone`).
"""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from PIL import Image

from annotation_store.errors import FormatError
from annotation_store.images import IMAGE_SUFFIXES
from annotation_store.records import Field
from annotation_store.validation import clean_name

if TYPE_CHECKING:
    from annotation_store.project import Project

Size = tuple[int, int]
Key = Callable[[str], str]

_MAX_FILES = 1_000_000
_ORIENTATION = 0x0112
_EXACT, _NAME, _LOOSE_NAME, _STEM, _LOOSE_STEM, _FAR, _ALONE, _NOTHING = range(8)
_SHOWN = 3
_IMAGE_FOLDERS = ("images", "Images", "JPEGImages", "image", "imgs", "img")
# such a folder is named for its content, not for a patient
_SAY_NOTHING = frozenset(name.lower() for name in _IMAGE_FOLDERS)
_ANNOTATION_FOLDERS = frozenset({"annotations", "annotation", "labels", "label", "ann", "json", "xml"})


def image_size(path: Path) -> Size | None:
    """Return width and height as a viewer shows them, from the file's head; ``None`` if it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
        except Exception:  # decoders raise any exception on damaged files
            return None
    return (height, width) if turned else (width, height)


def walk(root: Path) -> Iterator[Path]:
    """List the files under a folder; hidden ones, and links that lead out of it, are passed over.

    Raises
    ------
    FormatError
        There is no such folder, or it contains too many files.
    """
    if not root.is_dir():
        raise FormatError(f"There is no folder {root}: check the path.")
    top = root.resolve()
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            count += 1
            if count > _MAX_FILES:
                raise FormatError(
                    f"The folder {root} holds more than {_MAX_FILES:,} files: name a smaller one."
                )
            path = Path(folder) / name
            if name.startswith(".") or (path.is_symlink() and not path.resolve().is_relative_to(top)):
                continue
            yield path


# folders that many patients have: a magnification, a share of a data set
_OF_MANY = re.compile(r"x?\d+x?|train\d*|val\d*|test\d*|default|raw|data", re.IGNORECASE)
_MAX_FOLDERS = 8
_ROOT = re.compile(r"[a-z]:|/", re.IGNORECASE)


class SearchPlace(NamedTuple):
    """A folder in which images are looked for, with its sub-folders where it is `deep`."""

    folder: Path
    deep: bool = True


def places(path: Path, images: Path | None) -> list[SearchPlace]:
    """List where the images of a file (or folder) of annotations may lie.

    Without a folder that the user names, these are the folder of the file, the image folders in it, and,
    where it is called ``annotations`` or the like, those beside it: so COCO, CVAT, VOC and LLD have it.

    Raises
    ------
    FormatError
        There is no such folder.
    """
    if images is not None:
        if not images.is_dir():
            raise FormatError(f"There is no folder {images}: give the folder of the images.")
        return [SearchPlace(images), *_subsets(images, path)]
    whole = path.is_dir()
    home = path if whole else path.parent
    places = [SearchPlace(home, deep=whole)]
    tops = [home]
    if home.absolute().name.lower() in _ANNOTATION_FOLDERS:
        tops.append(home.absolute().parent)
        places += _subsets(tops[-1], path)  # train2017/ beside annotations/
    for top in tops:
        for name in _IMAGE_FOLDERS:
            if (top / name).is_dir():
                places += [*_subsets(top / name, path), SearchPlace(top / name)]
    return places


def _subsets(folder: Path, path: Path) -> list[SearchPlace]:
    """Return the sub-folder that a file's name speaks of: ``instances_train.json`` of ``train``."""
    names = dict.fromkeys((path.stem, path.stem.partition("_")[2])) if path.suffix else {}
    return [SearchPlace(folder / name) for name in names if name and (folder / name).is_dir()]


class Match(NamedTuple):
    """What a name refers to: a file, a field of the project, both (the pixels decide), or neither.

    Attributes
    ----------
    rank
        How well it fits; 0 is exact.
    alike
        What fits equally well, where the name fits several.
    elsewhere
        A file or field of that name in folders that contradict it, where nothing fits.
    """

    rank: int = _NOTHING
    path: Path | None = None
    field: Field | None = None
    alike: tuple[str, ...] = ()
    elsewhere: str = ""

    @property
    def found(self) -> bool:
        """Whether there is a file or a field."""
        return self.path is not None or self.field is not None


class _Candidate(NamedTuple):
    """A file or field: the folders that it states, below its place and of its place, and its name.

    Those of a field's place are known by `key` alone (`annotation_store._db.pseudonyms`).
    """

    inside: tuple[str, ...]
    outside: tuple[str, ...]
    name: str
    path: Path | None = None
    field: Field | None = None
    key: Key | None = None

    def __str__(self) -> str:
        return str(self.path) if self.field is None else f"the field {self.field.name}"


class _Name(NamedTuple):
    """A name as a file of annotations states it: backslashes are slashes.

    An `absolute` one has lost its drive, scheme and host.
    """

    folders: tuple[str, ...]
    name: str
    absolute: bool = False

    @classmethod
    def parse(cls, text: str) -> _Name | None:
        plain = text.replace("\\", "/")
        scheme, is_address, rest = plain.partition("://")
        if is_address and scheme.isalnum():
            plain = "/" + unquote(re.split(r"[?#]", rest.partition("/")[2])[0])
        absolute = _ROOT.match(plain)
        plain = plain[absolute.end() :] if absolute else plain
        parts = tuple(part for part in plain.split("/") if part not in ("", "."))
        return None if not parts or ".." in parts else cls(parts[:-1], parts[-1], absolute is not None)

    def rank(self, candidate: _Candidate) -> int:
        """Return how well a candidate of the same stem fits."""
        loose = tuple(map(_folded, self.folders))
        if self.absolute:
            return self._rank_from_elsewhere(loose, candidate)
        inside, outside = (tuple(map(_folded, f)) for f in (candidate.inside, candidate.outside))
        if not _agree(loose, inside, outside, candidate.key):
            return _NOTHING
        strict = _agree(self.folders, candidate.inside, candidate.outside, candidate.key)
        if strict and self.name == candidate.name:
            return _NAME
        if _folded(self.name) == _folded(candidate.name):
            return _LOOSE_NAME
        return _STEM if strict and _stem(self.name) == _stem(candidate.name) else _LOOSE_STEM

    def may_lie_flat(self, candidate: _Candidate) -> bool:
        """Return whether a candidate lies in no folder that contradicts the name's."""
        above = set(map(_folded, candidate.outside))
        others = {_folded(folder) for folder in self.folders} - above
        return not candidate.inside and set(map(_unnumbered, others)).isdisjoint(map(_unnumbered, above))

    def _rank_from_elsewhere(self, loose: tuple[str, ...], candidate: _Candidate) -> int:
        inside, outside = (tuple(map(_folded, f)) for f in (candidate.inside, candidate.outside))
        if candidate.key is None:
            near = _agree_from_elsewhere(loose, inside, outside, None)
        else:
            near = _agree_from_elsewhere(self.folders, candidate.inside, candidate.outside, candidate.key)
        if near == _NAME:
            return _LOOSE_NAME if _folded(self.name) == _folded(candidate.name) else _LOOSE_STEM
        return near if _folded(self.name) == _folded(candidate.name) else _NOTHING


@dataclass
class Images:
    """The images that an import may use.

    Attributes
    ----------
    places
        Where image files lie; the first go before the others where a path fits exactly.
    fields
        The fields of the project: an annotation may be for one of them, with no image file at hand.
    key
        What the project makes of a folder's name: so it keeps the folders that its images came from.
    """

    places: Sequence[SearchPlace] = ()
    fields: Sequence[Field] = ()
    key: Key | None = None
    _sizes: dict[Path, Size | None] = dataclass_field(default_factory=dict)
    _listed: dict[tuple[Path, str | None], dict[str, list[_Candidate]]] = dataclass_field(
        default_factory=dict
    )

    @classmethod
    def for_file(cls, path: Path, images: Path | None, project: Project | None = None) -> Images:
        """Search the fields, and the files beside a file of annotations or in a named folder."""
        if project is None:
            return cls(places(path, images))
        return cls(places(path, images), project.fields.all(), project.pseudonyms.of_folder)

    def find(self, name: str, *, beside: Path | None = None, stem: str = "") -> Match:
        """Find the image of a name; if several match, none is chosen.

        Parameters
        ----------
        beside
            A folder to search first: that of the record's own file, if a data set has several.
        stem
            Another name of the image, without suffix, if nothing has the name.
        """
        match = self._find(name, beside)
        if stem and not match.found:
            hinted = self._find(stem, beside)
            return hinted if hinted.found else match
        return match

    def find_by_name_alone(self, name: str) -> Match:
        """Find an image file by its name without its folders; an absolute name is not found.

        It must lie directly in a searched folder, and no folder above it may be numbered differently from one
        that is stated (``P1``, ``P2``). If other files have the name, all are listed.
        """
        parsed = _Name.parse(name)
        if parsed is None or parsed.absolute:
            return Match()
        stem = _folded(_stem(parsed.name))
        files = {
            candidate.path.resolve(): candidate
            for place in self.places
            for candidate in self._list(place, None).get(stem, ())
            if candidate.path is not None and _folded(candidate.name) == _folded(parsed.name)
        }
        if not any(parsed.may_lie_flat(candidate) for candidate in files.values()):
            return Match()
        if len(files) > 1:
            return Match(_ALONE, alike=tuple(map(str, files.values())))
        return Match(_ALONE, next(iter(files.values())).path)

    def file(self, name: str, *, beside: Path | None = None) -> Path | None:
        """Find the file of an image; no guess between two."""
        return self._find(name, beside).path

    def field_named(self, name: str) -> Field | None:
        """Find the field of the project with a name; if two match, none is chosen."""
        parsed = _Name.parse(name)
        return None if parsed is None else self._match_field(name, parsed).field

    def size(self, path: Path | None, name: str) -> Size | None:
        """Return an image's size: the file's, else that of the field of the project."""
        if path is not None:
            if path not in self._sizes:
                self._sizes[path] = image_size(path)
            return self._sizes[path]
        field = self.field_named(name)
        return None if field is None else (field.width, field.height)

    def missing(self, name: str, match: Match) -> str:
        """Explain why a name has no image, and how to fix it."""
        shown_name = clean_name(name)
        if match.alike:
            several = " or ".join(match.alike[:_SHOWN]) + (" or others" if len(match.alike) > _SHOWN else "")
            return f"{shown_name}: the image may be {several}; left out, give its folder with the name."
        if match.elsewhere:
            return f"{shown_name}: the image was not found; {match.elsewhere} lies in another folder."
        return f"{shown_name}: the image was not found."

    def short(self, name: str, match: Match) -> str:
        """Return the name of a field: folders of another machine are replaced by those that are here."""
        parsed = _Name.parse(name)
        if parsed is None or not (parsed.absolute or match.rank == _ALONE):
            return name
        if match.path is None:
            return parsed.name if match.field is None else match.field.name
        below = (p.folder for p in self.places if match.path.is_relative_to(p.folder))
        top = next(below, match.path.parent)
        return match.path.relative_to(top).as_posix()

    def is_flat(self, match: Match) -> bool:
        """Return whether a match lies directly in the searched place, where no folder confirms it.

        Of a field of the project: all fields came from one folder, and from none below a place.
        """
        folders = [place.folder.resolve() for place in self.places]
        if match.path is not None:
            return match.path.parent.resolve() in folders
        homes = {_came_from(field, self.key) for field in self.fields}
        if len(homes) != 1:
            return False
        (home,) = homes
        return not any(self._holds(folder, home) for folder in folders)

    def came_from_one_of(self, field: Field, folders: Iterable[str]) -> bool:
        """Return whether a field came from a folder of one of these names, or from below it."""
        named = folders if self.key is None else map(self.key, folders)
        return not set(named).isdisjoint(_came_from(field, self.key))

    def _holds(self, folder: Path, home: Sequence[str]) -> bool:
        """Return whether fields that came from `home` lay in a sub-folder of a folder, as far as is known."""
        name = folder.name if self.key is None else self.key(folder.name)
        return name in home[:-1]

    def where(self) -> str:
        """List the folders that are searched."""
        folders = list(dict.fromkeys(str(place.folder) for place in self.places))
        return " or ".join(folders[:_SHOWN])

    def _find(self, text: str, beside: Path | None) -> Match:
        parsed = _Name.parse(text)
        if parsed is None:
            return Match()
        searched = list(self.places)
        if beside is not None:
            searched.insert(0, SearchPlace(beside, deep=False))
        bare = parsed.absolute and not parsed.folders
        exact = (_inside(place.folder, parsed) for place in searched if not bare)
        field_match = self._match_field(text, parsed)
        if (path := next((p for p in exact if p is not None), None)) is not None:
            return Match(_EXACT, path, field_match.field if field_match.rank == _EXACT else None)
        if field_match.rank == _EXACT:
            return field_match
        near = self._best(parsed, searched[:1]) if beside is not None else Match()
        anywhere = self._best(parsed, searched)
        files = near if near.found and near.rank <= anywhere.rank else anywhere
        if files.found and field_match.found and files.rank == field_match.rank:
            return files._replace(field=field_match.field)
        return min(files, field_match, key=lambda match: (match.rank, not match.elsewhere))

    def _best(self, parsed: _Name, searched: Iterable[SearchPlace]) -> Match:
        stem = _folded(_stem(parsed.name))
        folders = parsed.folders[-_MAX_FOLDERS:] if parsed.absolute else parsed.folders[:1]
        tops = [None, *dict.fromkeys(map(_folded, folders))]
        return _choose(
            parsed,
            [
                candidate
                for place in searched
                for top in ([None] if place.deep else tops)
                for candidate in self._list(place, top).get(stem, ())
            ],
        )

    def _list(self, place: SearchPlace, top: str | None) -> dict[str, list[_Candidate]]:
        """List the image files of a place by stem; of a flat one, those of one sub-folder (`top`), if any."""
        key = (place.folder, "*" if place.deep else top)
        if key not in self._listed:
            by_stem: dict[str, list[_Candidate]] = {}
            outside = _folders(place.folder.resolve())
            for path in _image_files(place, top):
                below = path.relative_to(place.folder).parts
                candidate = _Candidate(below[:-1], outside, below[-1], path)
                by_stem.setdefault(_folded(_stem(path.name)), []).append(candidate)
            self._listed[key] = by_stem
        return self._listed[key]

    def _match_field(self, text: str, parsed: _Name) -> Match:
        if (field := self._by_name.get(clean_name(text))) is not None:
            return Match(_EXACT, field=field)
        return _choose(parsed, self._fields_by_stem.get(_folded(_stem(parsed.name)), ()))

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def _fields_by_stem(self) -> dict[str, list[_Candidate]]:
        by_stem: dict[str, list[_Candidate]] = {}
        for field in self.fields:
            named = _Name.parse(field.name) or _Name((), field.name)
            outside = _came_from(field, self.key)
            folders = tuple(map(self.key, named.folders)) if self.key is not None else named.folders
            if folders:
                outside = outside[: -len(folders)] if outside[-len(folders) :] == folders else ()
            candidate = _Candidate(named.folders, outside, named.name, field=field, key=self.key)
            by_stem.setdefault(_folded(_stem(named.name)), []).append(candidate)
        return by_stem


def comparable(name: str) -> str:
    """Return a form of a name that is equal for names that differ in slashes, capitals or composition."""
    return _folded(name.replace("\\", "/"))


def states_folders(name: str) -> bool:
    """Return whether a name has folders that tell images apart, so not just ``images``."""
    parsed = _Name.parse(name)
    return parsed is not None and any(folder.lower() not in _SAY_NOTHING for folder in parsed.folders)


def _choose(parsed: _Name, candidates: Iterable[_Candidate]) -> Match:
    """Return the one candidate that fits best; several are listed, and none is used."""
    ranked: dict[int, dict[object, _Candidate]] = {}
    for candidate in candidates:
        same = candidate.path.resolve() if candidate.path else candidate.field
        ranked.setdefault(parsed.rank(candidate), {}).setdefault(same, candidate)
    if not ranked:
        return Match()
    rank = min(ranked)
    best = list(ranked[rank].values())
    if rank == _NOTHING:
        return Match(elsewhere=str(best[0]))
    if len(best) > 1:
        return Match(rank, alike=tuple(map(str, best)))
    return Match(rank, best[0].path, best[0].field)


class _Step(NamedTuple):
    """A folder of a name beside one of a candidate: whether they agree, whether it is below the place."""

    stated: str
    there: str
    agrees: bool
    below: bool


def _upwards(
    stated: Sequence[str], below: list[str], outside: Sequence[str], key: Key | None
) -> Iterator[_Step]:
    """Compare a name's folders with a candidate's, upwards, to the first that differ.

    A folder *images* of the candidate may go unnamed; one that is named may be called otherwise, if it is the
    place itself (which the user chose). With a `key`, `outside` holds what it makes of folders. What is left
    of `below` was not reached.
    """
    left, above = list(stated), list(outside)
    while left and (parts := below or above):
        part = left[-1] if below or key is None else key(left[-1])
        if part == parts[-1]:
            yield _Step(left[-1], parts[-1], True, bool(below))
            left.pop()
            parts.pop()
        elif parts[-1].lower() in _SAY_NOTHING:
            parts.pop()
        elif not below and left[-1].lower() in _SAY_NOTHING:
            left.pop()
        else:
            yield _Step(left[-1], parts[-1], False, bool(below))
            return


def _agree(
    stated: Sequence[str], inside: Sequence[str], outside: Sequence[str], key: Key | None = None
) -> bool:
    """Return whether the folders of a name and those of a candidate agree, upwards, as far as both go."""
    return all(step.agrees for step in _upwards(stated, list(inside), outside, key))


def _agree_from_elsewhere(
    stated: Sequence[str], inside: Sequence[str], outside: Sequence[str], key: Key | None
) -> int:
    """Return how well the folders of an absolute name agree with those of a candidate, upwards.

    Those below the place must all agree. Above it the two part where the machines differ: then a folder that
    tells images apart must have agreed, and the two folders may not be numbered alike (``P1``, ``P2``).

    Returns
    -------
    int
        `_NAME`; `_FAR` where they part at the place itself; `_NOTHING`.
    """
    below = list(inside)
    agreed, near = 0, _FAR
    for step in _upwards(stated, below, outside, key):
        if not step.agrees:
            alike = step.below or _unnumbered(step.stated) == _unnumbered(step.there)
            return _NOTHING if alike or not agreed else near
        if step.stated.lower() not in _SAY_NOTHING and not _OF_MANY.fullmatch(step.stated):
            agreed += 1
            near = near if step.below else _NAME
    return _NAME if agreed and not below else _NOTHING


def _unnumbered(folder: str) -> str:
    """Replace the numbers in a folder's name, so that ``P1`` and ``P2`` are one."""
    return re.sub(r"\d+", "0", folder)


def _inside(folder: Path, parsed: _Name) -> Path | None:
    """Find a file by its path below a folder; links out of the folder are not followed."""
    path = folder.joinpath(*parsed.folders, parsed.name)
    try:
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            return path
    except (OSError, ValueError, RuntimeError):  # a name that the system cannot even look for
        pass
    return None


def _image_files(place: SearchPlace, top: str | None) -> Iterator[Path]:
    folder = place.folder
    if not folder.is_dir():
        return
    if place.deep:
        paths: Iterable[Path] = walk(folder)
    elif top is None:
        real = folder.resolve()
        children = (p for p in islice(folder.iterdir(), _MAX_FILES) if not p.name.startswith("."))
        paths = (p for p in sorted(children) if not p.is_symlink() or p.resolve().is_relative_to(real))
    else:
        children = (p for p in islice(folder.iterdir(), _MAX_FILES) if _folded(p.name) == top)
        paths = (
            p for child in sorted(children) if child.is_dir() and not child.is_symlink() for p in walk(child)
        )
    yield from (path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def _came_from(field: Field, key: Key | None) -> tuple[str, ...]:
    """Return the folders that a field came from, as `key` makes them; a slide's stand in clear."""
    folders = tuple(p for p in field.source_path.replace("\\", "/").split("/")[:-1] if p)
    return tuple(map(key, folders)) if field.is_slide and key is not None else folders


def _folders(folder: Path) -> tuple[str, ...]:
    return folder.parts[1:] if folder.anchor else folder.parts


@lru_cache(maxsize=65_536)
def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _stem(name: str) -> str:
    """Remove the suffix of an image; what follows another dot belongs to the name."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix}".lower() in IMAGE_SUFFIXES else name
