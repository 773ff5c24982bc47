"""The engines: for each one how its documents, its pushed events and its live state become step events."""
