-- Which alerts are part of which incident, by phase, and what are they about?
-- days = 30
SELECT incident_id, number AS phase, toString(team) AS team, rule_id, severity_id, toString(status) AS status, title,
    arrayStringConcat(arrayMap((kind, value) -> concat(kind, ' ', value), mapKeys(entities), mapValues(entities)), ', ') AS concerns, first_event_time
FROM v_alerts
ARRAY JOIN if(empty(phases), [toInt8(0)], phases) AS number
WHERE incident_id != '' AND ts >= now() - toIntervalDay({days:UInt16})
ORDER BY incident_id, phase, first_event_time, rule_id, team
LIMIT 1000;
