-- From an artifact back to its run, its commit, the change and who approved it; and on to where it runs.
-- digest = sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
WITH RECURSIVE lineage AS
(
    SELECT 'artifact' AS kind, {digest:String} AS id, '' AS rel, toUInt8(0) AS depth
    UNION ALL
    SELECT toString(l.to_kind), l.to_id, toString(l.rel), toUInt8(x.depth + 1)
    FROM v_entity_links AS l INNER JOIN lineage AS x ON l.from_kind = x.kind AND l.from_id = x.id
    WHERE x.depth < 8
)
SELECT depth, rel, kind, id
FROM lineage
WHERE rel != 'contains'
GROUP BY ALL
ORDER BY depth, rel, id;
