"""The truth of a project: schema, fields, regions, cells, suggestions, history, images and formats.

What is offered here stands in ``__init__.pyi``, and is imported once it is asked for: a part that imports
little, such as the one that tells files apart for napari, does not load the store.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
