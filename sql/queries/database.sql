-- Everything about a database: who did what to which of its tables, from how many addresses.
-- database = db-1/pay
-- days = 90
--
-- A database is host/name. Logins and attacks name its host alone: they are counted with it, of no table.
SELECT event_type, outcome, toString(db_object) AS table, actor, uniqExact(event_id) AS events, uniqExactIf(src_ip, src_ip != toIPv6('::')) AS addresses,
    min(event_time) AS first, max(event_time) AS last, anyLast(title) AS example
FROM events
WHERE host = splitByChar('/', {database:String})[1] AND event_time >= now() - toIntervalDay({days:UInt16})
    AND (db_name = splitByChar('/', {database:String})[2] OR (db_name = '' AND event_type IN ('auth.failed', 'auth.success', 'attack', 'detection')))
GROUP BY event_type, outcome, table, actor
ORDER BY last DESC
LIMIT 500;
