-- What is declared of each step (empty step: of the workflow), a row for each source. preference 1 is the source to trust most:
-- configuration, asl, hostjson, server, then what the latest attempt or execution said itself (history). What is not declared is NULL
-- or empty, so `argMin(timeout_s, preference)` finds the timeout in the most trusted source that has one.
CREATE VIEW definitions AS
SELECT
    namespace, engine, workflow, workflow_version, step, kind, source, timeout_s, heartbeat_timeout_s,
    schedule_to_start_timeout_s, schedule_to_close_timeout_s, max_attempts, backoff_s, backoff_rate, backoff_max_s, jitter, retries, catches,
    caught_by, compensated_by, inside, waiting_on, downstream, region, next, attributes, declared_at,
    row_number() OVER (PARTITION BY namespace, engine, workflow, workflow_version, step ORDER BY transform(source, ['configuration', 'asl', 'hostjson', 'server'], [1, 2, 3, 4], 5)) AS preference
FROM
(
    SELECT * FROM declarations
    UNION ALL
    SELECT
        namespace, engine, workflow, workflow_version, step, '' AS kind, 'history' AS source,
        latest.1, latest.2, latest.3, latest.4, latest.5, latest.6, latest.7, latest.8,
        NULL AS jitter, [] AS retries, [] AS catches, [] AS caught_by, '' AS compensated_by, '' AS inside, latest.9, latest.10, latest.11,
        [] AS next, map() AS attributes, latest_at AS declared_at
    FROM
    (
        SELECT
            namespace, engine, workflow, workflow_version, step,
            argMax(
                (timeout_s, heartbeat_timeout_s, schedule_to_start_timeout_s, schedule_to_close_timeout_s, max_attempts,
                backoff_s, backoff_rate, backoff_max_s, waiting_on, downstream, region),
                (said_at, execution_key, attempt)) AS latest,
            max(said_at) AS latest_at
        FROM (SELECT *, ifNull(scheduled_at, ifNull(started_at, first_received_at)) AS said_at FROM attempt_fold FINAL)
        WHERE workflow != ''
            AND (timeout_s IS NOT NULL OR heartbeat_timeout_s IS NOT NULL OR schedule_to_start_timeout_s IS NOT NULL
                OR schedule_to_close_timeout_s IS NOT NULL OR max_attempts IS NOT NULL OR backoff_s IS NOT NULL)
        GROUP BY namespace, engine, workflow, workflow_version, step
    )
    UNION ALL
    SELECT
        namespace, engine, workflow, workflow_version, '' AS step, '' AS kind, 'history' AS source,
        argMax(x.timeout_s, x.started_at), NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, [], [], [], '', '', '', '', '', [], map(), max(x.started_at) AS declared_at
    FROM execution_fold AS x FINAL
    WHERE workflow != '' AND timeout_s IS NOT NULL
    GROUP BY namespace, engine, workflow, workflow_version
)
