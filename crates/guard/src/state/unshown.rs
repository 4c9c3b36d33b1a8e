//! What a command may leave that pg_dump does not show, and that no transaction takes back or no counter counts.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::ledger::ChangedBeside;
use holdpoint_postgres::Session;

use super::code::{self, is_of_extension};
use crate::Error;

/// Things by their words, such as `subscription shop`, each with a digest of what can be read of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unshown {
    things: BTreeMap<String, String>,
    /// Roles and memberships in the same form: everybody's, so that others' are no change of this database.
    roles: BTreeMap<String, String>,
    /// What the session's role may not read.
    hidden: Vec<&'static str>,
}

/// Slots of a subscription's first copy, which come and go by themselves.
const OF_A_FIRST_COPY: &str = "pg\\_%\\_sync\\_%";

impl Unshown {
    /// Reads subscriptions and logical replication slots of this database, which of its constraints are not enforced and what
    /// the functions of its extensions and of `pg_catalog` are, and of the server its physical slots, replication origins and
    /// what ALTER SYSTEM wrote, and roles, as far as anybody may read them.
    pub(crate) async fn read(session: &Session) -> Result<Self, Error> {
        Self::with_code(session, code::read(session).await?).await
    }

    /// As [`read`](Self::read), with the functions, which take longest, read before.
    pub(super) async fn with_code(session: &Session, code: BTreeMap<String, String>) -> Result<Self, Error> {
        const WHAT: &str = "reading what no dump shows";
        let mut all = Self::default();
        // The connection of a subscription is hidden from most, and where it skips to changes by itself.
        let columns = "SELECT pg_catalog.string_agg(pg_catalog.quote_ident(attname), ', ' ORDER BY attnum) \
                       FROM pg_catalog.pg_attribute WHERE attrelid = 'pg_catalog.pg_subscription'::pg_catalog.regclass \
                         AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('subconninfo', 'subskiplsn') \
                         AND pg_catalog.has_column_privilege(attrelid, attnum, 'SELECT')";
        let columns: Option<String> = session.query_one(WHAT, columns, &[]).await?.get(0);
        let mut queries = vec![format!(
            "SELECT pg_catalog.format('replication slot %I', slot_name), pg_catalog.concat_ws(' ', plugin, slot_type) \
             FROM pg_catalog.pg_replication_slots WHERE NOT temporary AND slot_name NOT LIKE '{OF_A_FIRST_COPY}' \
               AND COALESCE(database = pg_catalog.current_database(), true)"
        )];
        // Switched off by DISABLE TRIGGER ALL: what is not enforced is in no dump.
        queries.push(
            "SELECT pg_catalog.format('unenforced constraint %I of %I.%I', k.conname, n.nspname, c.relname), \
                    pg_catalog.string_agg(t.tgenabled::text, '' ORDER BY t.tgtype) \
             FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_constraint k ON k.oid = t.tgconstraint \
             JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE t.tgisinternal AND t.tgenabled <> 'O' GROUP BY 1"
                .to_owned(),
        );
        // Those of subscriptions come and go with them.
        queries.push(
            "SELECT pg_catalog.format('replication origin %I', roname), '' FROM pg_catalog.pg_replication_origin \
             WHERE roname NOT LIKE 'pg\\_%'"
                .to_owned(),
        );
        match columns {
            Some(columns) => queries.push(format!(
                "SELECT pg_catalog.format('subscription %I', subname), pg_catalog.md5(ROW({columns})::text) \
                 FROM pg_catalog.pg_subscription WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database \
                                                                  WHERE datname = pg_catalog.current_database())"
            )),
            None => all.hidden.push("subscriptions"),
        }
        let may = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_file_settings', 'SELECT') \
                   AND pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE')";
        if session.query_one(WHAT, may, &[]).await?.get(0) {
            queries.push(
                "SELECT pg_catalog.format('the server''s setting %I', name), \
                        pg_catalog.md5(pg_catalog.string_agg(COALESCE(setting, ''), ',' ORDER BY seqno)) \
                 FROM pg_catalog.pg_file_settings WHERE sourcefile LIKE '%postgresql.auto.conf' GROUP BY name"
                    .to_owned(),
            );
        } else {
            all.hidden.push("the server's settings (ALTER SYSTEM)");
        }
        for sql in queries {
            let rows = session.query(WHAT, &sql, &[]).await?;
            all.things.extend(rows.iter().map(|row| (row.get::<_, String>(0), row.get::<_, String>(1))));
        }
        all.things.extend(code);
        // Without passwords: the view hides them.
        let roles = "SELECT pg_catalog.format('role %I', r.rolname), pg_catalog.md5(ROW(r.*)::text) \
                     FROM pg_catalog.pg_roles r \
                     UNION ALL SELECT pg_catalog.format('membership of %s in %s', m.member::pg_catalog.regrole, \
                                                        m.roleid::pg_catalog.regrole), \
                                      pg_catalog.string_agg(m.admin_option::text, ',' ORDER BY m.grantor) \
                     FROM pg_catalog.pg_auth_members m GROUP BY m.member, m.roleid";
        let rows = session.query(WHAT, roles, &[]).await?;
        all.roles = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(all)
    }

    /// What came, went or changed until later, roles included, as it was before.
    pub(super) fn changed_beside(&self, later: &Self) -> Vec<ChangedBeside> {
        let names: BTreeSet<&String> =
            [&self.things, &self.roles, &later.things, &later.roles].into_iter().flat_map(BTreeMap::keys).collect();
        let changed = names.into_iter().filter(|name| self.digest(name) != later.digest(name));
        let changed = changed.filter(|name| !is_of_extension(name) || self.has_both(later, name));
        changed.map(|name| ChangedBeside { what: name.clone(), before: self.digest(name).cloned() }).collect()
    }

    /// Whether it was and is there: that an extension came, went or has another version is told as that.
    fn has_both(&self, later: &Self, name: &str) -> bool {
        self.digest(name).is_some() && later.digest(name).is_some()
    }

    fn digest(&self, name: &str) -> Option<&String> {
        self.things.get(name).or_else(|| self.roles.get(name))
    }

    /// What of that which a run, or others meanwhile, changed is still not as before, in words; this is how it is now.
    pub(crate) fn still(&self, changed: &[ChangedBeside]) -> Vec<String> {
        let hidden = |what: &str| self.hidden.iter().any(|hidden| what.starts_with(hidden.trim_end_matches('s')));
        let word = |one: &ChangedBeside| match (&one.before, self.digest(&one.what)) {
            (Some(before), Some(now)) if before == now => None,
            (None, None) => None,
            (None, _) | (_, None) if is_of_extension(&one.what) => None,
            (None, Some(_)) => Some(format!("{} is still there", one.what)),
            (Some(_), None) if hidden(&one.what) => Some(format!("{} cannot be read now", one.what)),
            (Some(_), None) => Some(format!("{} is gone", one.what)),
            (Some(_), Some(_)) => Some(format!("{} is not as before", one.what)),
        };
        changed.iter().filter_map(word).collect()
    }

    /// Lists what differs later, in words.
    pub(super) fn changes(&self, later: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.things.keys().chain(later.things.keys()).collect();
        let differs = |name: &&String| {
            let word = match (self.things.get(*name), later.things.get(*name)) {
                (Some(before), Some(now)) if before == now => return None,
                (Some(_), Some(_)) => "changed",
                _ if is_of_extension(name) => return None,
                (None, _) => "new",
                (_, None) => "gone",
            };
            Some(format!("{name} ({word})"))
        };
        names.iter().filter_map(differs).collect()
    }

    /// What could not be read before or later, and so is not part of *unchanged*.
    pub(super) fn not_read(&self, later: &Self) -> Vec<&'static str> {
        let all: BTreeSet<&'static str> = self.hidden.iter().chain(&later.hidden).copied().collect();
        all.into_iter().collect()
    }
}

/// Transactions of this database that were prepared for a commit in two phases and still are.
pub(crate) async fn prepared(session: &Session) -> Result<BTreeSet<String>, Error> {
    let sql = "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()";
    let rows = session.query("looking for prepared transactions", sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Tables that prepared transactions have locked against every reader: nobody reads the schema before they are ended.
pub(crate) async fn locked_by_prepared(session: &Session) -> Result<Vec<String>, Error> {
    let sql = "SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_locks l \
               JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database() \
               JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE l.pid IS NULL AND l.granted AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p') ORDER BY 1";
    let rows = session.query("looking for locks of prepared transactions", sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_changed_beside_is_told_until_it_is_as_before() {
        let map = |all: &[(&str, &str)]| all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let state = |things: &[(&str, &str)], roles: &[(&str, &str)]| Unshown {
            things: map(things),
            roles: map(roles),
            hidden: Vec::new(),
        };
        let before = state(&[("subscription s", "1")], &[("role app", "1"), ("role old", "1"), ("role same", "1")]);
        let after = state(&[("replication slot c", "p")], &[("role app", "2"), ("role new", "1"), ("role same", "1")]);
        let changed = before.changed_beside(&after);
        let told = ["replication slot c is still there", "role app is not as before", "role new is still there"];
        assert_eq!(after.still(&changed), [&told[..], &["role old is gone", "subscription s is gone"]].concat());
        assert_eq!(before.still(&changed), [""; 0]);
        let later = state(&[("subscription s", "1")], &[("role app", "1"), ("role old", "1"), ("role new", "1")]);
        assert_eq!(later.still(&changed), ["role new is still there"]);
        assert_eq!(before.changes(&state(&[("subscription s", "1")], &[])), [""; 0], "roles are everybody's");
    }

    #[test]
    fn functions_of_an_extension_are_compared_within_one_version_of_it() {
        let state = |things: &[(&str, &str)]| Unshown {
            things: things.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            ..Unshown::default()
        };
        let before =
            state(&[("code of extension a 1.0", "1"), ("code of extension b 1.0", "1"), ("code of pg_catalog", "1")]);
        let after =
            state(&[("code of extension a 1.0", "2"), ("code of extension b 1.1", "1"), ("code of pg_catalog", "2")]);
        assert_eq!(before.changes(&after), ["code of extension a 1.0 (changed)", "code of pg_catalog (changed)"]);
        let changed = before.changed_beside(&after);
        assert_eq!(changed.len(), 2, "{changed:?}");
        let still = ["code of extension a 1.0 is not as before", "code of pg_catalog is not as before"];
        assert_eq!(after.still(&changed), still);
        let updated = state(&[("code of extension a 1.1", "3"), ("code of pg_catalog", "1")]);
        assert_eq!(updated.still(&changed), [""; 0]);
    }
}
