-- What the reports of earlier weeks found, the oldest first.
SELECT namespace, engine, workflow, step, ifNull(weekly_upper_s, recommended_timeout_s) AS upper_s, recommended_timeout_s AS recommended_s
FROM recommendations
WHERE week < {week:Date} AND week >= {since:Date} AND recommended_timeout_s > 0
ORDER BY week
