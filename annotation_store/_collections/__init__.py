"""What a project holds, one module each: fields, marks, suggestions, models, readings."""
