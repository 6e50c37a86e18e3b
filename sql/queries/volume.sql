-- How much is stored, by table?
SELECT table, sum(rows) AS rows, formatReadableSize(sum(data_compressed_bytes)) AS on_disk, round(sum(data_compressed_bytes) / rows, 1) AS bytes_a_row, min(min_time) AS oldest
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table
ORDER BY sum(data_compressed_bytes) DESC;
