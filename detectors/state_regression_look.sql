-- Whether any execution may have gone back at all.
SELECT 1
FROM
(
    SELECT execution_key FROM ({{state_regression_again}}) LIMIT 1
    UNION ALL
    SELECT execution_key FROM ({{state_regression_disordered}}) LIMIT 1
)
