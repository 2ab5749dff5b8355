"""Review suggestions and possible label errors."""
