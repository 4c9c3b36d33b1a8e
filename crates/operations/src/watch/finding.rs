//! What of a picture somebody should do something about.

use std::time::Duration;

use holdpoint_core::quantity::{bytes, milliseconds};
use serde::{Deserialize, Serialize};

use super::{Activity, Picture, Wait};

/// An unused slot that keeps more WAL than this is worth a line.
const KEPT_BYTES: u64 = 1 << 30;

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about: `wait`, `long`, `idle_in_transaction`, `lag`, `slot`, `invalid_index`, `prepared`.
    pub about: String,
    /// The server process in question.
    pub pid: Option<i32>,
    /// What was found, in one line.
    pub says: String,
}

/// Lists what has lasted for longer than `longer_than`, and what is broken.
#[must_use]
pub fn findings(picture: &Picture, longer_than: Duration) -> Vec<Finding> {
    let limit = u64::try_from(longer_than.as_millis()).unwrap_or(u64::MAX);
    let mut found = Vec::new();
    let mut add = |about: &str, pid: Option<i32>, says: String| {
        found.push(Finding { about: about.to_owned(), pid, says });
    };
    for wait in picture.waits.iter().filter(|wait| wait.waiting_ms >= limit) {
        add("wait", Some(wait.session.pid), wait.sentence());
    }
    for session in picture.long.iter().filter(|session| session.open_ms() >= limit) {
        add("long", Some(session.pid), open(session, "is at work"));
    }
    for session in picture.idle_in_transaction.iter().filter(|session| session.open_ms() >= limit) {
        add("idle_in_transaction", Some(session.pid), open(session, "idles in a transaction"));
    }
    for standby in &picture.standbys {
        let Some(lag) = standby.lag_ms.filter(|lag| *lag >= limit) else { continue };
        add("lag", None, format!("standby {} is {} behind", standby.application_name, milliseconds(lag)));
    }
    if let Some(own) = &picture.own_lag {
        let lag = own.since_last_ms.filter(|lag| *lag >= limit && own.behind_bytes.unwrap_or_default() > 0);
        if let Some(lag) = lag {
            add("lag", None, format!("this standby is {} behind", milliseconds(lag)));
        }
        if own.is_paused {
            add("lag", None, "replay on this standby is paused".to_owned());
        }
    }
    for slot in &picture.slots {
        let kept = slot.behind_bytes.unwrap_or_default();
        match slot.wal_status.as_deref() {
            Some(status @ ("lost" | "unreserved")) => {
                add("slot", slot.active_pid, format!("replication slot {} is {status}", slot.name));
            }
            _ if slot.active_pid.is_none() && kept > KEPT_BYTES => {
                add("slot", None, format!("replication slot {}, which nobody uses, keeps {}", slot.name, bytes(kept)));
            }
            _ => {}
        }
    }
    // Indexes of partitioned tables are often made invalid, and partitions attached one by one.
    for index in picture.invalid_indexes.iter().filter(|one| one.built_by.is_none() && !one.of_partitioned_table) {
        add("invalid_index", None, format!("index {} of {} is invalid", index.index, index.table));
    }
    for prepared in picture.prepared.iter().filter(|one| one.age_ms >= limit) {
        let age = milliseconds(prepared.age_ms);
        add(
            "prepared",
            None,
            format!("prepared transaction {} of {} has been open for {age}", prepared.gid, prepared.owner),
        );
    }
    found
}

fn open(session: &Activity, does: &str) -> String {
    format!("{} {does}, for {}", session.name(), milliseconds(session.open_ms()))
}

impl Wait {
    /// Says who waits for what behind whom, in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let what = match (self.lock.on.as_str(), &self.lock.relation) {
            ("relation", Some(relation)) => format!("{} on {relation}", self.lock.mode),
            ("transactionid" | "tuple", Some(relation)) => format!("a row of {relation}"),
            ("transactionid" | "tuple", None) => "a row".to_owned(),
            ("virtualxid", _) => "the end of an older snapshot".to_owned(),
            (on, Some(relation)) => format!("{} on {on} of {relation}", self.lock.mode),
            (on, None) => format!("{} on {on}", self.lock.mode),
        };
        let behind: Vec<String> = self
            .behind
            .iter()
            .map(|one| match one.pid {
                Some(pid) => format!("process {pid}"),
                None => "a prepared transaction".to_owned(),
            })
            .collect();
        let behind = if behind.is_empty() { String::new() } else { format!(" behind {}", behind.join(", ")) };
        format!("{} has waited {} for {what}{behind}", self.session.name(), milliseconds(self.waiting_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::super::activity::sample;
    use super::super::{Behind, InvalidIndex, Lock, Slot, Standby};
    use super::*;

    fn empty() -> Picture {
        Picture::empty("2026-11-21T02:43:00Z".parse().unwrap(), "shop".into())
    }

    fn about(picture: &Picture, seconds: u64) -> Vec<String> {
        findings(picture, Duration::from_secs(seconds)).into_iter().map(|one| one.about).collect()
    }

    #[test]
    fn a_wait_says_who_what_and_behind_whom() {
        let wait = Wait {
            session: sample(42),
            lock: Lock { on: "relation".into(), mode: "ACCESS EXCLUSIVE".into(), relation: Some("public.t".into()) },
            waiting_ms: 35_000,
            behind: vec![
                Behind { pid: Some(7), mode: None, granted: true },
                Behind { pid: None, mode: None, granted: true },
            ],
            roots: vec![7],
            behind_token: false,
        };
        let text = "process 42 (app, local) has waited 35.0 s for ACCESS EXCLUSIVE on public.t behind process 7, a prepared \
                    transaction";
        assert_eq!(wait.sentence(), text);
        let picture = Picture { waits: vec![wait], ..empty() };
        assert_eq!(about(&picture, 30), ["wait"]);
        assert!(about(&picture, 60).is_empty());
    }

    #[test]
    fn what_is_new_or_under_way_is_no_finding() {
        let standby = Standby {
            application_name: "s".into(),
            client: None,
            state: Some("streaming".into()),
            sync_state: None,
            behind_bytes: Some(5),
            lag_ms: Some(40_000),
            hidden: false,
        };
        let index = InvalidIndex {
            index: "public.i".into(),
            table: "public.t".into(),
            is_ready: true,
            of_partitioned_table: false,
            built_by: Some(3),
        };
        let slot = Slot {
            name: "old".into(),
            is_logical: true,
            database: None,
            active_pid: None,
            behind_bytes: Some(2 << 30),
            wal_status: Some("extended".into()),
        };
        let mut picture =
            Picture { standbys: vec![standby], invalid_indexes: vec![index], slots: vec![slot], ..empty() };
        picture.long.push(sample(9));
        assert_eq!(about(&picture, 30), ["lag", "slot"]);
        picture.invalid_indexes[0].built_by = None;
        picture.slots[0].wal_status = Some("lost".into());
        assert_eq!(about(&picture, 1), ["long", "lag", "slot", "invalid_index"]);
    }
}
