with namespaces as (
  select oid, nspname from pg_catalog.pg_namespace
  where nspname !~ '^pg_(toast|temp)' and nspname not in ('pg_catalog', 'information_schema')
), relations as (
  select c.oid, n.nspname, c.relname, c.relkind, c.relowner, c.reltuples, c.relispartition,
         c.relpartbound,
         case c.relkind when 'r' then 'table' when 'p' then 'partitioned_table' when 'f' then 'foreign_table'
              when 'v' then 'view' when 'm' then 'materialized_view' when 'S' then 'sequence' end as kind
  from pg_catalog.pg_class c join namespaces n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'f', 'v', 'm', 'S')
), attributes as (
  select a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated
  from pg_catalog.pg_attribute a join relations r on r.oid = a.attrelid
  where a.attnum > 0 and not a.attisdropped
), things as (
  select 'pg_catalog.pg_class'::pg_catalog.regclass as classid, oid as objid,
         case relkind when 'v' then 'view' when 'm' then 'materialized_view' when 'S' then 'sequence' else 'table' end as class,
         nspname::text as schema, relname::text as name, null::text as col
  from relations
  union all
  select 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, case t.typtype when 'd' then 'domain' else 'type' end,
         n.nspname::text, t.typname::text, null
  from pg_catalog.pg_type t join namespaces n on n.oid = t.typnamespace
  union all
  select 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 'function', n.nspname::text, p.proname::text, null
  from pg_catalog.pg_proc p join namespaces n on n.oid = p.pronamespace
  union all
  select 'pg_catalog.pg_namespace'::pg_catalog.regclass, oid, 'schema', null, nspname::text, null from namespaces
  union all
  select 'pg_catalog.pg_extension'::pg_catalog.regclass, oid, 'extension', null, extname::text, null
  from pg_catalog.pg_extension
  union all
  select 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, oid, 'server', null, srvname::text, null
  from pg_catalog.pg_foreign_server
  union all
  select 'pg_catalog.pg_rewrite'::pg_catalog.regclass, w.oid,
         case r.relkind when 'v' then 'view' when 'm' then 'materialized_view' else 'rule' end, r.nspname::text, r.relname::text, null
  from pg_catalog.pg_rewrite w join relations r on r.oid = w.ev_class
  union all
  -- A generated column goes with what its expression needs; another default alone goes, and its column stays.
  select 'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid, case when a.attgenerated <> '' then 'table' else 'other' end, r.nspname::text, r.relname::text, a.attname::text
  from pg_catalog.pg_attrdef d join relations r on r.oid = d.adrelid
  join attributes a on a.attrelid = d.adrelid and a.attnum = d.adnum
  union all
  select 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 'constraint', r.nspname::text, r.relname::text, k.conname::text
  from pg_catalog.pg_constraint k join relations r on r.oid = k.conrelid
), dependencies as (
  select distinct d.class as dependent_class, d.schema as dependent_schema, d.name as dependent_name,
         coalesce(d.col, da.attname::text) as dependent_column,
         o.class as on_class, o.schema as on_schema, o.name as on_name, coalesce(o.col, oa.attname::text) as on_column,
         p.deptype in ('a', 'i', 'P', 'S', 'e') as automatic
  from pg_catalog.pg_depend p
  join things d on d.classid = p.classid and d.objid = p.objid
  join things o on o.classid = p.refclassid and o.objid = p.refobjid
  left join attributes da on p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
       and da.attrelid = p.objid and da.attnum = p.objsubid
  left join attributes oa on p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
       and oa.attrelid = p.refobjid and oa.attnum = p.refobjsubid
  where (d.class, d.schema, d.name, coalesce(d.col, da.attname::text, '')) is distinct from
        (o.class, o.schema, o.name, coalesce(o.col, oa.attname::text, ''))
)
select pg_catalog.json_build_object(
  'server_major', pg_catalog.current_setting('server_version_num')::int / 10000,
  'search_path', pg_catalog.to_json(pg_catalog.current_schemas(false)),
  'time_zone', pg_catalog.current_setting('TimeZone'),
  'standard_conforming_strings', pg_catalog.current_setting('standard_conforming_strings', true),
  'relations', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', pg_catalog.json_build_object('schema', r.nspname, 'name', r.relname),
      'kind', r.kind,
      'owner', pg_catalog.pg_get_userbyid(r.relowner),
      'bytes', case when r.relkind in ('r', 'm') then pg_catalog.pg_total_relation_size(r.oid) end,
      'rows', case when r.relkind in ('r', 'm', 'p') then r.reltuples end,
      'columns', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname,
                         'type_name', pg_catalog.format_type(a.atttypid, a.atttypmod)) order by a.attnum), '[]')
                  from attributes a where a.attrelid = r.oid),
      'parents', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('schema', q.nspname, 'name', q.relname)), '[]')
                  from pg_catalog.pg_inherits i join relations q on q.oid = i.inhparent where i.inhrelid = r.oid),
      'default_partition', coalesce(pg_catalog.pg_get_expr(r.relpartbound, r.oid) = 'DEFAULT', false),
      'indexes', (select coalesce(pg_catalog.json_agg(c.relname), '[]')
                  from pg_catalog.pg_index x join pg_catalog.pg_class c on c.oid = x.indexrelid where x.indrelid = r.oid)
    ) order by r.nspname, r.relname), '[]') from relations r),
  'foreign_keys', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', k.conname,
      'table', pg_catalog.json_build_object('schema', r.nspname, 'name', r.relname),
      'parent', pg_catalog.json_build_object('schema', q.nspname, 'name', q.relname),
      'columns', (select pg_catalog.json_agg(a.attname) from attributes a where a.attrelid = k.conrelid and a.attnum = any (k.conkey)),
      'parent_columns', (select pg_catalog.json_agg(a.attname) from attributes a where a.attrelid = k.confrelid and a.attnum = any (k.confkey)),
      'on_delete', case k.confdeltype when 'a' then 'no_action' when 'r' then 'restrict' when 'c' then 'cascade' when 'n' then 'set_null' else 'set_default' end,
      'on_update', case k.confupdtype when 'a' then 'no_action' when 'r' then 'restrict' when 'c' then 'cascade' when 'n' then 'set_null' else 'set_default' end
    ) order by r.nspname, r.relname, k.conname), '[]')
    from pg_catalog.pg_constraint k join relations r on r.oid = k.conrelid join relations q on q.oid = k.confrelid
    where k.contype = 'f'),
  'triggers', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', t.tgname,
      'table', pg_catalog.json_build_object('schema', r.nspname, 'name', r.relname),
      'function', pg_catalog.json_build_object('schema', n.nspname, 'name', p.proname),
      'before_row', t.tgtype::int & 3 = 3,
      'events', pg_catalog.array_to_json(pg_catalog.array_remove(array[
          case when t.tgtype::int & 4 > 0 then 'insert' end, case when t.tgtype::int & 8 > 0 then 'delete' end,
          case when t.tgtype::int & 16 > 0 then 'update' end, case when t.tgtype::int & 32 > 0 then 'truncate' end], null))
    ) order by r.nspname, r.relname, t.tgname), '[]')
    from pg_catalog.pg_trigger t join relations r on r.oid = t.tgrelid
    join pg_catalog.pg_proc p on p.oid = t.tgfoid join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where not t.tgisinternal and t.tgenabled <> 'D'),
  'expressions', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', e.name,
      'table', pg_catalog.json_build_object('schema', r.nspname, 'name', r.relname),
      'function', pg_catalog.json_build_object('schema', n.nspname, 'name', p.proname),
      'events', e.events
    ) order by r.nspname, r.relname, e.name, n.nspname, p.proname, p.oid), '[]')
    from (
      select 'pg_catalog.pg_attrdef'::pg_catalog.regclass as classid, oid, adrelid as relid, 'default' as name,
             pg_catalog.json_build_array('insert', 'update') as events
      from pg_catalog.pg_attrdef
      union all
      select 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid, conrelid, conname::text,
             pg_catalog.json_build_array('insert', 'update')
      from pg_catalog.pg_constraint where contype = 'c'
      union all
      select 'pg_catalog.pg_policy'::pg_catalog.regclass, oid, polrelid, polname::text,
             pg_catalog.json_build_array('insert', 'update', 'delete')
      from pg_catalog.pg_policy
    ) e join relations r on r.oid = e.relid
    join (select distinct classid, objid, refobjid from pg_catalog.pg_depend
          where refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass) d on d.classid = e.classid and d.objid = e.oid
    join pg_catalog.pg_proc p on p.oid = d.refobjid join namespaces n on n.oid = p.pronamespace),
  'rules', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'table', pg_catalog.json_build_object('schema', r.nspname, 'name', r.relname),
      'definition', pg_catalog.pg_get_ruledef(w.oid)) order by r.nspname, r.relname, w.rulename), '[]')
    from pg_catalog.pg_rewrite w join relations r on r.oid = w.ev_class
    where w.ev_type <> '1' and w.ev_enabled <> 'D'),
  'routines', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', pg_catalog.json_build_object('schema', n.nspname, 'name', p.proname),
      'language', l.lanname,
      'source', coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc),
      'search_path', (select pg_catalog.substr(s, 13) from pg_catalog.unnest(p.proconfig) s where s like 'search_path=%'),
      'defaults', pg_catalog.pg_get_expr(p.proargdefaults, 0),
      'volatile', p.provolatile = 'v',
      'of_extension', exists (select 1 from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                              and d.objid = p.oid and d.deptype = 'e')
    ) order by n.nspname, p.proname, p.oid), '[]')
    from pg_catalog.pg_proc p join namespaces n on n.oid = p.pronamespace join pg_catalog.pg_language l on l.oid = p.prolang),
  'event_triggers', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('schema', n.nspname, 'name', p.proname)), '[]')
    from pg_catalog.pg_event_trigger e join pg_catalog.pg_proc p on p.oid = e.evtfoid
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace where e.evtenabled <> 'D'),
  'domains', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', pg_catalog.json_build_object('schema', n.nspname, 'name', t.typname),
      'base', pg_catalog.format_type(t.typbasetype, t.typtypmod),
      'constrained', t.typnotnull or exists (select 1 from pg_catalog.pg_constraint k where k.contypid = t.oid))), '[]')
    from pg_catalog.pg_type t join namespaces n on n.oid = t.typnamespace where t.typtype = 'd'),
  'dependencies', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'dependent', pg_catalog.json_build_object('class', dependent_class, 'column', dependent_column,
          'name', pg_catalog.json_build_object('schema', dependent_schema, 'name', dependent_name)),
      'on', pg_catalog.json_build_object('class', on_class, 'column', on_column,
          'name', pg_catalog.json_build_object('schema', on_schema, 'name', on_name)),
      'automatic', automatic)), '[]') from dependencies)
)::text
