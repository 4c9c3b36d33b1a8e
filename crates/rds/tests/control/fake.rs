//! A control plane of two dozen properties: answers as RDS words them, states that a test scripts, faults on demand.
//!
//! It has no databases; those are the endpoint of the testkit, on which the program is tested end to end.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub(crate) type Parameters = BTreeMap<String, String>;

/// One instance; `states` are told one a reading, the last for ever.
#[derive(Debug, Clone, Default)]
pub(crate) struct Db {
    pub(crate) id: String,
    pub(crate) states: VecDeque<&'static str>,
    pub(crate) fields: Parameters,
    pub(crate) groups: Vec<String>,
    pub(crate) tags: Parameters,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) dbs: BTreeMap<String, Db>,
    pub(crate) clusters: BTreeMap<String, Db>,
    pub(crate) snapshots: BTreeMap<String, Parameters>,
    pub(crate) cluster_snapshots: Vec<String>,
    /// Errors to give: action, status, code, message; taken from the front.
    pub(crate) faults: VecDeque<(&'static str, u16, &'static str, &'static str)>,
    /// What was asked, in order.
    pub(crate) calls: Vec<(String, Parameters)>,
    /// The states of the next instance that is made.
    pub(crate) next_states: Vec<&'static str>,
    pub(crate) made: u32,
    pub(crate) earliest: &'static str,
    pub(crate) latest: &'static str,
}

pub(crate) struct Fake {
    pub(crate) state: Arc<Mutex<State>>,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let earliest = "2026-11-14T03:00:00Z";
        let state = Arc::new(Mutex::new(State { earliest, latest: "2026-11-21T03:00:00Z", ..State::default() }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, ending) = (Arc::clone(&state), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::Acquire) {
                    break;
                }
                if let Ok(stream) = stream {
                    serve(stream, &shared);
                }
            }
        });
        Self { state, address, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().expect("the state"))
    }

    pub(crate) fn count(&self, action: &str) -> usize {
        self.with(|state| state.calls.iter().filter(|(name, _)| name == action).count())
    }

    pub(crate) fn last(&self, action: &str) -> Parameters {
        self.with(|state| state.calls.iter().rfind(|(name, _)| name == action).expect(action).1.clone())
    }

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

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends");
        }
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    if length == 0 || reader.read_exact(&mut body).is_err() {
        return;
    }
    let parameters = parse(&String::from_utf8_lossy(&body));
    let action = parameters.get("Action").cloned().unwrap_or_default();
    let (status, body) = answer(&mut state.lock().expect("the state"), &action, parameters);
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: text/xml\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _unheard = reader.into_inner().write_all((head + &body).as_bytes());
}

fn parse(body: &str) -> Parameters {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'%' => {
                    let hex: Vec<u8> = rest.by_ref().take(2).collect();
                    bytes.push(u8::from_str_radix(&String::from_utf8_lossy(&hex), 16).expect("two digits"));
                }
                b'+' => bytes.push(b' '),
                other => bytes.push(other),
            }
        }
        String::from_utf8(bytes).expect("text")
    };
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (decode(key), decode(value))).collect()
}

fn tags_of(parameters: &Parameters) -> Parameters {
    (1..)
        .map_while(|n| {
            let key = parameters.get(&format!("Tags.Tag.{n}.Key"))?;
            Some((key.clone(), parameters.get(&format!("Tags.Tag.{n}.Value")).cloned().unwrap_or_default()))
        })
        .collect()
}

fn list_of(parameters: &Parameters, prefix: &str) -> Vec<String> {
    (1..).map_while(|n| parameters.get(&format!("{prefix}.{n}")).cloned()).collect()
}

fn refused(code: &str, message: &str) -> (u16, String) {
    let status = if code.contains("NotFound") { 404 } else { 400 };
    error(status, code, message)
}

fn error(status: u16, code: &str, message: &str) -> (u16, String) {
    let body = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    (status, format!("<ErrorResponse>{body}<RequestId>r</RequestId></ErrorResponse>"))
}

fn answer(state: &mut State, action: &str, parameters: Parameters) -> (u16, String) {
    state.calls.push((action.to_owned(), parameters.clone()));
    if state.faults.front().is_some_and(|fault| fault.0 == action) {
        let (_, status, code, message) = state.faults.pop_front().expect("a fault");
        return error(status, code, message);
    }
    let get = |key: &str| parameters.get(key).cloned().unwrap_or_default();
    let result = match action {
        "DescribeDBInstances" => {
            let wanted = parameters.get("DBInstanceIdentifier").cloned();
            let filter = parameters.get("Filters.Filter.1.Values.Value.1").cloned();
            let fits = |name: &String, db: &Db| {
                wanted.as_ref().is_none_or(|wanted| wanted == name) && filter.as_ref().is_none_or(|id| *id == db.id)
            };
            let found: String = state
                .dbs
                .iter_mut()
                .filter(|(name, db)| fits(name, db))
                .map(|(name, db)| told(name, db, true))
                .collect();
            if let (Some(name), true) = (wanted, found.is_empty()) {
                return refused("DBInstanceNotFound", &format!("DBInstance {name} not found."));
            }
            format!("<DBInstances>{found}</DBInstances>")
        }
        "DescribeDBInstanceAutomatedBackups" => format!(
            "<DBInstanceAutomatedBackups><DBInstanceAutomatedBackup><RestoreWindow><EarliestTime>{}</EarliestTime>\
             <LatestTime>{}</LatestTime></RestoreWindow></DBInstanceAutomatedBackup></DBInstanceAutomatedBackups>",
            state.earliest, state.latest
        ),
        "DescribeAccountAttributes" => "<AccountQuotas><AccountQuota><AccountQuotaName>DBInstances</AccountQuotaName>\
             <Used>2</Used><Max>40</Max></AccountQuota></AccountQuotas>"
            .to_owned(),
        "DescribeEvents" => format!(
            "<Events><Event><SourceIdentifier>{0}</SourceIdentifier><Message>{0} happened</Message>\
             <Date>2026-11-21T03:05:00Z</Date></Event></Events>",
            get("SourceIdentifier")
        ),
        "DescribeDBClusters" => {
            let wanted = parameters.get("DBClusterIdentifier").cloned();
            let filter = parameters.get("Filters.Filter.1.Values.Value.1").cloned();
            let fits = |name: &String, cluster: &Db| {
                wanted.as_ref().is_none_or(|wanted| wanted == name)
                    && filter.as_ref().is_none_or(|id| *id == cluster.id)
            };
            let members = members_of(&state.dbs);
            let found: String = state
                .clusters
                .iter_mut()
                .filter(|(name, cluster)| fits(name, cluster))
                .map(|(name, cluster)| cluster_told(name, cluster, &members, true))
                .collect();
            if wanted.is_some() && found.is_empty() {
                return refused("DBClusterNotFoundFault", "no such cluster");
            }
            format!("<DBClusters>{found}</DBClusters>")
        }
        "RestoreDBClusterToPointInTime" => {
            let target = get("DBClusterIdentifier");
            if state.clusters.contains_key(&target) {
                return refused("DBClusterAlreadyExistsFault", "DB Cluster already exists");
            }
            let Some(source) = state.clusters.get(&get("SourceDBClusterIdentifier")).cloned() else {
                return refused("DBClusterNotFoundFault", "no such source");
            };
            let mut made = made(state, &source.fields, &parameters);
            made.id = format!("cluster-MADE{}", state.made);
            state.clusters.insert(target.clone(), made);
            cluster_told(&target, state.clusters.get_mut(&target).expect("made"), &BTreeMap::new(), false)
        }
        "CreateDBInstance" => {
            let name = get("DBInstanceIdentifier");
            if state.dbs.contains_key(&name) {
                return refused("DBInstanceAlreadyExists", "DB instance already exists");
            }
            let port = [("Port".to_owned(), "5433".to_owned())].into();
            let made = made(state, &port, &parameters);
            state.dbs.insert(name.clone(), made);
            told(&name, state.dbs.get_mut(&name).expect("made"), false)
        }
        "ModifyDBCluster" => {
            let name = get("DBClusterIdentifier");
            let Some(cluster) = state.clusters.get_mut(&name) else { return refused("DBClusterNotFoundFault", "gone") };
            cluster.fields.extend(parameters.clone());
            cluster.states = ["modifying", "available"].into();
            String::new()
        }
        "DeleteDBCluster" => {
            let name = get("DBClusterIdentifier");
            if members_of(&state.dbs).contains_key(&name) {
                return refused("InvalidDBClusterStateFault", "Cluster cannot be deleted");
            }
            let last = parameters.get("FinalDBSnapshotIdentifier").cloned();
            if last.as_ref().is_some_and(|last| state.cluster_snapshots.contains(last)) {
                return refused("DBClusterSnapshotAlreadyExistsFault", "there is one");
            }
            if state.clusters.remove(&name).is_none() {
                return refused("DBClusterNotFoundFault", "gone");
            }
            state.cluster_snapshots.extend(last);
            String::new()
        }
        "DescribeDBSnapshots" => {
            let name = get("DBSnapshotIdentifier");
            let Some(fields) = state.snapshots.get(&name) else {
                return refused("DBSnapshotNotFound", "no such snapshot");
            };
            let mut one = format!("<DBSnapshotIdentifier>{name}</DBSnapshotIdentifier>");
            one.extend(fields.iter().map(|(key, value)| format!("<{key}>{value}</{key}>")));
            format!("<DBSnapshots><DBSnapshot>{one}</DBSnapshot></DBSnapshots>")
        }
        "DeleteDBSnapshot" => match state.snapshots.remove(&get("DBSnapshotIdentifier")) {
            Some(_) => String::new(),
            None => return refused("DBSnapshotNotFound", "no such snapshot"),
        },
        "DescribeDBClusterSnapshots" => {
            let name = get("DBClusterSnapshotIdentifier");
            if !state.cluster_snapshots.contains(&name) {
                return refused("DBClusterSnapshotNotFoundFault", "no such snapshot");
            }
            let one = format!("<DBClusterSnapshotIdentifier>{name}</DBClusterSnapshotIdentifier>");
            format!("<DBClusterSnapshots><DBClusterSnapshot>{one}</DBClusterSnapshot></DBClusterSnapshots>")
        }
        "RestoreDBInstanceToPointInTime" => {
            let target = get("TargetDBInstanceIdentifier");
            if state.dbs.contains_key(&target) {
                return refused("DBInstanceAlreadyExists", "DB instance already exists");
            }
            let Some(source) = state.dbs.get(&get("SourceDBInstanceIdentifier")).cloned() else {
                return refused("DBInstanceNotFound", "no such source");
            };
            let made = made(state, &source.fields, &parameters);
            state.dbs.insert(target.clone(), made);
            told(&target, state.dbs.get_mut(&target).expect("made"), false)
        }
        "ModifyDBInstance" => {
            let name = get("DBInstanceIdentifier");
            let Some(mut db) = state.dbs.remove(&name) else { return refused("DBInstanceNotFound", "gone") };
            for (key, value) in &parameters {
                if !["Action", "Version", "DBInstanceIdentifier", "NewDBInstanceIdentifier"].contains(&key.as_str()) {
                    db.fields.insert(key.clone(), value.clone());
                }
            }
            // What is broken is so under another name.
            let rest = db.states.back().copied().filter(|state| *state == "storage-full").unwrap_or("available");
            db.states = ["modifying", rest].into();
            let name = parameters.get("NewDBInstanceIdentifier").cloned().unwrap_or(name);
            let body = told(&name, &mut db, false);
            state.dbs.insert(name, db);
            body
        }
        "DeleteDBInstance" => {
            let name = get("DBInstanceIdentifier");
            let Some(db) = state.dbs.get(&name) else { return refused("DBInstanceNotFound", "gone") };
            if db.fields.get("DeletionProtection").is_some_and(|value| value == "true") {
                return refused("InvalidParameterCombination", "Cannot delete protected DB Instance");
            }
            state.dbs.remove(&name);
            if let Some(snapshot) = parameters.get("FinalDBSnapshotIdentifier") {
                state.snapshots.insert(snapshot.clone(), Parameters::new());
            }
            String::new()
        }
        "AddTagsToResource" => {
            let arn = get("ResourceName");
            let (tags, name) = (tags_of(&parameters), arn.rsplit(':').next().unwrap_or_default());
            let of = if arn.contains(":cluster:") { &mut state.clusters } else { &mut state.dbs };
            let Some(db) = of.get_mut(name) else { return refused("DBInstanceNotFound", "gone") };
            db.tags.extend(tags);
            String::new()
        }
        _ => return refused("InvalidAction", action),
    };
    let result = if result.starts_with("<DBInstanceIdentifier>") {
        format!("<DBInstance>{result}</DBInstance>")
    } else {
        result.replace("<I>", "<DBInstance>").replace("</I>", "</DBInstance>")
    };
    (200, format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"))
}

/// A new instance with RDS's defaults for whatever the call does not say.
fn made(state: &mut State, source: &Parameters, parameters: &Parameters) -> Db {
    state.made += 1;
    let mut fields: Parameters = [
        ("DBParameterGroupName", "default.postgres16"),
        ("DBSubnetGroupName", "default"),
        ("MultiAZ", "false"),
        ("DeletionProtection", "false"),
        ("PreferredMaintenanceWindow", "mon:01:00-mon:01:30"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    for key in ["DBInstanceClass", "Engine", "EngineVersion", "AllocatedStorage", "BackupRetentionPeriod", "Port"] {
        fields.extend(source.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    fields.extend(parameters.iter().map(|(key, value)| (key.clone(), value.clone())));
    if let Some(iam) = parameters.get("EnableIAMDatabaseAuthentication") {
        fields.insert("IAMDatabaseAuthenticationEnabled".to_owned(), iam.clone());
    }
    let states = if state.next_states.is_empty() { vec!["creating", "available"] } else { state.next_states.clone() };
    Db {
        id: format!("db-MADE{}", state.made),
        states: states.into(),
        fields,
        groups: list_of(parameters, "VpcSecurityGroupIds.VpcSecurityGroupId"),
        tags: tags_of(parameters),
    }
}

/// The instances by their clusters.
fn members_of(dbs: &BTreeMap<String, Db>) -> BTreeMap<String, Vec<String>> {
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, db) in dbs {
        if let Some(cluster) = db.fields.get("DBClusterIdentifier") {
            members.entry(cluster.clone()).or_default().push(name.clone());
        }
    }
    members
}

fn cluster_told(name: &str, cluster: &mut Db, members: &BTreeMap<String, Vec<String>>, is_reading: bool) -> String {
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

fn told(name: &str, db: &mut Db, is_reading: bool) -> String {
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
