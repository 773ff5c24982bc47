CREATE TEMPORARY TABLE IF NOT EXISTS fold_event ENGINE = Memory AS
SELECT
    * EXCEPT (attributes, is_replay), '' AS run, toLowCardinality('') AS kind,
    toUInt64(0) AS event_key, toUInt64(0) AS run_key, toUInt64(0) AS step_key, toUInt64(0) AS place, false AS says_more, toUInt8(0) AS trust
FROM step_event_log
WHERE false
