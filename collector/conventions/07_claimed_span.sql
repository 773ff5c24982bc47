-- The claimed spans wait for the next fold, which runs each convention once over all that came meanwhile.
CREATE MATERIALIZED VIEW claimed_span_view TO claimed_span AS
SELECT * EXCEPT (resource)
FROM claimed_span_flow
WHERE claimed_by != ''
