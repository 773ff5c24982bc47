-- A week of deliveries, each sender's every two seconds.
INSERT INTO sender_beat (sender, namespace, received_at, accepted, lag_s)
SELECT concat('sender-', toString(number % {senders:UInt64})), 'default', {now:DateTime64(6, 'UTC')} - toIntervalMillisecond(intDiv(number, {senders:UInt64}) * 2000 + sipHash64(number) % 900), 100, 0.05
FROM numbers({senders:UInt64} * 302400)
