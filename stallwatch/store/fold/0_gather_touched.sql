INSERT INTO fold_touched
SELECT DISTINCT execution_key
FROM touched_execution
WHERE batch > {after:UInt64} AND batch <= {upto:UInt64}
    AND execution_key % {parts:UInt64} = {part:UInt64}
