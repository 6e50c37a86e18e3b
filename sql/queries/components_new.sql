-- Which third-party components came in for the first time?
-- days = 7
SELECT other_id AS component, min(first_seen) AS first, uniqExact(id) AS artifacts
FROM entity_links
WHERE kind = 'artifact' AND rel = 'contains'
GROUP BY component
HAVING first >= now() - toIntervalDay({days:UInt16})
ORDER BY first DESC, component
LIMIT 500;
