-- Which hosts answer with errors, and since when?
-- days = 1
SELECT host, toStartOfMinute(event_time) AS minute, count() AS requests, countIf(outcome IN ('failure', 'error')) AS failed, round(failed / requests, 3) AS share
FROM v_events
WHERE event_type = 'http.request' AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY host, minute
HAVING failed > 0
ORDER BY share DESC, minute
LIMIT 200;
