"""Find the images that annotations name: image files, or fields of the project.

One rule for every format. In this order: the exact path; the same name in folders that agree; the same but
for capitals and Unicode composition; the same name with another suffix. `image_names` defines when folders
agree.

Where no folder that a file of annotations names is here, its images may lie in one folder without any
(`Images.find_by_name_alone`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from annotation_store.formats._exchange.image_names import Candidate, Key, Rank, StatedName, folded, stem_of
from annotation_store.formats._exchange.image_places import (
    SearchPlace,
    Size,
    image_files,
    image_size,
    places,
)
from annotation_store.records import Field
from annotation_store.validation import clean_name

if TYPE_CHECKING:
    from annotation_store.project import Project

_SHOWN = 3
_MAX_FOLDERS = 8


class Match(NamedTuple):
    """What a name refers to: a file, a field of the project, both (the pixels decide), or neither.

    Attributes
    ----------
    rank
        How well it fits.
    alike
        What fits equally well, where the name fits several.
    elsewhere
        A file or field of that name in folders that contradict it, where nothing fits.
    """

    rank: Rank = Rank.NOTHING
    path: Path | None = None
    field: Field | None = None
    alike: tuple[str, ...] = ()
    elsewhere: str = ""

    @property
    def found(self) -> bool:
        """Whether there is a file or a field."""
        return self.path is not None or self.field is not None


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
    _listed: dict[tuple[Path, str | None], dict[str, list[Candidate]]] = dataclass_field(default_factory=dict)

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
        parsed = StatedName.parse(name)
        if parsed is None or parsed.absolute:
            return Match()
        stem = folded(stem_of(parsed.name))
        files = {
            candidate.path.resolve(): candidate
            for place in self.places
            for candidate in self._list(place, None).get(stem, ())
            if candidate.path is not None and folded(candidate.name) == folded(parsed.name)
        }
        if not any(parsed.may_lie_flat(candidate) for candidate in files.values()):
            return Match()
        if len(files) > 1:
            return Match(Rank.ALONE, alike=tuple(map(str, files.values())))
        return Match(Rank.ALONE, next(iter(files.values())).path)

    def file(self, name: str, *, beside: Path | None = None) -> Path | None:
        """Find the file of an image; no guess between two."""
        return self._find(name, beside).path

    def field_named(self, name: str) -> Field | None:
        """Find the field of the project with a name; if two match, none is chosen."""
        parsed = StatedName.parse(name)
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
        parsed = StatedName.parse(name)
        if parsed is None or not (parsed.absolute or match.rank == Rank.ALONE):
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
        parsed = StatedName.parse(text)
        if parsed is None:
            return Match()
        searched = list(self.places)
        if beside is not None:
            searched.insert(0, SearchPlace(beside, deep=False))
        bare = parsed.absolute and not parsed.folders
        exact = (_inside(place.folder, parsed) for place in searched if not bare)
        field_match = self._match_field(text, parsed)
        if (path := next((p for p in exact if p is not None), None)) is not None:
            return Match(Rank.EXACT, path, field_match.field if field_match.rank == Rank.EXACT else None)
        if field_match.rank == Rank.EXACT:
            return field_match
        near = self._best(parsed, searched[:1]) if beside is not None else Match()
        anywhere = self._best(parsed, searched)
        files = near if near.found and near.rank <= anywhere.rank else anywhere
        if files.found and field_match.found and files.rank == field_match.rank:
            return files._replace(field=field_match.field)
        return min(files, field_match, key=lambda match: (match.rank, not match.elsewhere))

    def _best(self, parsed: StatedName, searched: Iterable[SearchPlace]) -> Match:
        stem = folded(stem_of(parsed.name))
        folders = parsed.folders[-_MAX_FOLDERS:] if parsed.absolute else parsed.folders[:1]
        tops = [None, *dict.fromkeys(map(folded, folders))]
        return _choose(
            parsed,
            [
                candidate
                for place in searched
                for top in ([None] if place.deep else tops)
                for candidate in self._list(place, top).get(stem, ())
            ],
        )

    def _list(self, place: SearchPlace, top: str | None) -> dict[str, list[Candidate]]:
        """List the image files of a place by stem; of a flat one, those of one sub-folder (`top`), if any."""
        key = (place.folder, "*" if place.deep else top)
        if key not in self._listed:
            by_stem: dict[str, list[Candidate]] = {}
            outside = _folders(place.folder.resolve())
            for path in image_files(place, top):
                below = path.relative_to(place.folder).parts
                candidate = Candidate(below[:-1], outside, below[-1], path)
                by_stem.setdefault(folded(stem_of(path.name)), []).append(candidate)
            self._listed[key] = by_stem
        return self._listed[key]

    def _match_field(self, text: str, parsed: StatedName) -> Match:
        if (field := self._by_name.get(clean_name(text))) is not None:
            return Match(Rank.EXACT, field=field)
        return _choose(parsed, self._fields_by_stem.get(folded(stem_of(parsed.name)), ()))

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def _fields_by_stem(self) -> dict[str, list[Candidate]]:
        by_stem: dict[str, list[Candidate]] = {}
        for field in self.fields:
            named = StatedName.parse(field.name) or StatedName((), field.name)
            outside = _came_from(field, self.key)
            folders = tuple(map(self.key, named.folders)) if self.key is not None else named.folders
            if folders:
                outside = outside[: -len(folders)] if outside[-len(folders) :] == folders else ()
            candidate = Candidate(named.folders, outside, named.name, field=field, key=self.key)
            by_stem.setdefault(folded(stem_of(named.name)), []).append(candidate)
        return by_stem


def _choose(parsed: StatedName, candidates: Iterable[Candidate]) -> Match:
    """Return the one candidate that fits best; several are listed, and none is used."""
    ranked: dict[Rank, dict[object, Candidate]] = {}
    for candidate in candidates:
        same = candidate.path.resolve() if candidate.path else candidate.field
        ranked.setdefault(parsed.rank(candidate), {}).setdefault(same, candidate)
    if not ranked:
        return Match()
    rank = min(ranked)
    best = list(ranked[rank].values())
    if rank == Rank.NOTHING:
        return Match(elsewhere=str(best[0]))
    if len(best) > 1:
        return Match(rank, alike=tuple(map(str, best)))
    return Match(rank, best[0].path, best[0].field)


def _inside(folder: Path, parsed: StatedName) -> Path | None:
    """Find a file by its path below a folder; links out of the folder are not followed."""
    path = folder.joinpath(*parsed.folders, parsed.name)
    try:
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            return path
    except (OSError, ValueError, RuntimeError):  # a name that the system cannot even look for
        pass
    return None


def _came_from(field: Field, key: Key | None) -> tuple[str, ...]:
    """Return the folders that a field came from, as `key` makes them; a slide's stand in clear."""
    folders = tuple(p for p in field.source_path.replace("\\", "/").split("/")[:-1] if p)
    return tuple(map(key, folders)) if field.is_slide and key is not None else folders


def _folders(folder: Path) -> tuple[str, ...]:
    return folder.parts[1:] if folder.anchor else folder.parts
