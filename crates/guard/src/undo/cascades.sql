WITH RECURSIVE roots AS (
  SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass::oid AS classid, n.oid AS objid, 0 AS objsubid
  FROM pg_catalog.pg_namespace n WHERE $1::text = 'schema' AND n.nspname = $3::text
  UNION ALL
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, coalesce(a.attnum, 0)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $4::text AND a.attnum > 0 AND NOT a.attisdropped
  WHERE $1::text = 'relation' AND c.relname = $3::text AND ($4::text IS NULL OR a.attnum IS NOT NULL)
    AND (n.nspname = $2::text OR $2::text IS NULL AND pg_catalog.pg_table_is_visible(c.oid))
  UNION ALL
  SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, 0
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  WHERE $1::text = 'type' AND t.typname = $3::text
    AND (n.nspname = $2::text OR $2::text IS NULL AND pg_catalog.pg_type_is_visible(t.oid))
  UNION ALL
  SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE $1::text = 'function' AND p.proname = $3::text
    AND (n.nspname = $2::text OR $2::text IS NULL AND pg_catalog.pg_function_is_visible(p.oid))
  UNION ALL
  SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 0
  FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE $1::text = 'constraint' AND c.relname = $3::text AND k.conname = $4::text
    AND (n.nspname = $2::text OR $2::text IS NULL AND pg_catalog.pg_table_is_visible(c.oid))
  UNION ALL
  SELECT 'pg_catalog.pg_collation'::pg_catalog.regclass, l.oid, 0
  FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
  WHERE $1::text = 'collation' AND l.collname = $3::text
    AND (n.nspname = $2::text OR $2::text IS NULL AND pg_catalog.pg_collation_is_visible(l.oid))
  UNION ALL
  SELECT 'pg_catalog.pg_extension'::pg_catalog.regclass, e.oid, 0
  FROM pg_catalog.pg_extension e WHERE $1::text = 'extension' AND e.extname = $3::text
), goes AS (
  SELECT classid, objid, objsubid FROM roots
  UNION
  SELECT d.classid, d.objid, d.objsubid FROM goes g CROSS JOIN LATERAL (
    SELECT d.classid, d.objid, d.objsubid FROM pg_catalog.pg_depend d
    WHERE d.refclassid = g.classid AND d.refobjid = g.objid AND (g.objsubid = 0 OR d.refobjsubid = g.objsubid)
    UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, r.ev_class, 0 FROM pg_catalog.pg_rewrite r
    WHERE g.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = g.objid AND r.rulename = '_RETURN'
  ) d
), whole AS (
  SELECT objid FROM goes WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND objsubid = 0
), parts AS (
  SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::oid AS classid, oid AS objid, conrelid AS relid
  FROM pg_catalog.pg_constraint
  UNION ALL SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, oid, adrelid FROM pg_catalog.pg_attrdef
  UNION ALL SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, oid, tgrelid FROM pg_catalog.pg_trigger
  UNION ALL SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, oid, polrelid FROM pg_catalog.pg_policy
  UNION ALL SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass, oid, ev_class FROM pg_catalog.pg_rewrite
  UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, oid, stxrelid FROM pg_catalog.pg_statistic_ext
  UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, indexrelid, indrelid FROM pg_catalog.pg_index
)
SELECT DISTINCT (i.type || ' ' || i.identity)::text, coalesce(i.schema, '')::text,
       coalesce(a.attname, c.relname, p.proname, k.conname, i.name, i.identity)::text, coalesce(t.relname, '')::text,
       coalesce(c.relkind IN ('r', 'p', 'm') AND g.objsubid = 0, false)
FROM goes g
CROSS JOIN LATERAL pg_catalog.pg_identify_object(g.classid, g.objid, g.objsubid) i
LEFT JOIN pg_catalog.pg_class c ON g.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = g.objid
LEFT JOIN pg_catalog.pg_attribute a ON g.objsubid <> 0 AND a.attrelid = c.oid AND a.attnum = g.objsubid
LEFT JOIN pg_catalog.pg_proc p ON g.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = g.objid
LEFT JOIN pg_catalog.pg_constraint k ON g.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = g.objid
LEFT JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
WHERE (g.classid, g.objid, g.objsubid) NOT IN (SELECT classid, objid, objsubid FROM roots)
  AND (g.objsubid = 0 OR g.objid NOT IN (SELECT objid FROM whole))
  AND (c.oid IS NULL OR c.relkind NOT IN ('t', 'c'))
  AND g.classid NOT IN ('pg_catalog.pg_publication_rel'::pg_catalog.regclass, 'pg_catalog.pg_default_acl'::pg_catalog.regclass,
                        'pg_catalog.pg_attrdef'::pg_catalog.regclass, 'pg_catalog.pg_amop'::pg_catalog.regclass,
                        'pg_catalog.pg_amproc'::pg_catalog.regclass)
  AND NOT EXISTS (SELECT FROM parts p WHERE p.classid = g.classid AND p.objid = g.objid AND p.relid IN (SELECT objid FROM whole))
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = g.classid AND d.objid = g.objid AND g.objsubid = 0 AND d.objsubid = 0
      AND CASE WHEN d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass THEN d.deptype = 'e'
               WHEN d.refclassid <> 'pg_catalog.pg_class'::pg_catalog.regclass THEN d.deptype = 'i'
               ELSE d.refobjid IN (SELECT objid FROM whole)
                    AND (d.deptype = 'i' OR d.deptype = 'a' AND (c.oid IS NULL OR c.relkind NOT IN ('r', 'p'))) END)
ORDER BY 1
