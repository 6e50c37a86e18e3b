-- Which sources send, how much, and since when is each silent?
-- days = 7
SELECT source, count() AS events, min(event_time) AS first, max(event_time) AS last, dateDiff('second', last, now()) AS silent_s
FROM v_events
WHERE event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY source
ORDER BY silent_s DESC;
