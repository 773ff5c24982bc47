-- As in span_flow. What was stored before keeps its map, from which the text follows.
ALTER TABLE span_log
    MODIFY COLUMN attributes Map(String, String) CODEC(ZSTD),
    ADD COLUMN resource_text LowCardinality(String) DEFAULT toJSONString(resource)
