"""The collections of a project, one module each: fields, marks, suggestions, models, readings."""
