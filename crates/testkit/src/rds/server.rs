//! HTTP: one thread for each connection, one call at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::error::RdsError;
use super::faults::RdsFault;
use super::instance::ACCOUNT;
use super::query::Query;
use super::state::State;
use super::xml;
use crate::cluster::short_name;
use crate::s3_server::{ADMIN, READ_ONLY};

const REGION: &str = "us-east-1";

/// A request that is signed by nobody or by somebody.
struct Request {
    /// Access key, region and service of the signature.
    scope: Option<[String; 3]>,
    body: String,
    closes: bool,
}

/// Answers until `stopping` is set and one more connection is made.
pub(super) fn serve(listener: &TcpListener, state: &Arc<Mutex<State>>, stopping: &AtomicBool) {
    for stream in listener.incoming() {
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let state = Arc::clone(state);
        thread::spawn(move || {
            if converse(stream, &state).is_err() {
                // The client has gone.
            }
        });
    }
}

fn converse(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        let Some((status, body, id)) = answer(&request, &mut lock(state)) else { return Ok(()) };
        let connection = if request.closes { "close" } else { "keep-alive" };
        let head = format!(
            "HTTP/1.1 {status} {}\r\ncontent-type: text/xml\r\ncontent-length: {}\r\nx-amzn-requestid: {id}\r\n\
             connection: {connection}\r\n\r\n",
            if status < 400 { "OK" } else { "Error" },
            body.len()
        );
        writer.write_all((head + &body).as_bytes())?;
        if request.closes {
            return Ok(());
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut request = Request { scope: None, body: String::new(), closes: false };
    let (mut line, mut length) = (String::new(), 0);
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "connection" => request.closes = value.eq_ignore_ascii_case("close"),
            "authorization" => request.scope = Some(scope(value)),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(request))
}

/// Reads `AWS4-HMAC-SHA256 Credential=KEY/DAY/REGION/SERVICE/aws4_request, …`; the signature itself is not verified.
fn scope(authorization: &str) -> [String; 3] {
    let credential = authorization.split("Credential=").nth(1).unwrap_or_default();
    let parts: Vec<&str> = credential.split(',').next().unwrap_or_default().split('/').collect();
    [0, 2, 3].map(|place| parts.get(place).copied().unwrap_or_default().to_owned())
}

/// Returns status, body and the request's id; `None` when no answer is to be given.
fn answer(request: &Request, state: &mut State) -> Option<(u16, String, String)> {
    let id = short_name();
    let done = Query::parse(&request.body).and_then(|query| {
        state.calls.push(query.action.clone());
        state.advance();
        let fault = state.faults.meet(&query.action);
        if let Some(error) = fault.as_ref().and_then(|fault| fault.error(&query.action)) {
            return Err(error);
        }
        check_rights(request, &query.action, state)?;
        let inner = dispatch(&query, state)?;
        let inner = match &state.account {
            Some(account) => inner.replace(ACCOUNT, &format!("{REGION}:{account}")),
            None => inner,
        };
        Ok((fault != Some(RdsFault::AnswerLost)).then(|| xml::answer(&query.action, &inner, &id)))
    });
    match done {
        Ok(body) => Some((200, body?, id)),
        Err(error) => Some((error.status, xml::error(&error, &id), id)),
    }
}

fn check_rights(request: &Request, action: &str, state: &State) -> Result<(), RdsError> {
    let reads = action.starts_with("Describe") || action.starts_with("List");
    if let Some([key, region, service]) = &request.scope {
        if ![ADMIN.access_key, READ_ONLY.access_key].contains(&key.as_str()) {
            let message = "The security token included in the request is invalid.";
            return Err(RdsError::new(403, "InvalidClientTokenId", message));
        }
        if region != REGION || service != "rds" {
            let message = format!("Credential should be scoped to a valid region: {region}/{service}.");
            return Err(RdsError::new(403, "SignatureDoesNotMatch", message));
        }
        if key == READ_ONLY.access_key && !reads {
            return Err(RdsError::denied(action));
        }
    }
    if state.denied.iter().any(|denied| denied == action) { Err(RdsError::denied(action)) } else { Ok(()) }
}

fn dispatch(query: &Query, state: &mut State) -> Result<String, RdsError> {
    match query.action.as_str() {
        "DescribeDBInstances" => state.describe_instances(query),
        "DescribeDBInstanceAutomatedBackups" => state.describe_backups(query),
        "DescribeDBSnapshots" => state.describe_snapshots(query),
        "DescribeDBClusters" => state.describe_clusters(query),
        "DescribeDBClusterSnapshots" => state.describe_cluster_snapshots(query),
        "DescribeEvents" => state.describe_events(query),
        "DescribeDBParameterGroups" => state.describe_parameter_groups(query),
        "DescribeDBSubnetGroups" => state.describe_subnet_groups(query),
        "DescribeOptionGroups" => state.describe_option_groups(query),
        "DescribeAccountAttributes" => state.describe_account(query),
        "DescribePendingMaintenanceActions" => state.describe_maintenance(query),
        "RestoreDBInstanceToPointInTime" => state.restore_to_point_in_time(query),
        "RestoreDBInstanceFromDBSnapshot" => state.restore_from_snapshot(query),
        "RestoreDBClusterToPointInTime" => state.restore_cluster(query),
        "CreateDBInstance" => state.create_instance(query),
        "CreateDBSnapshot" => state.create_snapshot(query),
        "CopyDBSnapshot" => state.copy_snapshot(query),
        "DeleteDBSnapshot" => state.delete_snapshot(query),
        "ModifyDBInstance" => state.modify(query),
        "RebootDBInstance" => state.reboot(query),
        "StopDBInstance" => state.stop_instance(query),
        "StartDBInstance" => state.start_instance(query),
        "DeleteDBInstance" => state.delete(query),
        "ModifyDBCluster" => state.modify_cluster(query),
        "DeleteDBCluster" => state.delete_cluster(query),
        "ListTagsForResource" => state.list_tags(query),
        "AddTagsToResource" => state.add_tags(query),
        "RemoveTagsFromResource" => state.remove_tags(query),
        action => {
            let message = format!("Could not find operation {action} for version 2014-10-31");
            Err(RdsError::new(400, "InvalidAction", message))
        }
    }
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
