//! Instances and clusters as RDS writes them.

use std::collections::BTreeMap;

use super::Db;

pub(super) fn told(name: &str, db: &mut Db, is_reading: bool) -> String {
    let state = db.states.front().copied().unwrap_or("available");
    if is_reading && db.states.len() > 1 {
        db.states.pop_front();
    }
    let plain = [
        "DBInstanceClass",
        "Engine",
        "EngineVersion",
        "AllocatedStorage",
        "StorageType",
        "BackupRetentionPeriod",
        "PreferredBackupWindow",
        "PreferredMaintenanceWindow",
        "MultiAZ",
        "DeletionProtection",
        "IAMDatabaseAuthenticationEnabled",
        "CACertificateIdentifier",
        "DBClusterIdentifier",
        "PromotionTier",
        "ReadReplicaSourceDBInstanceIdentifier",
    ];
    let field = |key: &str| db.fields.get(key).cloned().unwrap_or_default();
    let mut xml =
        format!("<DBInstanceIdentifier>{name}</DBInstanceIdentifier><DbiResourceId>{}</DbiResourceId>", db.id);
    xml += &format!(
        "<DBInstanceArn>arn:aws:rds:eu-west-1:1:db:{name}</DBInstanceArn><DBInstanceStatus>{state}</DBInstanceStatus>"
    );
    for key in plain {
        if db.fields.contains_key(key) {
            xml += &format!("<{key}>{}</{key}>", field(key));
        }
    }
    if field("BackupRetentionPeriod") != "0" {
        xml += "<LatestRestorableTime>2026-11-21T03:00:00Z</LatestRestorableTime>";
    }
    xml += &format!("<Endpoint><Address>{name}.local</Address><Port>{}</Port></Endpoint>", field("Port"));
    xml += &format!(
        "<DBSubnetGroup><DBSubnetGroupName>{}</DBSubnetGroupName></DBSubnetGroup>",
        field("DBSubnetGroupName")
    );
    xml += &format!(
        "<DBParameterGroups><DBParameterGroup><DBParameterGroupName>{}</DBParameterGroupName></DBParameterGroup></DBParameterGroups>",
        field("DBParameterGroupName")
    );
    xml += &format!(
        "<OptionGroupMemberships><OptionGroupMembership><OptionGroupName>{}</OptionGroupName></OptionGroupMembership></OptionGroupMemberships>",
        field("OptionGroupName")
    );
    let groups = db.groups.iter().map(|group| {
        format!(
            "<VpcSecurityGroupMembership><VpcSecurityGroupId>{group}</VpcSecurityGroupId></VpcSecurityGroupMembership>"
        )
    });
    xml += &format!("<VpcSecurityGroups>{}</VpcSecurityGroups>", groups.collect::<String>());
    let tags = db.tags.iter().map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"));
    xml += &format!("<TagList>{}</TagList>", tags.collect::<String>());
    format!("<I>{xml}</I>")
}

pub(super) fn cluster_told(
    name: &str,
    cluster: &mut Db,
    members: &BTreeMap<String, Vec<String>>,
    is_reading: bool,
) -> String {
    let state = cluster.states.front().copied().unwrap_or("available");
    if is_reading && cluster.states.len() > 1 {
        cluster.states.pop_front();
    }
    let mut xml = format!(
        "<DBClusterIdentifier>{name}</DBClusterIdentifier><DbClusterResourceId>{}</DbClusterResourceId>\
         <DBClusterArn>arn:aws:rds:eu-west-1:1:cluster:{name}</DBClusterArn><Status>{state}</Status>\
         <Endpoint>{name}.cluster.local</Endpoint><EngineMode>provisioned</EngineMode>\
         <EarliestRestorableTime>2026-11-14T03:00:00Z</EarliestRestorableTime>\
         <LatestRestorableTime>2026-11-21T03:00:00Z</LatestRestorableTime>",
        cluster.id
    );
    for (key, of) in [
        ("Engine", "Engine"),
        ("EngineVersion", "EngineVersion"),
        ("Port", "Port"),
        ("BackupRetentionPeriod", "BackupRetentionPeriod"),
        ("DeletionProtection", "DeletionProtection"),
        ("PreferredMaintenanceWindow", "PreferredMaintenanceWindow"),
        ("DBSubnetGroup", "DBSubnetGroupName"),
        ("DBClusterParameterGroup", "DBClusterParameterGroupName"),
    ] {
        let value = cluster.fields.get(of).map_or("", String::as_str);
        xml += &format!("<{key}>{value}</{key}>");
    }
    let groups = cluster.groups.iter().map(|group| {
        format!(
            "<VpcSecurityGroupMembership><VpcSecurityGroupId>{group}</VpcSecurityGroupId></VpcSecurityGroupMembership>"
        )
    });
    xml += &format!("<VpcSecurityGroups>{}</VpcSecurityGroups>", groups.collect::<String>());
    let members = members.get(name).into_iter().flatten().map(|member| {
        format!(
            "<DBClusterMember><DBInstanceIdentifier>{member}</DBInstanceIdentifier>\
             <IsClusterWriter>true</IsClusterWriter></DBClusterMember>"
        )
    });
    xml += &format!("<DBClusterMembers>{}</DBClusterMembers>", members.collect::<String>());
    let tags = cluster.tags.iter().map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"));
    xml += &format!("<TagList>{}</TagList>", tags.collect::<String>());
    format!("<DBCluster>{xml}</DBCluster>")
}
