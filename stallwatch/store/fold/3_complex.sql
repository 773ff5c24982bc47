-- The steps whose events have to be put in order to know which attempt each belongs to. Most need not: where every call of a
-- step has its own id (or the step was called once), one road tells of it, and it opens before it ends once, its events are one attempt.
INSERT INTO fold_complex
SELECT step_key, min(least_trust) != max(most_trust)
FROM
(
    SELECT
        step_key, step_run_id,
        maxIf(time, opens) AS opened_at, minIf(time, ends) AS ended_at,
        maxIf(sequence, opens) AS opened_sequence, minIf(sequence, ends) AS ended_sequence,
        countIf(opens) > 0 AND countIf(ends) > 0 AS is_whole,
        min(trust) AS least_trust, max(trust) AS most_trust,
        is_whole AND opened_at = ended_at AS is_instant,
        countIf(ends) > 1 OR countIf(kind = 'retrying') > 0 OR min(attempt) != max(attempt)
            OR (is_whole AND (opened_at > ended_at OR opened_sequence > ended_sequence OR (opened_at = ended_at AND countIf(kind IN ('started', 'waiting')) > 1)))
            -- The ends of Temporal's attempts tell by their span which start they belong to.
            OR (max(is_temporal_span) AND (countIf(kind = 'started') != 1 OR minIf(span_id, kind != 'scheduled') != maxIf(span_id, kind != 'scheduled'))) AS is_tangled
    FROM
    (
        SELECT
            *,
            kind IN ('scheduled', 'started', 'waiting') AS opens,
            kind IN ('completed', 'cancelled', 'skipped', 'failed', 'timed_out') AS ends,
            engine = 'temporal' AND road = 'span' AS is_temporal_span
        FROM fold_event
        WHERE step_key != 0
    )
    GROUP BY step_key, step_run_id
)
GROUP BY step_key
HAVING max(is_tangled) OR min(least_trust) != max(most_trust) OR (count() > 1 AND (min(step_run_id) = '' OR max(is_instant)))
