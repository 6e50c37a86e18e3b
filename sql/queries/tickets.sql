-- How many tickets were opened and closed, and what is left?
-- days = 30
--
-- One that is opened again counts again.
SELECT project, countIf(event_type = 'ticket.created' OR attributes['action'] = 'reopened') AS opened, countIf(event_type = 'ticket.closed') AS closed, opened - closed AS more
FROM v_events
WHERE startsWith(event_type, 'ticket.') AND event_time >= now() - toIntervalDay({days:UInt16})
GROUP BY project
ORDER BY opened DESC;
