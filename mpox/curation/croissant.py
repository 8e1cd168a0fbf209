"""Croissant metadata (https://docs.mlcommons.org/croissant/docs/croissant-spec.html): the data set, for programs."""

import datetime
import hashlib
import logging
from pathlib import Path

import mlcroissant as mlc
import pandas as pd

from mpox.curation.about import About
from mpox.files import write_json

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
# Columns of the released manifest and what they mean.
FIELDS = {
    "path": (mlc.DataType.TEXT, "Path of the photo within the data set"),
    "label": (mlc.DataType.TEXT, "Class of the photo"),
    "source": (mlc.DataType.TEXT, "Collection the photo comes from"),
    "subject": (mlc.DataType.TEXT, "Patient or other origin, a new number; empty where unknown"),
    "group": (mlc.DataType.TEXT, "Photos that must never be split between training and test share it"),
    "sha256": (mlc.DataType.TEXT, "SHA-256 of the photo's file"),
    "ita": (mlc.DataType.FLOAT, "Individual typology angle in degrees, an estimate of skin tone from the pixels"),
}


def write(folder: Path, released: pd.DataFrame, about: About, encoding: str) -> None:
    """Write `croissant.json` into a release (its manifest.csv and images are there) and have mlcroissant check it.

    `encoding` is the MIME type of its photos.
    """
    table = (folder / "manifest.csv").read_bytes()
    licences = about.licences_of(list(released["source"].unique()))
    sha256 = hashlib.sha256(table).hexdigest()
    distribution = [
        mlc.FileObject(
            id="manifest", name="manifest.csv", content_url="manifest.csv", encoding_formats=["text/csv"], sha256=sha256
        ),
        mlc.FileSet(id="images", name="images", includes=["images/*/*"], encoding_formats=[encoding]),
    ]
    columns = [name for name in FIELDS if name in released]
    fields = [
        mlc.Field(
            id=f"photos/{name}",
            name=name,
            description=FIELDS[name][1],
            data_types=[FIELDS[name][0]],
            source=mlc.Source(file_object="manifest", extract=mlc.Extract(column=name)),
        )
        for name in columns
    ]
    image = mlc.Source(file_set="images", extract=mlc.Extract(file_property="content"))
    records = [
        mlc.RecordSet(id="photos", name="photos", description=f"The {len(released)} photos", fields=fields),
        mlc.RecordSet(
            id="images-content",
            name="images-content",
            description="The pixels, by path",
            fields=[
                mlc.Field(
                    id="images-content/path",
                    name="path",
                    data_types=[mlc.DataType.TEXT],
                    source=mlc.Source(file_set="images", extract=mlc.Extract(file_property="fullpath")),
                ),
                mlc.Field(
                    id="images-content/image", name="image", data_types=[mlc.DataType.IMAGE_OBJECT], source=image
                ),
            ],
        ),
    ]
    counts = ", ".join(f"{count} {label}" for label, count in released["label"].value_counts().sort_index().items())
    metadata = mlc.Metadata(
        name=about.name,
        version=about.version,
        description=f"{about.description} {len(released)} photos: {counts}. For research, not diagnosis.".strip(),
        license=sorted(set(licences.values())),
        url=about.url or None,
        cite_as=about.citation or None,
        creators=[mlc.Organization(name=name) for name in about.creators],
        date_published=datetime.datetime.combine(datetime.datetime.now(datetime.UTC), datetime.time()),
        conforms_to=[CONFORMS_TO],
        distribution=distribution,
        record_sets=records,
        data_limitations=[f"{source}: licence {licence}" for source, licence in licences.items()],
    )
    write_json(folder / "croissant.json", metadata.to_json())
    # It warns of recommended fields that are missing, which the datasheet marks; it raises errors.
    logging.getLogger("absl").setLevel(logging.ERROR)
    mlc.Dataset(jsonld=folder / "croissant.json")
