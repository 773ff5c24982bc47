-- The first batch that told of the execution: its events are not looked for in parts of the log that are older.
ALTER TABLE execution_fold ADD COLUMN first_batch UInt64
