-- Which attempts some spans are that do not say it, where a history numbers attempts of the same call. Otherwise such spans are counted.
-- Where there are as many spans as attempts, the first of both are the same: Temporal's first is always 1 (its history tells of the
-- last alone), Durable's what the history tells (some SDKs give each try a task id of its own).
-- Where there are fewer, one was lost (its worker died) or is still to come. Then of the spans that began within half a second of an
-- attempt's start, the nearest is that attempt: so far the clocks of server and worker may be apart.
INSERT INTO fold_anchor
WITH
    spans AS
    (
        -- Durable has two for each attempt: when it was scheduled, and the worker's.
        SELECT engine, step_key, step_run_id, kind, event_key, place, toUnixTimestamp64Micro(time) AS at_us
        FROM fold_event
        WHERE trust = 0 AND attempt = 0 AND step_run_id != '' AND step_key IN (SELECT step_key FROM fold_complex WHERE is_mixed)
            AND ((engine = 'temporal' AND kind = 'started') OR (engine = 'durable' AND kind IN ('scheduled', 'started')))
    ),
    told AS
    (
        SELECT step_key, step_run_id, attempt, kind, event_key, toUnixTimestamp64Micro(time) AS at_us
        FROM fold_event
        WHERE trust > 0 AND attempt > 0 AND (step_key, step_run_id) IN (SELECT step_key, step_run_id FROM spans)
    ),
    calls AS
    (
        SELECT
            s.step_key AS step_key, s.step_run_id AS step_run_id, s.kind AS span_kind, argMin(s.event_key, place) AS first_span,
            if(any(engine) = 'temporal', 1, any(t.least_attempt)) AS first_attempt,
            any(t.last_attempt) - first_attempt + 1 > count() AS lacks_spans
        FROM spans AS s
        INNER JOIN (SELECT step_key, step_run_id, min(attempt) AS least_attempt, max(attempt) AS last_attempt FROM told GROUP BY step_key, step_run_id) AS t
            ON s.step_key = t.step_key AND s.step_run_id = t.step_run_id
        GROUP BY step_key, step_run_id, span_kind
    ),
    nearest_to_attempt AS
    (
        SELECT argMin(s.event_key, (off_us, s.event_key)) AS span_key, any(n.attempt) AS its_attempt, min(abs(s.at_us - n.at_us) AS off_us) AS off_least_us
        FROM
        (
            -- Looked for in the half second of a span and in those beside it.
            SELECT step_key, step_run_id, event_key, attempt, at_us, arrayJoin([-1, 0, 1]) + intDiv(at_us, 500000) AS half_second
            FROM told
            WHERE kind = 'started'
        ) AS n
        INNER JOIN spans AS s ON s.step_key = n.step_key AND s.step_run_id = n.step_run_id AND intDiv(s.at_us, 500000) = n.half_second
        WHERE off_us <= 500000 AND (s.step_key, s.step_run_id, s.kind) IN (SELECT step_key, step_run_id, span_kind FROM calls WHERE lacks_spans)
        GROUP BY n.event_key, s.kind
    )
SELECT span_key, argMin(its_attempt, (off_least_us, its_attempt))
FROM nearest_to_attempt
GROUP BY span_key
UNION ALL
SELECT first_span, first_attempt
FROM calls
WHERE NOT lacks_spans AND first_attempt > 1
