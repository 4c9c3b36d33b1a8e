//! `watch` for people.

use holdpoint_operations::watch::{Activity, Finding, Lock, Picture, Standby, Stop, Stopped, Wait, Work};
use serde::Serialize;

use super::table::{bullets, columns, plain};
use crate::quantity::{bytes, instant, milliseconds};

/// What one look found.
#[derive(Debug, Serialize)]
pub(crate) struct WatchReport {
    /// What was seen.
    #[serde(flatten)]
    pub(crate) picture: Picture,
    /// What of it lasts too long or is broken.
    pub(crate) findings: Vec<Finding>,
}

/// One look, as sections; those with nothing in them are left out.
pub(crate) fn watch(report: &WatchReport) -> String {
    let picture = &report.picture;
    let standby = if picture.in_recovery { ", a standby" } else { "" };
    let mut text = format!("{} at {}{standby}\n", plain(picture.database.clone()), instant(picture.at));
    if let Some(token) = &picture.token {
        text.push_str(&format!("sessions of {token}: {}\n", picture.sessions.len()));
    }
    section(
        &mut text,
        "waiting",
        &["PID", "WHO", "FOR", ">WAITED", "BEHIND", "STATEMENT"],
        picture.waits.iter().map(wait),
    );
    let blockers = picture.blockers.iter().map(|blocker| {
        let pid = blocker.pid.map_or_else(|| "prepared".to_owned(), |pid| pid.to_string());
        let session = blocker.session.as_ref();
        let first = if blocker.is_root { "first of its chain" } else { "waits itself" };
        vec![
            pid,
            session.map(who).unwrap_or_default(),
            session.map(state).unwrap_or_default(),
            session.and_then(|one| one.transaction_ms).map(milliseconds).unwrap_or_default(),
            blocker.held_up.to_string(),
            first.to_owned(),
            session.map(statement).unwrap_or_default(),
        ]
    });
    let heading = ["PID", "WHO", "STATE", ">TRANSACTION", ">HOLDS UP", "", "STATEMENT"];
    section(&mut text, "in the way", &heading, blockers);
    let heading = ["PID", "WHO", "STATE", ">OPEN FOR", "WAITS FOR", "STATEMENT"];
    section(&mut text, "open for long", &heading, picture.long.iter().map(open));
    section(&mut text, "idle in a transaction", &heading, picture.idle_in_transaction.iter().map(open));
    section(
        &mut text,
        "under way",
        &["PID", "COMMAND", "ON", "PHASE", ">DONE", "WAITS FOR"],
        picture.work.iter().map(work),
    );
    section(
        &mut text,
        "standbys",
        &["NAME", "CLIENT", "STATE", ">BEHIND", ">LAG"],
        picture.standbys.iter().map(follower),
    );
    let slots = picture.slots.iter().map(|slot| {
        let kind = if slot.is_logical { "logical" } else { "physical" };
        let used = slot.active_pid.map_or_else(|| "nobody".to_owned(), |pid| pid.to_string());
        vec![
            slot.name.clone(),
            kind.to_owned(),
            used,
            size(slot.behind_bytes),
            slot.wal_status.clone().unwrap_or_default(),
        ]
    });
    section(&mut text, "replication slots", &["NAME", "KIND", "USED BY", ">BEHIND", "WAL"], slots);
    if let Some(lag) = &picture.own_lag {
        let since = lag.since_last_ms.map_or_else(|| "none yet".to_owned(), milliseconds);
        let paused = if lag.is_paused { ", replay is paused" } else { "" };
        let behind = size(lag.behind_bytes);
        text.push_str(&format!("\nreplay: {behind} not replayed, the last transaction is {since} old{paused}\n"));
    }
    let indexes = picture.invalid_indexes.iter().map(|index| {
        let state = match index.built_by {
            Some(pid) => format!("being built by {pid}"),
            None if index.of_partitioned_table => "lacks an index of a partition".to_owned(),
            None if index.is_ready => "left behind; every write keeps it up to date".to_owned(),
            None => "left behind".to_owned(),
        };
        vec![index.index.clone(), index.table.clone(), state]
    });
    section(&mut text, "invalid indexes", &["INDEX", "TABLE", ""], indexes);
    let prepared =
        picture.prepared.iter().map(|one| vec![one.gid.clone(), one.owner.clone(), milliseconds(one.age_ms)]);
    section(&mut text, "prepared transactions", &["NAME", "ROLE", ">AGE"], prepared);
    if report.findings.is_empty() && picture.waits.is_empty() {
        text.push_str("\nnobody waits, and nothing lasts too long\n");
    }
    let findings: Vec<String> = report.findings.iter().map(|one| one.says.clone()).collect();
    if !findings.is_empty() {
        text.push('\n');
        text.push_str(&bullets("worth a look", &findings));
    }
    text.push_str(&not_seen(picture));
    text
}

fn not_seen(picture: &Picture) -> String {
    let mut lines: Vec<String> = picture.unseen.iter().map(|one| format!("{}: {}", one.part, one.why)).collect();
    if picture.hidden_sessions > 0 {
        let sessions = crate::quantity::counted(picture.hidden_sessions, "session");
        lines.push(format!("what {sessions} of other roles do: GRANT pg_read_all_stats TO this role"));
    }
    if lines.is_empty() { String::new() } else { format!("\n{}", bullets("not seen", &lines)) }
}

fn section(text: &mut String, title: &str, headings: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}\n"));
    // Names and statements come from others: one line each, and nothing that moves the cursor.
    let rows = rows.into_iter().map(|row| row.into_iter().map(|cell| plain(cell).replace('\n', " ")).collect());
    text.push_str(&columns(headings, rows));
}

fn wait(wait: &Wait) -> Vec<String> {
    let behind = wait.behind.iter().map(|one| {
        let who = one.pid.map_or_else(|| "prepared".to_owned(), |pid| pid.to_string());
        match &one.mode {
            Some(mode) if one.granted => format!("{who} ({mode})"),
            _ => who,
        }
    });
    vec![
        wait.session.pid.to_string(),
        who(&wait.session),
        lock(&wait.lock),
        milliseconds(wait.waiting_ms),
        behind.collect::<Vec<_>>().join(", "),
        statement(&wait.session),
    ]
}

fn lock(lock: &Lock) -> String {
    match (lock.on.as_str(), &lock.relation) {
        ("relation", Some(relation)) => format!("{} {relation}", lock.mode),
        ("transactionid" | "tuple", Some(relation)) => format!("a row of {relation}"),
        ("transactionid" | "tuple", None) => "a row".to_owned(),
        ("virtualxid", _) => "older snapshots".to_owned(),
        (on, relation) => format!("{} {on} {}", lock.mode, relation.as_deref().unwrap_or_default()).trim().to_owned(),
    }
}

fn open(session: &Activity) -> Vec<String> {
    let waits_for = session.wait_event.clone().unwrap_or_default();
    vec![
        session.pid.to_string(),
        who(session),
        state(session),
        if session.hidden { "not known".to_owned() } else { milliseconds(session.open_ms()) },
        waits_for,
        statement(session),
    ]
}

fn who(session: &Activity) -> String {
    let parts = [session.user.as_deref(), Some(session.application_name.as_str()), session.client.as_deref()];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn state(session: &Activity) -> String {
    if session.hidden { "hidden".to_owned() } else { session.state.clone().unwrap_or_default() }
}

fn statement(session: &Activity) -> String {
    session.query.clone().unwrap_or_default()
}

fn work(work: &Work) -> Vec<String> {
    let done = match (work.percent(), work.unit.as_str()) {
        (_, "lockers") => format!("{} of {} transactions", work.done, work.total),
        (Some(percent), _) => format!("{percent} %"),
        (None, "bytes") => bytes(work.done),
        (None, unit) => format!("{} {unit}", crate::quantity::count(work.done)),
    };
    let on = work.index.as_ref().or(work.relation.as_ref()).cloned().unwrap_or_default();
    let waits_for = work.waits_for.map(|pid| pid.to_string()).unwrap_or_default();
    vec![work.pid.to_string(), work.command.clone(), on, work.phase.clone(), done, waits_for]
}

fn follower(standby: &Standby) -> Vec<String> {
    let state = [standby.state.as_deref(), standby.sync_state.as_deref()];
    vec![
        standby.application_name.clone(),
        standby.client.clone().unwrap_or_default(),
        state.into_iter().flatten().collect::<Vec<_>>().join(", "),
        size(standby.behind_bytes),
        standby.lag_ms.map_or_else(|| "not known".to_owned(), milliseconds),
    ]
}

fn size(count: Option<u64>) -> String {
    count.map_or_else(|| "not known".to_owned(), bytes)
}

/// A session that was cancelled.
pub(crate) fn stopped(report: &Stopped) -> String {
    let name = plain(report.session.name());
    match (report.stop, report.took_effect) {
        (Stop::Statement, true) => format!("{name}: its statement was cancelled"),
        (Stop::Session, true) => format!("{name}: the session was ended"),
        (Stop::Statement, false) => format!(
            "{name}: the server was asked to cancel its statement, which goes on so far\n\
             look again in a moment; if it stays: holdpoint watch --cancel {} --terminate",
            report.session.pid
        ),
        (Stop::Session, false) => {
            format!("{name}: the server was asked to end the session, which is there so far; look again in a moment")
        }
    }
}
