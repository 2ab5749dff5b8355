"""The size of a pixel is read where a file states one that can be right, and left unknown elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from annotation_store import ImageError, Project
from annotation_store.images.read import decode_with_facts

RGB = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
UM = 25_400.0


def facts(path: Path) -> tuple[float | None, float | None]:
    found = decode_with_facts(path.read_bytes(), path).facts
    return found.pixel_size_um, found.magnification


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}, 0.25),
        ({"resolution": (UM * 4, UM * 4), "resolutionunit": "INCH"}, 0.25),
        ({"resolution": (40_000, 40_000), "resolutionunit": "NONE"}, None),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
        ({"resolution": (40_000, 20_000), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (0, 0), "resolutionunit": "CENTIMETER"}, None),
        ({}, None),
    ],
)
def test_resolution_tags_of_tiff(tmp_path: Path, options: dict[str, Any], expected: float | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", **options)
    assert facts(tmp_path / "a.tif")[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("unit", "expected"), [("um", 0.2), ("micron", 0.2), ("\\u00B5m", 0.2), ("pixel", None)]
)
def test_units_of_imagej(tmp_path: Path, unit: str, expected: float | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB[..., 0], imagej=True, resolution=(5, 5), metadata={"unit": unit})
    assert facts(tmp_path / "a.tif")[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [(0.065, "µm", 0.065), (65, "nm", 0.065), (0.000065, "mm", 0.065), (65, "pixel", None), (0, "µm", None)],
)
def test_physical_sizes_of_ome_tiff(tmp_path: Path, size: float, unit: str, expected: float | None) -> None:
    metadata = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeY": size}
    metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", RGB, photometric="rgb", metadata=metadata)
    assert facts(tmp_path / "a.ome.tif")[0] == pytest.approx(expected)


OME = """<?xml version="1.0"?>{doctype}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Instrument ID="Instrument:0"><Objective ID="Objective:0" NominalMagnification="{magnification}"/>
</Instrument>
<Image ID="Image:0" Name="{name}"><Pixels ID="Pixels:0" Type="uint8" DimensionOrder="XYCZT"
 SizeX="30" SizeY="20" SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="0.1" PhysicalSizeY="0.1">
<Channel ID="Channel:0" SamplesPerPixel="3"/>
<TiffData IFD="0" PlaneCount="1">{uuid}</TiffData></Pixels></Image></OME>"""


def ome_tiff(path: Path, **parts: str) -> Path:
    text = OME.format(**({"doctype": "", "magnification": "100", "name": "a", "uuid": ""} | parts))
    tifffile.imwrite(path, RGB, photometric="rgb", description=text, metadata=None)
    return path


def test_the_objective_of_ome_tiff(tmp_path: Path) -> None:
    assert facts(ome_tiff(tmp_path / "a.ome.tif")) == (0.1, 100)
    assert facts(ome_tiff(tmp_path / "b.ome.tif", magnification="1e99")) == (0.1, None)


def test_entities_in_ome_xml_are_refused_and_not_unfolded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
    )
    path = ome_tiff(tmp_path / "a.ome.tif", doctype=bomb + "]>", name="&j;")
    with pytest.raises(ImageError, match="entities"):
        decode_with_facts(path.read_bytes(), path)


def test_files_that_an_ome_xml_names_beside_it_are_not_opened(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "secret.tif", RGB[::-1].copy(), photometric="rgb")
    uuid = '<UUID FileName="secret.tif">urn:uuid:1</UUID>'
    path = ome_tiff(tmp_path / "a.ome.tif", uuid=uuid)
    assert np.array_equal(decode_with_facts(path.read_bytes(), path).pixels, RGB)


@pytest.mark.parametrize(
    ("dpi", "expected"),
    [(UM / 0.25, 0.25), (UM, 1.0), (72, None), (96, None), (300, None), (3000, UM / 3000)],
)
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg"])
def test_resolution_of_png_bmp_and_jpeg(
    tmp_path: Path, suffix: str, dpi: float, expected: float | None
) -> None:
    Image.fromarray(RGB).save(tmp_path / f"a{suffix}", dpi=(dpi, dpi))
    limit = 65_535 if suffix == ".jpg" else 10**9
    found = facts(tmp_path / f"a{suffix}")[0]
    if dpi <= limit:
        assert found == pytest.approx(expected, rel=0.01) if expected else found is None


def test_what_an_import_says_goes_before_what_the_file_says(empty: Project, tmp_path: Path) -> None:
    from annotation_store._collections.ingest import Incoming

    tifffile.imwrite(
        tmp_path / "a.tif", RGB, photometric="rgb", resolution=(40_000, 40_000), resolutionunit="CENTIMETER"
    )
    Image.fromarray(RGB).save(tmp_path / "b.png")
    empty._ingest.take_in([Incoming(tmp_path / "b.png", pixel_size_um=0.5)])
    empty.fields.add([tmp_path / "a.tif"])
    assert [field.pixel_size_um for field in empty.fields.all()] == [0.5, 0.25]
    copy = tmp_path / "c.tif"
    tifffile.imwrite(
        copy, RGB[::-1].copy(), photometric="rgb", resolution=(40_000, 40_000), resolutionunit="CENTIMETER"
    )
    empty._ingest.take_in([Incoming(copy, pixel_size_um=0.5)])
    assert empty.fields.all()[-1].pixel_size_um == 0.5
