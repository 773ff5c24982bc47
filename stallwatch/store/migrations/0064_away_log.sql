-- When nobody took what senders sent, because no collector ran: a sender that is not heard then is not silent.
CREATE TABLE away_log
(
    began_at DateTime64(6, 'UTC'),
    ended_at DateTime64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY ended_at
