-- Executions that run and have had payloads that may fill a history by their size.
SELECT execution_key
FROM attempt_fold FINAL
WHERE engine IN {sized:Array(String)}
    AND payload_bytes >= {large:UInt64}
    AND execution_key IN (SELECT execution_key FROM open_execution FINAL WHERE engine IN {sized:Array(String)} AND NOT historical)
GROUP BY execution_key
ORDER BY sum(payload_bytes) DESC, execution_key
LIMIT {most:UInt32}
