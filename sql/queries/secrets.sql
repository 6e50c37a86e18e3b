-- Which secrets were found, by which tools, where, and was the commit blocked?
-- days = 30
SELECT attributes['credential'] AS credential, groupUniqArray(toString(source)) AS tools, any(repo) AS repository,
    groupUniqArray(attributes['code.file.path']) AS files, groupUniqArray(toString(actor)) AS actors,
    countIf(disposition_id = 2) AS blocked, count() AS seen, min(event_time) AS first
FROM v_events
WHERE event_type = 'secret.detected' AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY credential
ORDER BY seen DESC;
