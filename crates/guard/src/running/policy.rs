//! Which sessions of the command are cancelled, because others wait behind them.

use std::time::Duration;

use holdpoint_operations::watch::{Activity, Picture};

/// Sessions of the command that wait for a lock themselves, and behind which others have waited for so long.
///
/// Only those that carry the run's token: `picture` must be one with a token.
pub(crate) fn to_cancel(picture: &Picture, limit: Duration) -> Vec<&Activity> {
    let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let waits_long = |pid: i32| {
        let wait = picture.waits.iter().find(|wait| wait.session.pid == pid);
        wait.is_some_and(|wait| !wait.session.carries_token && wait.waiting_ms >= limit)
    };
    let holds_up = |pid: i32| {
        let of = picture.blockers.iter().find(|blocker| blocker.pid == Some(pid));
        of.is_some_and(|blocker| blocker.blocks.iter().any(|behind| waits_long(*behind)))
    };
    let own = picture.waits.iter().map(|wait| &wait.session).filter(|session| session.carries_token);
    own.filter(|session| holds_up(session.pid)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn session(pid: i32, token: bool) -> Value {
        json!({ "pid": pid, "backend_start": null, "kind": "client backend", "database": "shop", "user": "app",
                "application_name": "", "client": null, "state": "active", "transaction_ms": 1, "state_ms": 1,
                "wait_event": null, "query": null, "hidden": false, "carries_token": token })
    }

    fn wait(pid: i32, token: bool, ms: u64, behind: i32) -> Value {
        json!({ "session": session(pid, token), "waiting_ms": ms, "roots": [1], "behind_token": !token,
                "lock": { "on": "relation", "mode": "SHARE", "relation": "public.t" },
                "behind": [{ "pid": behind, "mode": null, "granted": true }] })
    }

    fn picture(waits: &[Value], blockers: &[(i32, &[i32])]) -> Picture {
        let blocker = |(pid, blocks): &(i32, &[i32])| json!({ "pid": pid, "session": null, "blocks": blocks, "held_up": 1, "is_root": false });
        let blockers: Vec<Value> = blockers.iter().map(blocker).collect();
        serde_json::from_value(json!({ "at": "2026-11-21T02:43:00Z", "database": "shop", "in_recovery": false,
            "token": "t", "sessions": [], "waits": waits, "blockers": blockers, "long": [], "idle_in_transaction": [],
            "work": [], "invalid_indexes": [], "prepared": [], "standbys": [], "slots": [], "own_lag": null,
            "hidden_sessions": 0, "unseen": [] }))
        .unwrap()
    }

    fn pids(picture: &Picture) -> Vec<i32> {
        to_cancel(picture, Duration::from_secs(1)).iter().map(|one| one.pid).collect()
    }

    #[test]
    fn only_ones_own_that_wait_and_hold_up_others_for_long_are_cancelled() {
        // 2 is ours and waits for 1; 3 waits behind 2.
        let waits = |ms| [wait(2, true, 5_000, 1), wait(3, false, ms, 2)];
        assert_eq!(pids(&picture(&waits(1_000), &[(1, &[2]), (2, &[3])])), [2]);
        assert_eq!(pids(&picture(&waits(999), &[(1, &[2]), (2, &[3])])), [0; 0], "not for long");
        assert_eq!(pids(&picture(&[wait(2, true, 5_000, 1)], &[(1, &[2])])), [0; 0], "nobody is behind it");
        // Two of ours behind each other hold up nobody else.
        let own = [wait(2, true, 5_000, 1), wait(3, true, 5_000, 2)];
        assert_eq!(pids(&picture(&own, &[(1, &[2]), (2, &[3])])), [0; 0]);
        // Somebody else's that waits is left alone, whoever is behind it.
        let others = [wait(2, false, 5_000, 1), wait(3, false, 5_000, 2)];
        assert_eq!(pids(&picture(&others, &[(1, &[2]), (2, &[3])])), [0; 0]);
    }
}
