//! The RDS endpoint keeps what it promises, by raw calls.

use std::path::Path;

use holdpoint_testkit::{Pace, READ_ONLY, RdsCluster, RdsFault, RdsInstance, RdsServer, Response, Shipping};

/// Calls, and returns the answer; any but `200` fails the test.
#[track_caller]
fn ask(rds: &RdsServer, action: &str, parameters: &[(&str, &str)]) -> Response {
    let answer = rds.call(action, parameters);
    assert_eq!(answer.status, 200, "{action}: {}", answer.text());
    answer
}

/// Calls, and returns the error's code and message.
#[track_caller]
fn refusal(rds: &RdsServer, action: &str, parameters: &[(&str, &str)]) -> (String, String) {
    let answer = rds.call(action, parameters);
    assert!(answer.status >= 400, "{action} was done: {}", answer.text());
    (one(&answer, "Code"), one(&answer, "Message"))
}

#[track_caller]
fn one(answer: &Response, element: &str) -> String {
    answer.elements(element).into_iter().next().unwrap_or_else(|| panic!("no {element} in {}", answer.text()))
}

/// Asks for an instance and returns its state, or the error's code.
fn ask_for(rds: &RdsServer, identifier: &str) -> String {
    let answer = rds.call("DescribeDBInstances", &[("DBInstanceIdentifier", identifier)]);
    one(&answer, if answer.status == 200 { "DBInstanceStatus" } else { "Code" })
}

/// Polls an instance until its state comes again and returns the states.
fn states(rds: &RdsServer, identifier: &str) -> Vec<String> {
    let mut states: Vec<String> = Vec::new();
    loop {
        let answer = ask(rds, "DescribeDBInstances", &[("DBInstanceIdentifier", identifier)]);
        states.push(one(&answer, "DBInstanceStatus"));
        if let [.., before, last] = &*states
            && before == last
        {
            states.pop();
            return states;
        }
    }
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_restore_has_exactly_the_rows_of_its_instant_and_the_defaults_of_the_service() {
    let rds = RdsServer::start();
    rds.create(
        &RdsInstance::new("shop", 16)
            .with("MultiAZ", "true")
            .with("DeletionProtection", "true")
            .with_security_groups(&["sg-shop"])
            .with_parameter_group("shop-16", &["work_mem = '5MB'"])
            .with_tag("owner", "o'<&>"),
    );
    rds.psql("shop", "CREATE TABLE t (n int); INSERT INTO t VALUES (1)");
    let instant = rds.instant();
    rds.psql("shop", "INSERT INTO t VALUES (2)");
    let later = [("SourceDBInstanceIdentifier", "shop"), ("TargetDBInstanceIdentifier", "copy")];
    let at = |time| [later[0], later[1], ("RestoreTime", time)];

    // The log is archived when somebody asks for the window.
    let (code, message) = refusal(&rds, "RestoreDBInstanceToPointInTime", &at(&instant));
    assert_eq!(code, "InvalidParameterValue");
    assert!(message.starts_with("The specified instance cannot be restored to a time later than 20"), "{message}");
    let window = ask(&rds, "DescribeDBInstanceAutomatedBackups", &[("DBInstanceIdentifier", "shop")]);
    assert!(one(&window, "EarliestTime") < instant && one(&window, "LatestTime") >= instant, "{}", window.text());
    let (code, message) = refusal(&rds, "RestoreDBInstanceToPointInTime", &at("2020-01-01T00:00:00Z"));
    assert_eq!(code, "InvalidParameterValue");
    assert!(message.ends_with("because its backup retention period is set to 7 days."), "{message}");
    assert_eq!(refusal(&rds, "RestoreDBInstanceToPointInTime", &later).0, "InvalidParameterCombination");

    let made = ask(&rds, "RestoreDBInstanceToPointInTime", &at(&instant));
    assert_eq!(one(&made, "DBInstanceStatus"), "creating");
    assert!(rds.try_psql("copy", "shop", "SELECT 1").is_err(), "nothing answers before it is made");
    assert_eq!(states(&rds, "copy"), ["creating", "backing-up", "available"]);
    assert_eq!(rds.psql("copy", "SELECT array_agg(n), current_setting('work_mem') FROM t"), "{1}|4MB");
    assert_eq!(rds.psql("shop", "SELECT array_agg(n), current_setting('work_mem') FROM t"), "{1,2}|5MB");
    let copy = ask(&rds, "DescribeDBInstances", &[("DBInstanceIdentifier", "copy")]);
    for (element, value) in [
        ("MultiAZ", "false"),
        ("DeletionProtection", "false"),
        ("VpcSecurityGroupId", "sg-default"),
        ("DBParameterGroupName", "default.postgres16"),
        ("Value", "o'<&>"),
    ] {
        assert_eq!(one(&copy, element), value, "{element}");
    }

    // The master is no superuser, and what is the service's is closed.
    let roles = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user; SHOW is_superuser";
    assert_eq!(rds.psql("copy", roles), "f\noff");
    assert!(rds.try_psql("copy", "shop", "SELECT 1 FROM pg_authid").unwrap_err().contains("permission denied"));
    assert!(rds.try_psql("copy", "rdsadmin", "SELECT 1").unwrap_err().contains("reject"));

    // The restored one has backups of its own.
    rds.psql("copy", "INSERT INTO t VALUES (3)");
    rds.ship("copy");
    let from_copy = [("SourceDBInstanceIdentifier", "copy"), ("TargetDBInstanceIdentifier", "third")];
    ask(&rds, "RestoreDBInstanceToPointInTime", &[from_copy[0], from_copy[1], ("UseLatestRestorableTime", "true")]);
    rds.settle();
    assert_eq!(rds.psql("third", "SELECT array_agg(n) FROM t"), "{1,3}");

    let (pid, data, backups) = rds.server("third");
    ask(&rds, "DeleteDBInstance", &[("DBInstanceIdentifier", "third"), ("SkipFinalSnapshot", "true")]);
    assert_eq!(rds.status("third").as_deref(), Some("deleting"));
    rds.settle();
    assert_eq!(refusal(&rds, "DescribeDBInstances", &[("DBInstanceIdentifier", "third")]).0, "DBInstanceNotFound");
    assert!(!is_alive(pid.unwrap()) && !data.exists() && !backups.exists());
    let protected = [("DBInstanceIdentifier", "shop"), ("SkipFinalSnapshot", "true")];
    assert_eq!(refusal(&rds, "DeleteDBInstance", &protected).0, "InvalidParameterCombination");
}

#[test]
fn a_snapshot_is_restored_and_a_rename_moves_the_endpoint() {
    let rds = RdsServer::start_with_tls();
    rds.create(&RdsInstance::new("shop", 18).with_tag("owner", "x"));
    rds.psql("shop", "CREATE TABLE t AS SELECT 1 AS n");
    let names = [("DBInstanceIdentifier", "shop"), ("DBSnapshotIdentifier", "before")];
    ask(&rds, "CreateDBSnapshot", &[names[0], names[1], ("Tags.Tag.1.Key", "by"), ("Tags.Tag.1.Value", "me")]);
    assert_eq!(refusal(&rds, "CreateDBSnapshot", &names).0, "InvalidDBInstanceState", "it is being backed up");
    let restore = [("DBInstanceIdentifier", "copy"), ("DBSnapshotIdentifier", "before")];
    assert_eq!(refusal(&rds, "RestoreDBInstanceFromDBSnapshot", &restore).0, "InvalidDBSnapshotState");
    rds.psql("shop", "INSERT INTO t VALUES (2)");
    rds.settle();
    assert_eq!(refusal(&rds, "CreateDBSnapshot", &names).0, "DBSnapshotAlreadyExists");
    let copied = [("SourceDBSnapshotIdentifier", "before"), ("TargetDBSnapshotIdentifier", "again")];
    ask(&rds, "CopyDBSnapshot", &[copied[0], copied[1], ("CopyTags", "true")]);
    ask(&rds, "DeleteDBSnapshot", &[("DBSnapshotIdentifier", "before")]);
    rds.settle();
    let listed = ask(&rds, "DescribeDBSnapshots", &[("DBInstanceIdentifier", "shop")]);
    assert_eq!(listed.elements("DBSnapshotIdentifier"), ["again"]);
    assert_eq!((one(&listed, "Key"), one(&listed, "Status")), ("by".into(), "available".into()));
    assert_eq!(refusal(&rds, "RestoreDBInstanceFromDBSnapshot", &restore).0, "DBSnapshotNotFound");
    ask(&rds, "RestoreDBInstanceFromDBSnapshot", &[restore[0], ("DBSnapshotIdentifier", "again")]);
    rds.settle();
    assert_eq!(rds.psql("copy", "SELECT array_agg(n) FROM t"), "{1}");

    // What answers at the endpoint of the name is another server afterwards, with a certificate for it.
    let old = ask(&rds, "DescribeDBInstances", &[("DBInstanceIdentifier", "shop")]);
    let url = rds.url("shop", "shop");
    let rename = |from, to| {
        let taken = [("DBInstanceIdentifier", from), ("NewDBInstanceIdentifier", to)];
        rds.call("ModifyDBInstance", &[taken[0], taken[1], ("ApplyImmediately", "true")])
    };
    assert_eq!(one(&rename("copy", "shop"), "Code"), "DBInstanceAlreadyExists");
    assert_eq!(one(&rename("shop", "shop-old"), "DBInstanceStatus"), "available");
    assert_eq!(one(&rename("shop", "shop-older"), "Code"), "InvalidDBInstanceState", "it is being renamed");
    let resource = one(&old, "DbiResourceId");
    let by_resource = [("Filters.Filter.1.Name", "dbi-resource-id"), ("Filters.Filter.1.Values.Value.1", &*resource)];
    let seen: Vec<[String; 2]> = (0..3)
        .map(|_| ask(&rds, "DescribeDBInstances", &by_resource))
        .map(|answer| ["DBInstanceIdentifier", "DBInstanceStatus"].map(|name| answer.elements(name).remove(0)))
        .collect();
    assert_eq!(seen, [["shop", "modifying"], ["shop", "renaming"], ["shop-old", "available"]]);
    assert_eq!(refusal(&rds, "DescribeDBInstances", &[("DBInstanceIdentifier", "shop")]).0, "DBInstanceNotFound");
    rds.hide_while_renaming();
    rename("copy", "shop");
    let code = || ask_for(&rds, "copy");
    assert_eq!([code(), code(), code()], ["modifying", "DBInstanceNotFound", "DBInstanceNotFound"]);
    rds.settle();
    assert_eq!(rds.url("shop", "shop"), url, "a name keeps its endpoint");
    assert_eq!(rds.psql("shop", "SELECT array_agg(n) FROM t"), "{1}");
    assert_eq!(rds.psql("shop-old", "SELECT array_agg(n) FROM t"), "{1,2}");
    let other = [("DBInstanceIdentifier", "shop"), ("MasterUserPassword", "another one")];
    ask(&rds, "ModifyDBInstance", &other);
    rds.settle();
    assert!(rds.try_psql("shop", "shop", "SELECT 1").unwrap_err().contains("password authentication failed"));
    let url = url.replace("p%40ss%3A%2Frds%25word", "another%20one");
    let verified = format!("{url}?sslmode=verify-full&sslrootcert={}", rds.ca_bundle().display());
    assert_eq!(rds.psql_at(&verified, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").unwrap(), "t");

    // Backups outlive their instance when asked to; the last snapshot is taken.
    let gone = [("DBInstanceIdentifier", "shop-old"), ("DeleteAutomatedBackups", "false")];
    assert_eq!(refusal(&rds, "DeleteDBInstance", &gone).0, "InvalidParameterCombination");
    ask(&rds, "DeleteDBInstance", &[gone[0], gone[1], ("FinalDBSnapshotIdentifier", "last")]);
    rds.settle();
    assert_eq!((rds.identifiers(), rds.snapshots()), (vec!["shop".into()], vec!["again".into(), "last".into()]));
    let of_retained = [("SourceDbiResourceId", &*resource), ("TargetDBInstanceIdentifier", "back")];
    ask(&rds, "RestoreDBInstanceToPointInTime", &[of_retained[0], of_retained[1], ("UseLatestRestorableTime", "true")]);
    rds.settle();
    assert_eq!(rds.psql("back", "SELECT array_agg(n) FROM t"), "{1,2}");
}

#[test]
fn an_aurora_cluster_is_restored_without_instances() {
    let rds = RdsServer::start();
    rds.create_aurora("main", "main-1", 16);
    rds.psql("main", "CREATE TABLE t AS SELECT 1 AS n");
    let instant = rds.instant();
    rds.psql("main-1", "INSERT INTO t VALUES (2)");
    let seen = ask(&rds, "DescribeDBClusters", &[("DBClusterIdentifier", "main")]);
    assert!(one(&seen, "EarliestRestorableTime") < instant && one(&seen, "LatestRestorableTime") >= instant);
    let names = [("DBClusterIdentifier", "copy"), ("SourceDBClusterIdentifier", "main")];
    let restore = [names[0], names[1], ("RestoreToTime", &*instant)];
    ask(&rds, "RestoreDBClusterToPointInTime", &restore);
    assert_eq!(refusal(&rds, "RestoreDBClusterToPointInTime", &restore).0, "DBClusterAlreadyExistsFault");
    rds.settle();
    assert!(rds.try_psql("copy", "shop", "SELECT 1").is_err(), "no instance, no server");
    let member = [("DBInstanceIdentifier", "copy-1"), ("DBClusterIdentifier", "copy"), ("Engine", "aurora-postgresql")];
    ask(&rds, "CreateDBInstance", &[member[0], member[1], member[2], ("DBInstanceClass", "db.t4g.medium")]);
    assert_eq!(states(&rds, "copy-1"), ["creating", "available"]);
    assert_eq!(rds.psql("copy", "SELECT array_agg(n) FROM t"), "{1}");
    let delete = [("DBClusterIdentifier", "copy"), ("SkipFinalSnapshot", "true")];
    assert_eq!(refusal(&rds, "DeleteDBCluster", &delete).0, "InvalidDBClusterStateFault");
    ask(&rds, "DeleteDBInstance", &[member[0], ("SkipFinalSnapshot", "true")]);
    rds.settle();
    ask(&rds, "DeleteDBCluster", &delete);
    rds.settle();
    assert_eq!(refusal(&rds, "DescribeDBClusters", &[names[0]]).0, "DBClusterNotFoundFault");
}

#[test]
fn an_aurora_cluster_has_both_parameter_groups_is_changed_cloned_and_leaves_a_last_snapshot() {
    let rds = RdsServer::start();
    let main = RdsCluster::new("main", "main-1", 16)
        .with_parameter_group("of-cluster", &["work_mem = '7MB'", "maintenance_work_mem = '70MB'"])
        .with_instance_parameter_group("of-instance", &["maintenance_work_mem = '77MB'"])
        .with_capacity("0.5", "16");
    rds.create_cluster(&main);
    let settings = "SELECT current_setting('work_mem'), current_setting('maintenance_work_mem')";
    assert_eq!(rds.psql("main", settings), "7MB|77MB");
    rds.psql("main", "CREATE TABLE t AS SELECT 1 AS n");

    let names = [("DBClusterIdentifier", "copy"), ("SourceDBClusterIdentifier", "main")];
    let with = |more: &[(&'static str, &'static str)]| [&names[..], more].concat();
    let latest = ("UseLatestRestorableTime", "true");
    let code = |more: &[(&'static str, &'static str)]| refusal(&rds, "RestoreDBClusterToPointInTime", &with(more)).0;
    assert_eq!(code(&[latest, ("DBClusterParameterGroupName", "none")]), "DBClusterParameterGroupNotFound");
    assert_eq!(code(&[latest, ("RestoreType", "other")]), "InvalidParameterValue");
    let both = [("RestoreType", "copy-on-write"), ("RestoreToTime", "2026-11-21T00:00:00Z")];
    assert_eq!(code(&both), "InvalidParameterCombination");
    // A clone has what was committed up to now, and none of the source's settings that nobody names.
    rds.psql("main", "INSERT INTO t VALUES (2)");
    let capacity = ("ServerlessV2ScalingConfiguration.MinCapacity", "1");
    let capacity = [capacity, ("ServerlessV2ScalingConfiguration.MaxCapacity", "4")];
    ask(&rds, "RestoreDBClusterToPointInTime", &with(&[&[latest, both[0]][..], &capacity].concat()));
    rds.settle();
    let member = |engine| {
        let names = [("DBInstanceIdentifier", "copy-1"), ("DBClusterIdentifier", "copy"), ("Engine", engine)];
        [&names[..], &[("DBInstanceClass", "db.t4g.medium"), ("PromotionTier", "3")]].concat()
    };
    assert_eq!(refusal(&rds, "CreateDBInstance", &member("postgres")).0, "InvalidParameterCombination");
    ask(&rds, "CreateDBInstance", &member("aurora-postgresql"));
    rds.settle();
    let seen = ask(&rds, "DescribeDBInstances", &[("DBInstanceIdentifier", "copy-1")]);
    assert_eq!((one(&seen, "PromotionTier"), one(&seen, "DBClusterIdentifier")), ("3".into(), "copy".into()));
    assert_eq!(rds.psql("copy", "SELECT array_agg(n ORDER BY n) FROM t"), "{1,2}");
    assert_ne!(rds.psql("copy", settings), "7MB|77MB");

    let modify = [names[0], ("DeletionProtection", "true"), ("PreferredMaintenanceWindow", "sun:04:00-sun:04:30")];
    ask(&rds, "ModifyDBCluster", &modify);
    assert_eq!(refusal(&rds, "ModifyDBCluster", &modify).0, "InvalidDBClusterStateFault");
    rds.settle();
    let seen = ask(&rds, "DescribeDBClusters", &[names[0]]);
    let of = |element: &str| one(&seen, element);
    assert_eq!(
        (of("DeletionProtection"), of("MinCapacity"), of("MaxCapacity")),
        ("true".into(), "1".into(), "4".into())
    );
    assert_eq!(of("PreferredMaintenanceWindow"), "sun:04:00-sun:04:30");
    let last = [names[0], ("SkipFinalSnapshot", "false"), ("FinalDBSnapshotIdentifier", "last")];
    assert_eq!(refusal(&rds, "DeleteDBCluster", &last).0, "InvalidParameterCombination");
    ask(&rds, "ModifyDBCluster", &[names[0], ("DeletionProtection", "false")]);
    rds.settle();
    ask(&rds, "DeleteDBInstance", &[("DBInstanceIdentifier", "copy-1"), ("SkipFinalSnapshot", "true")]);
    rds.settle();
    ask(&rds, "DeleteDBCluster", &last);
    assert_eq!(refusal(&rds, "DeleteDBCluster", &last).0, "InvalidDBClusterStateFault");
    rds.settle();
    assert_eq!((rds.clusters(), rds.cluster_snapshots()), (vec!["main".to_owned()], vec!["last".to_owned()]));
    assert_eq!(rds.identifiers(), ["main-1"]);
}

#[test]
fn faults_states_quotas_rights_and_counts() {
    let rds = RdsServer::start();
    rds.create(&RdsInstance::new("shop", 18));
    rds.create(&RdsInstance::new("other", 16).with_engine("mysql"));
    rds.set_shipping(Shipping::Held);
    let names = [("SourceDBInstanceIdentifier", "shop"), ("TargetDBInstanceIdentifier", "copy")];
    let restore = [names[0], names[1], ("UseLatestRestorableTime", "true")];
    let code = |parameters: &[(&str, &str)]| refusal(&rds, "RestoreDBInstanceToPointInTime", parameters).0;

    rds.fail("DescribeDBInstances", 2, RdsFault::Throttling);
    rds.fail("DescribeDBInstances", 1, RdsFault::Internal);
    let statuses: Vec<u16> = (0..4).map(|_| rds.call("DescribeDBInstances", &[]).status).collect();
    assert_eq!((statuses, rds.count("DescribeDBInstances")), (vec![400, 400, 500, 200], 4));
    rds.deny("DescribeEvents");
    let (denied, message) = refusal(&rds, "DescribeEvents", &[]);
    assert!(denied == "AccessDenied" && message.contains("perform: rds:DescribeEvents"), "{message}");

    assert_eq!(code(&[names[0], names[1], ("RestoreTime", "yesterday")]), "InvalidParameterValue");
    assert_eq!(code(&[("SourceDBInstanceIdentifier", "none"), names[1], restore[2]]), "DBInstanceNotFound");
    assert_eq!(code(&[names[0], ("TargetDBInstanceIdentifier", "other"), restore[2]]), "DBInstanceAlreadyExists");
    assert_eq!(code(&[names[0], ("TargetDBInstanceIdentifier", "9-"), restore[2]]), "InvalidParameterValue");
    assert_eq!(code(&[names[0], names[1], restore[2], ("DBParameterGroupName", "x")]), "DBParameterGroupNotFound");
    assert_eq!(code(&[names[0], names[1], restore[2], ("DBSubnetGroupName", "x")]), "DBSubnetGroupNotFoundFault");
    assert_eq!(code(&[names[0], names[1], restore[2], ("MonitoringInterval", "60")]), "ValidationError");
    rds.set_quota("AllocatedStorage", 30);
    assert_eq!(code(&restore), "StorageQuotaExceeded");
    rds.set_quota("DBInstances", 2);
    assert_eq!(code(&restore), "InstanceQuotaExceeded");
    let quotas = ask(&rds, "DescribeAccountAttributes", &[]);
    assert!(quotas.text().contains("<AccountQuotaName>DBInstances</AccountQuotaName><Used>2</Used><Max>2</Max>"));
    rds.set_quota("DBInstances", 40);
    rds.set_quota("AllocatedStorage", 1000);
    rds.set("shop", "BackupRetentionPeriod", "0");
    assert_eq!(code(&restore), "PointInTimeRestoreNotEnabled");
    rds.set("shop", "BackupRetentionPeriod", "1");

    // A restore that fails, one that takes its time, one that is `available` too soon.
    rds.end_next_restore_as("incompatible-restore");
    ask(&rds, "RestoreDBInstanceToPointInTime", &restore);
    assert_eq!(states(&rds, "copy"), ["creating", "incompatible-restore"]);
    let skip = [("DBInstanceIdentifier", "copy"), ("SkipFinalSnapshot", "true")];
    ask(&rds, "DeleteDBInstance", &skip);
    rds.settle();
    rds.set_relapses(&["modifying"]);
    rds.set_pace("creating", Pace::Held);
    ask(&rds, "RestoreDBInstanceToPointInTime", &restore);
    for _ in 0..5 {
        let answer = ask(&rds, "DescribeDBInstances", &[("DBInstanceIdentifier", "copy")]);
        assert_eq!(one(&answer, "DBInstanceStatus"), "creating");
        assert!(answer.elements("Endpoint").is_empty());
    }
    rds.set_pace("creating", Pace::Polls(0));
    assert_eq!(states(&rds, "copy"), ["backing-up", "available", "modifying", "available"]);
    let last = [("DBInstanceIdentifier", "copy"), ("DBSnapshotIdentifier", "s"), ("Tags.Tag.1.Key", "k")];
    rds.set_status("copy", "storage-full");
    assert_eq!(refusal(&rds, "CreateDBSnapshot", &last).0, "InvalidDBInstanceState");

    // Pages, tags, events, and the answer that is lost although the call is done.
    rds.set_longest_page(2);
    let first = ask(&rds, "DescribeDBInstances", &[("MaxRecords", "20")]);
    let rest = ask(&rds, "DescribeDBInstances", &[("Marker", &one(&first, "Marker"))]);
    let count = |answer: &Response| answer.elements("DBInstanceArn").len();
    assert_eq!((count(&first), count(&rest), rest.elements("Marker").len()), (2, 1, 0));
    let arn = rest.elements("DBInstanceArn").remove(0);
    let tag = [("ResourceName", &*arn), ("Tags.Tag.1.Key", "holdpoint:made"), ("Tags.Tag.1.Value", "a b")];
    rds.fail("AddTagsToResource", 1, RdsFault::AnswerLost);
    let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rds.call("AddTagsToResource", &tag)));
    assert!(lost.is_err(), "no answer came");
    let tags = ask(&rds, "ListTagsForResource", &[tag[0]]);
    assert_eq!((one(&tags, "Key"), one(&tags, "Value")), ("holdpoint:made".into(), "a b".into()));
    ask(&rds, "RemoveTagsFromResource", &[tag[0], ("TagKeys.member.1", "holdpoint:made")]);
    assert!(ask(&rds, "ListTagsForResource", &[tag[0]]).elements("Key").is_empty());
    assert_eq!(rds.environment(&READ_ONLY)[3], ("AWS_ENDPOINT_URL_RDS", rds.endpoint()));
}
