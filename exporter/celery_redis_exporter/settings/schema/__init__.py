"""Define the settings as pydantic models: every name, type, default and description, once."""
