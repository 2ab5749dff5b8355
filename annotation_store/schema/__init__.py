"""The labels of a project: classes, groups, attributes, their titles, colours and keys."""

from annotation_store.schema.from_coco import schema_from_coco
from annotation_store.schema.load import load_schema, preset_names
from annotation_store.schema.model import Attribute, AttributeValue, CellClass, ClassGroup, Schema
from annotation_store.schema.wbcatt_to_lld import wbcatt_to_lld

__all__ = [
    "Attribute",
    "AttributeValue",
    "CellClass",
    "ClassGroup",
    "Schema",
    "load_schema",
    "preset_names",
    "schema_from_coco",
    "wbcatt_to_lld",
]
