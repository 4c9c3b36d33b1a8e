//! The roles and databases that an instance of the service begins with.

use super::{RDS_MASTER, RDS_MASTER_PASSWORD};
use crate::cluster::{Cluster, quote_identifier, quote_literal};

/// The superuser and the database that nobody but the service may use.
pub(super) const ADMIN: &str = "rdsadmin";

/// Lines of `pg_hba.conf` that come first: the service's own role and database are closed to the network.
pub(super) fn access() -> Vec<String> {
    ["host rdsadmin all all reject", "host all rdsadmin all reject", "host all all 127.0.0.0/8 scram-sha-256"]
        .map(str::to_owned)
        .to_vec()
}

/// Returns the SQL that makes what every instance has: `rdsadmin`, `rds_superuser` with its memberships, and the master
/// user, who is no superuser but owns the databases.
pub(super) fn set_up(major: u32) -> String {
    let mut granted = vec!["pg_monitor", "pg_signal_backend", "rds_password", "rds_replication"];
    granted.extend((major >= 15).then_some("pg_checkpoint"));
    if major >= 16 {
        granted.extend(["pg_use_reserved_connections", "pg_create_subscription"]);
    }
    granted.extend((major >= 17).then_some("pg_maintain"));
    let name = quote_identifier(RDS_MASTER);
    let mut sql: String = ["rds_superuser", "rds_password", "rds_replication", "rds_iam", "rds_ad", "rdstopmgr"]
        .map(|role| format!("CREATE ROLE {role} NOLOGIN;\n"))
        .concat();
    sql += &format!(
        "GRANT pg_monitor TO rdstopmgr;\n\
         GRANT {granted} TO rds_superuser WITH ADMIN OPTION;\n\
         CREATE ROLE {name} LOGIN CREATEDB CREATEROLE PASSWORD {password} VALID UNTIL 'infinity';\n\
         GRANT rds_superuser TO {name} WITH ADMIN OPTION;\n\
         CREATE DATABASE rdsadmin;\n\
         REVOKE ALL ON DATABASE rdsadmin FROM PUBLIC;\n\
         ALTER DATABASE postgres OWNER TO {name};\n\
         ALTER DATABASE template1 OWNER TO {name};\n",
        granted = granted.join(", "),
        password = quote_literal(RDS_MASTER_PASSWORD),
    );
    if major < 15 {
        sql += &format!("ALTER SCHEMA public OWNER TO {name};\n");
    }
    sql + &format!("CREATE DATABASE shop OWNER {name};\n")
}

/// Gives the master user another password.
pub(super) fn set_password(cluster: &Cluster, master: &str, password: &str) {
    let sql = format!("ALTER ROLE {} PASSWORD {}", quote_identifier(master), quote_literal(password));
    cluster.psql(ADMIN, &sql);
}
