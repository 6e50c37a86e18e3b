-- Which leaked credentials were used after the leak, from where?
-- days = 30
SELECT s.credential AS credential, s.leaked AS leaked, e.event_time AS used, e.event_type AS how, e.actor AS actor, replaceOne(toString(e.src_ip), '::ffff:', '') AS address, e.title AS title
FROM v_events AS e
INNER JOIN
(
    SELECT arrayJoin(arrayFilter(x -> x != '', [attributes['credential'], attributes['credential.id']])) AS credential, min(event_time) AS leaked
    FROM v_events
    WHERE event_type = 'secret.detected'
    GROUP BY credential
) AS s ON if(e.attributes['credential.id'] != '', e.attributes['credential.id'], e.attributes['credential']) = s.credential
WHERE e.event_type IN ('auth.success', 'api.call') AND e.event_time >= s.leaked AND e.event_time >= now() - toIntervalDay({days:UInt16})
ORDER BY used;
