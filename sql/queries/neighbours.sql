-- What is linked to an entity, by which relation, since when?
-- kind = artifact
-- id = sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
SELECT rel, toString(side) AS side, other_kind, other_id, min(first_seen) AS first, max(last_seen) AS last, sum(n) AS times
FROM entity_links
WHERE kind = {kind:String} AND id = {id:String}
GROUP BY rel, side, other_kind, other_id
ORDER BY times DESC
LIMIT 500;
