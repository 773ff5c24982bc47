SELECT count() AS n, if({is_shared:UInt8}, toUInt64(toUnixTimestamp64Micro(now64(6))), max(batch)) AS upto
FROM dirty_window
WHERE if({is_shared:UInt8}, noted_us, batch) > {after:UInt64}
