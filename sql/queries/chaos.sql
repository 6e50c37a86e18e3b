-- Which chaos experiments ran, on what, and what alerts fell into them?
-- days = 30
WITH experiments AS
(
    SELECT arrayFirst(l -> startsWith(l, 'chaos:'), labels) AS experiment, any(host) AS host, minIf(event_time, event_type = 'chaos.started') AS started, maxIf(event_time, event_type = 'chaos.finished') AS finished
    FROM v_events
    WHERE startsWith(event_type, 'chaos.') AND event_time >= now() - toIntervalDay({days:UInt16})
    GROUP BY experiment
)
SELECT x.experiment AS experiment, x.host AS host, x.started AS started, x.finished AS finished, countIf(a.first_event_time BETWEEN x.started AND x.finished) AS alerts
FROM experiments AS x LEFT JOIN v_alerts AS a ON 1 = 1
GROUP BY ALL
ORDER BY started;
