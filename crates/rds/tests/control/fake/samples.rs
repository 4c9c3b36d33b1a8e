//! What a test begins with: an instance of much that is no default, and a cluster of Aurora.

use std::collections::VecDeque;

use super::{Db, Fake, Parameters};

impl Fake {
    /// A source with much that is not RDS's default.
    pub(crate) fn put_shop(&self) {
        let fields = [
            ("DBInstanceClass", "db.m6g.large"),
            ("Engine", "postgres"),
            ("EngineVersion", "16.3"),
            ("AllocatedStorage", "100"),
            ("StorageType", "gp3"),
            ("BackupRetentionPeriod", "7"),
            ("PreferredBackupWindow", "03:00-03:30"),
            ("PreferredMaintenanceWindow", "sun:04:00-sun:04:30"),
            ("MultiAZ", "true"),
            ("DeletionProtection", "true"),
            ("IAMDatabaseAuthenticationEnabled", "true"),
            ("CACertificateIdentifier", "rds-ca-rsa2048-g1"),
            ("DBParameterGroupName", "shop-pg16"),
            ("OptionGroupName", "default:postgres-16"),
            ("DBSubnetGroupName", "private"),
            ("Port", "5433"),
        ];
        let shop = Db {
            id: "db-SHOP".into(),
            states: ["available"].into(),
            fields: fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            groups: vec!["sg-1".into(), "sg-2".into()],
            tags: [("team".to_owned(), "a".to_owned()), ("aws:x".to_owned(), "y".to_owned())].into(),
        };
        self.with(|state| state.dbs.insert("shop".into(), shop));
    }

    /// A cluster of Aurora with one instance, `pool-1`.
    pub(crate) fn put_pool(&self) {
        let fields = |fields: &[(&str, &str)]| -> Parameters {
            fields.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let of_cluster = fields(&[
            ("Engine", "aurora-postgresql"),
            ("EngineVersion", "16.3"),
            ("Port", "5433"),
            ("BackupRetentionPeriod", "7"),
            ("DeletionProtection", "true"),
            ("PreferredMaintenanceWindow", "sun:04:00-sun:04:30"),
            ("DBSubnetGroupName", "private"),
            ("DBClusterParameterGroupName", "pool-cluster"),
        ]);
        let of_instance = fields(&[
            ("Engine", "aurora-postgresql"),
            ("DBInstanceClass", "db.r6g.large"),
            ("DBClusterIdentifier", "pool"),
            ("DBParameterGroupName", "pool-pg"),
            ("PromotionTier", "2"),
            ("Port", "5433"),
        ]);
        let (states, groups) = (VecDeque::from(["available"]), vec!["sg-1".to_owned(), "sg-2".to_owned()]);
        let db = |id: &str, fields| Db {
            id: id.to_owned(),
            states: states.clone(),
            fields,
            groups: groups.clone(),
            tags: Parameters::new(),
        };
        self.with(|state| {
            state.clusters.insert("pool".into(), db("cluster-POOL", of_cluster));
            state.dbs.insert("pool-1".into(), db("db-POOL", of_instance));
        });
    }
}
