"""Slides as scanners write them, small: DICOM, SVS with label and macro."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import tifffile
from PIL import Image, ImageCms
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import JPEGBaseline8Bit, generate_uid

TILE = 128
APERIO = "Aperio Image Library v12.0.0\r\n{0} JPEG/RGB Q=90|AppMag = 40|MPP = 0.2500"


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def turning() -> bytes:
    """A profile that changes colours: sRGB with red and blue primaries exchanged."""
    data = bytearray(srgb())
    entries = {bytes(data[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(data[131])}
    red, blue = entries[b"rXYZ"] + 4, entries[b"bXYZ"] + 4
    data[red : red + 8], data[blue : blue + 8] = data[blue : blue + 8], data[red : red + 8]
    return bytes(data)


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def tiles_of(pixels: np.ndarray) -> list[np.ndarray]:
    height, width = pixels.shape[:2]
    rows, columns = -(-height // TILE), -(-width // TILE)
    padded = np.pad(pixels, ((0, rows * TILE - height), (0, columns * TILE - width), (0, 0)), mode="edge")
    return [
        padded[r * TILE : (r + 1) * TILE, c * TILE : (c + 1) * TILE]
        for r in range(rows)
        for c in range(columns)
    ]


def write_dicom(
    path: Path,
    pixels: np.ndarray,
    *,
    series: str,
    study: str = "1.2.3",
    kind: str = "VOLUME",
    um: float = 0.25,
    planes: int = 1,
    profile: bytes | None = None,
    **more: Any,
) -> None:
    """Write one instance: a level of a slide, or its label."""
    height, width = pixels.shape[:2]
    frames = [jpeg(tile) for tile in tiles_of(pixels)]
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = study, series
    data.PatientID, data.PatientName, data.Modality = "P1", "Doe^Jane", "SM"
    data.ImageType = ["ORIGINAL", "PRIMARY", kind, "NONE" if kind == "VOLUME" else "RESAMPLED"]
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows = width, height
    data.TotalPixelMatrixFocalPlanes = planes
    data.Columns = data.Rows = TILE
    data.NumberOfFrames = len(frames)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "YBR_FULL_422", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.DimensionOrganizationType = "TILED_FULL"
    measures, shared, optical = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [um / 1000, um / 1000], 0.001
    shared.PixelMeasuresSequence = Sequence([measures])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    optical.ObjectiveLensPower = 40
    if profile is not None:
        optical.ICCProfile = profile
    data.OpticalPathSequence = Sequence([optical])
    for name, value in more.items():
        setattr(data, name, value)
    data.PixelData = encapsulate(frames)
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def write_series(
    folder: Path, pixels: np.ndarray, *, levels: int = 2, label: bool = True, **more: Any
) -> Path:
    """Write a slide as DICOM, one file per level, and its label; give the finest level's file."""
    folder.mkdir(parents=True, exist_ok=True)
    series = generate_uid(entropy_srcs=[str(folder)])
    for n in range(levels):
        small = np.ascontiguousarray(pixels[:: 2**n, :: 2**n])
        write_dicom(folder / f"{levels - n}.dcm", small, series=series, um=0.25 * 2**n, **more)
    if label:
        name = np.full((TILE, TILE, 3), (255, 0, 255), np.uint8)
        write_dicom(folder / "0label.dcm", name, series=series, kind="LABEL")
    return folder / f"{levels}.dcm"


def write_svs(path: Path, pixels: np.ndarray, *, profile: bytes | None = None) -> None:
    """Write an SVS with thumbnail, label and macro, which are of one colour that the slide does not have."""
    size = f"{pixels.shape[1]}x{pixels.shape[0]} ({TILE}x{TILE})"
    named = np.full((160, 200, 3), (255, 0, 255), np.uint8)
    with tifffile.TiffWriter(path) as tiff:
        tiled: dict[str, Any] = {
            "tile": (TILE, TILE),
            "photometric": "rgb",
            "compression": "zlib",
            "metadata": None,
        }
        plain: dict[str, Any] = {
            "rowsperstrip": 16,
            "photometric": "rgb",
            "compression": "lzw",
            "metadata": None,
        }
        tiff.write(pixels, description=APERIO.format(size), iccprofile=profile, **tiled)
        tiff.write(named, description=APERIO.format("thumbnail"), **plain)
        tiff.write(pixels[::2, ::2], description=APERIO.format(size), **tiled)
        tiff.write(named, description="Aperio Image Library v12.0.0\r\nlabel 200x160", subfiletype=1, **plain)
        tiff.write(named, description="Aperio Image Library v12.0.0\r\nmacro 200x160", subfiletype=9, **plain)


def write_svs_33003(path: Path, pixels: np.ndarray) -> None:
    """Write an SVS whose tiles are JPEG 2000 in YCbCr, without an RGB conversion of JPEG 2000's own."""
    rgb = pixels.astype(np.float32)
    y = rgb @ [0.299, 0.587, 0.114]
    planes = np.stack([y, 128 + (rgb[..., 2] - y) / 1.772, 128 + (rgb[..., 0] - y) / 1.402], -1)
    values = np.clip(np.rint(planes), 0, 255).astype(np.uint8)
    encoded = [
        imagecodecs.jpeg2k_encode(tile, level=0, mct=False, codecformat="j2k") for tile in tiles_of(values)
    ]
    size = f"{pixels.shape[1]}x{pixels.shape[0]} ({TILE}x{TILE})"
    tifffile.imwrite(
        path,
        iter(encoded),
        shape=pixels.shape,
        dtype=np.uint8,
        tile=(TILE, TILE),
        photometric="rgb",
        compression=33003,
        description=APERIO.format(size),
        metadata=None,
    )
