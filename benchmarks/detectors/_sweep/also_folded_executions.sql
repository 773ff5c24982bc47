-- As the attempts.
INSERT INTO execution_fold SELECT * FROM open_execution
