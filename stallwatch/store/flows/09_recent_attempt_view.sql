-- What a fold writes of attempts is recent for a while.
CREATE MATERIALIZED VIEW recent_attempt_view TO recent_attempt AS
SELECT *
FROM attempt_fold
