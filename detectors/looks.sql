-- When each sender that asks an engine last looked at it from end to end: such a look leaves a beat without items, received when it was
-- over, and as late as it took. What it saw is at least as new as its beginning.
SELECT sender, max(received_at - toIntervalMicrosecond(round(1e6 * lag_s))) AS looked_at
FROM sender_beat
WHERE startsWith(sender, {prefix:String})
    AND accepted = 0 AND rejected = 0 AND quarantined = 0
    AND received_at <= {until:DateTime64(6, 'UTC')}
GROUP BY sender
