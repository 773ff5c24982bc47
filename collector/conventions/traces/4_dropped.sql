-- What was read is not kept in memory until the next time.
DROP TEMPORARY TABLE IF EXISTS fold_node
