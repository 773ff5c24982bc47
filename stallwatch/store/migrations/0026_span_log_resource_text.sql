-- A resource is one text for all its spans: a dictionary's number is stored instead of a map. What was stored before keeps its
-- map, from which the text follows.
ALTER TABLE span_log
    MODIFY COLUMN attributes Map(String, String) CODEC(ZSTD),
    ADD COLUMN resource_text LowCardinality(String) DEFAULT toJSONString(resource)
