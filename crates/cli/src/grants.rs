//! What a role needs in PostgreSQL, for `init --print-grants`: a script for psql.

use crate::arguments::PolicyRole;

/// Reads everything: tables by the predefined role, past row security, and the large objects that there are.
const READ_ALL: &str = r#"GRANT CONNECT ON DATABASE :"DBNAME" TO {role};
GRANT pg_read_all_data TO {role};
-- Without this, rows behind row security would be missing, and the backup refuses.
ALTER ROLE {role} BYPASSRLS;
-- Large objects need a grant each: run this again when new ones came.
SELECT format('GRANT SELECT ON LARGE OBJECT %s TO {role}', oid) FROM pg_largeobject_metadata \gexec
"#;

/// Sees who waits for whom, and may cancel who holds up others.
const WATCH: &str = "-- To see whom the command waits for, and to cancel it with --cancel-blocked-after.
GRANT pg_read_all_stats, pg_signal_backend TO {role};
";

/// Compares which database it is.
const CONNECT: &str = r#"-- To see that the folder belongs to this database; prune --offline does not even need that.
GRANT CONNECT ON DATABASE :"DBNAME" TO {role};
"#;

/// Makes databases and gives objects to their owners.
const RESTORE: &str = r#"ALTER ROLE {role} CREATEDB;
-- What is restored is compared, behind forced row security too.
ALTER ROLE {role} BYPASSRLS;
-- To make the owners of what is restored its owners again; without, restore with --no-owner --no-privileges.
SELECT DISTINCT format('GRANT %I TO {role}', owner.rolname)
  FROM pg_shdepend AS dependency JOIN pg_roles AS owner ON owner.oid = dependency.refobjid
 WHERE dependency.refclassid = 'pg_authid'::regclass AND dependency.deptype = 'o' AND NOT owner.rolsuper
   AND owner.rolname <> '{role}'
   AND dependency.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \gexec
"#;

/// Writes the script. It may be run again, and gives no password.
pub(crate) fn grants(role: PolicyRole) -> String {
    let (name, rights): (&str, &[&str]) = match role {
        PolicyRole::Writer => ("holdpoint_writer", &[READ_ALL]),
        PolicyRole::Cron => ("holdpoint_cron", &[READ_ALL]),
        PolicyRole::Guard => ("holdpoint_guard", &[READ_ALL, WATCH]),
        PolicyRole::Pruner => ("holdpoint_pruner", &[CONNECT]),
        PolicyRole::Restorer => ("holdpoint_restorer", &[RESTORE]),
        PolicyRole::Verifier => {
            return "-- A verifier needs nothing here: it reads the repository and restores into a scratch server.\n"
                .into();
        }
    };
    let head = "-- As a superuser, or the provider's administrator, in the database itself: psql -X -f FILE URL
-- Then give the role a password: \\password {role}
\\set ON_ERROR_STOP on
SELECT 'CREATE ROLE {role} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') \\gexec
";
    [&[head], rights].concat().concat().replace("{role}", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_their_role_and_no_other() {
        for (role, name) in [
            (PolicyRole::Writer, "holdpoint_writer"),
            (PolicyRole::Guard, "holdpoint_guard"),
            (PolicyRole::Cron, "holdpoint_cron"),
            (PolicyRole::Pruner, "holdpoint_pruner"),
            (PolicyRole::Restorer, "holdpoint_restorer"),
        ] {
            let script = grants(role);
            assert!(script.contains(&format!("CREATE ROLE {name} LOGIN")), "{script}");
            assert!(!script.contains("{role}"), "{script}");
            assert!(!script.to_lowercase().contains("superuser ") && !script.contains("PASSWORD '"), "{script}");
            assert_eq!(
                script.contains("pg_read_all_data"),
                matches!(role, PolicyRole::Writer | PolicyRole::Guard | PolicyRole::Cron)
            );
        }
        assert!(grants(PolicyRole::Verifier).starts_with("-- "));
    }
}
