-- What definitions declare that detectors hold attempts against; what attempts declare themselves is in their own rows.
-- AWS tells of no heartbeat, so its silence means nothing. A step without a retry policy, or whose error is caught,
-- was not given up when it failed: something else follows. Engines label their waits; the configuration's word is for those that do not.
SELECT
    namespace, engine, workflow, workflow_version, step, source, declared_at, timeout_s,
    if(source = 'asl', NULL, heartbeat_timeout_s) AS heartbeat_timeout_s,
    schedule_to_close_timeout_s,
    if(max_attempts > 1 AND empty(catches), max_attempts, NULL) AS max_attempts,
    if(source = 'configuration' AND waiting_on != '', waiting_on, NULL) AS waiting_on
FROM declarations
ORDER BY declared_at
