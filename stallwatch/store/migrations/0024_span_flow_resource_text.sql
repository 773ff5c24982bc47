-- A resource is one text for all its spans: a dictionary's number is carried along instead of a map. The map is no longer filled.
ALTER TABLE span_flow
    MODIFY COLUMN attributes Map(String, String),
    ADD COLUMN resource_text LowCardinality(String)
