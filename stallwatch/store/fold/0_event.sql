CREATE TEMPORARY TABLE IF NOT EXISTS fold_event ENGINE = Memory AS
SELECT *, '' AS run, '' AS kind
FROM step_event_log
WHERE false
