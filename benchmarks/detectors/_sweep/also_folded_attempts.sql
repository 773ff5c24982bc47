-- What is open stands in the fold too.
INSERT INTO attempt_fold SELECT * EXCEPT (execution_status, execution_suspended_s) FROM open_attempt
