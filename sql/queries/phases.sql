-- How many events came in each phase, how many failed, and how fresh are they?
-- days = 1
SELECT phase, count() AS events, countIf(outcome = 'failure') AS failed, uniqExact(source) AS sources, max(event_time) AS last
FROM v_events
WHERE event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY phase
ORDER BY phase;
