WITH RECURSIVE own AS (
  SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relname = $2::text AND (n.nspname = $1::text OR $1::text IS NULL AND pg_catalog.pg_table_is_visible(c.oid))
  UNION
  SELECT i.inhrelid FROM own JOIN pg_catalog.pg_inherits i ON i.inhparent = own.oid
), goes AS (
  SELECT oid FROM own
  UNION
  SELECT k.conrelid FROM goes JOIN pg_catalog.pg_constraint k ON k.confrelid = goes.oid AND k.contype = 'f'
)
SELECT ('contents of table ' || pg_catalog.format('%I.%I', n.nspname, c.relname))::text, n.nspname::text, c.relname::text,
       ''::text, true
FROM goes JOIN pg_catalog.pg_class c ON c.oid = goes.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE goes.oid NOT IN (SELECT oid FROM own)
  AND NOT (c.relispartition AND EXISTS (SELECT FROM pg_catalog.pg_inherits i
                                        WHERE i.inhrelid = c.oid AND i.inhparent IN (SELECT oid FROM goes)))
ORDER BY 1
