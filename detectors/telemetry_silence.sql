-- Who was heard since the last calibration (which knows who was heard before), and when last.
SELECT sender, max(received_at) AS last_at
FROM sender_beat
WHERE NOT historical
    AND received_at > {from:DateTime64(6, 'UTC')}
    AND received_at <= {until:DateTime64(6, 'UTC')}
GROUP BY sender
