-- As in span_flow.
ALTER TABLE claimed_span_flow
    MODIFY COLUMN attributes Map(String, String),
    ADD COLUMN resource_text LowCardinality(String)
