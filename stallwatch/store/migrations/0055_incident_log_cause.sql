-- What the findings of an incident share (dimension and value; empty where nobody knows), and where its findings went.
ALTER TABLE incident_log
    ADD COLUMN dimension LowCardinality(String),
    ADD COLUMN value String,
    ADD COLUMN merged_into String,
    ADD COLUMN split_from String
