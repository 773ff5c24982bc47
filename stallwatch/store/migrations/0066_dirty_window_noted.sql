-- By the server's clock: the marks of processes that fold beside each other are in no order.
ALTER TABLE dirty_window ADD COLUMN noted_us UInt64 DEFAULT 0
