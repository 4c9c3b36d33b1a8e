//! Pins that are over, and those that go.

use super::*;
use crate::retention::PinEnd;

#[tokio::test]
async fn a_pin_that_is_over_is_told_as_such_and_whoever_pins_anew_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let (id, end) = (sample::point(1), context.repository.store().server_time().await.unwrap());
    for (name, until) in [("over", Some(end)), ("holds", Some(end + TimeDelta::hours(1))), ("for-ever", None)] {
        context.repository.pin_new(&context.database, &id, name, &pin_until(until)).await.unwrap();
    }
    let pins = async || {
        let (points, _) = survey(&context, end).await.unwrap();
        (points[0].summary.pins.join(" "), points[0].summary.over_pins.join(" "))
    };
    assert_eq!(pins().await, ("for-ever holds".to_owned(), "over".to_owned()));
    let again = |name: &str| crate::retention::PinOptions {
        name: name.to_owned(),
        reason: "another".to_owned(),
        until: None,
        operator: None,
        lock_until: None,
    };
    // No prune removes it: it could not tell it from one that somebody wrote under that name in that moment.
    let report = prune(&context, None, &keeping_the_last()).await.unwrap();
    assert_eq!((report.pins, pins().await.1), (Vec::new(), "over".to_owned()));
    let taken = crate::retention::pin(&context, &id, &again("holds")).await.unwrap_err().line();
    assert!(taken.contains("has a pin holds already: choose another name"), "{taken}");
    crate::retention::pin(&context, &id, &again("over")).await.unwrap();
    assert_eq!(pins().await, ("for-ever holds over".to_owned(), String::new()));
    let record = context.repository.pin_record(&context.database, &id, "over").await.unwrap();
    assert_eq!((&*record.reason, record.until), ("another", None));
    // One that is over may be removed by hand.
    context.repository.pin_new(&context.database, &id, "short", &pin_until(Some(end))).await.unwrap();
    crate::retention::unpin(&context, &id, "short").await.unwrap();
    assert_eq!(pins().await, ("for-ever holds over".to_owned(), String::new()));
}

/// The printed policies let nobody write over what is there.
#[tokio::test]
async fn who_may_not_write_over_a_pin_that_is_over_is_told_to_remove_it() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    let id = publish(&context, 1).await;
    let over = pin_until(Some(sample_context::now() - TimeDelta::days(1)));
    context.repository.pin_new(&context.database, &id, "audit", &over).await.unwrap();
    let replaces = |request: &SeenRequest| request.operation() == "PutObject" && request.header("if-match").is_some();
    proxy.rule(Rule::new(Fault::s3_error(403, "AccessDenied")).when(replaces).always());
    let (name, reason) = ("audit".to_owned(), "another".to_owned());
    let again = crate::retention::PinOptions { name, reason, until: None, operator: None, lock_until: None };
    let refused = crate::retention::pin(&context, &id, &again).await.unwrap_err().line();
    assert!(refused.contains("which is over, and may not be written over") && refused.contains("unpin"), "{refused}");
    assert_eq!(proxy.met(), 1);
    proxy.clear();
    // A store that replaces nothing under a condition: the same helps.
    proxy.rule(Rule::new(Fault::s3_error(501, "NotImplemented")).when(replaces).always());
    let refused = crate::retention::pin(&context, &id, &again).await.unwrap_err().line();
    assert!(refused.contains("which is over, and may not be written over"), "{refused}");
    proxy.clear();
    // Who may write no pin at all is told that, and not to choose another name.
    proxy.rule(Rule::new(Fault::s3_error(403, "AccessDenied")).operation("PutObject").always());
    let denied = crate::retention::pin(&context, &id, &again).await.unwrap_err();
    assert!(matches!(denied, Error::Repository(holdpoint_repository::Error::AccessDenied { .. })), "{denied:?}");
    proxy.clear();
    // What fails for another reason is that, and not a pin that holds.
    proxy.rule(
        Rule::new(Fault::s3_error(503, "SlowDown"))
            .operation("GetObject")
            .target("pins/audit.json")
            .from_nth(2)
            .always(),
    );
    let failed = crate::retention::pin(&context, &id, &again).await.unwrap_err().line();
    assert!(failed.contains("SlowDown"), "{failed}");
    proxy.clear();
    crate::retention::pin(&context, &id, &again).await.unwrap();
}

/// A reader that was killed leaves a pin; of what another prune drops meanwhile it goes by that.
#[tokio::test]
async fn pins_of_what_another_prune_dropped_are_not_removed_again_and_what_cannot_be_removed_is_told() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    publish(&context, 1).await;
    let reader = "reading-20200101T000000Z-0000000000000001";
    let pin = pin_until(Some(sample_context::now()));
    context.repository.pin_new(&context.database, &sample::point(1), reader, &pin).await.unwrap();
    let mut report = prune(&context, None, &PruneOptions { dry_run: true, ..keeping_the_last() }).await.unwrap();
    let planned = report.pins.clone();
    let deleted = || proxy.requests().iter().filter(|request| request.operation() == "DeleteObject").count();
    let before = deleted();
    let gone = BTreeSet::from([sample::point(1)]);
    remove_pins(&context, &mut report, &gone, sample_context::now()).await;
    assert_eq!((report.pins.len(), report.pins[0].with_point, deleted()), (1, true, before));
    report.pins = planned;
    proxy.rule(Rule::new(Fault::s3_error(403, "AccessDenied")).operation("DeleteObject").always());
    remove_pins(&context, &mut report, &BTreeSet::new(), sample_context::now()).await;
    assert!(report.pins[0].problem.is_some() && report.is_complete(), "{report:?}");
    let told = report.warnings.iter().find(|one| one.contains("1 pin, over by now, could not be removed"));
    assert!(told.is_some_and(|told| told.contains(reader)), "{report:?}");
}

#[tokio::test]
async fn a_pin_of_a_run_that_ended_long_ago_is_listed_as_over() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let (id, run) = (sample::point(1), "20261001T000000Z-aaaa".parse::<holdpoint_core::RunId>().unwrap());
    let step = serde_json::json!({
        "format": 1, "run": run, "n": 1, "state": "succeeded", "at": "2026-10-01T00:00:00Z", "identity": sample::identity(),
        "command": ["psql"], "point": id, "wal_position": null, "instant": null, "exit_code": 0, "signal": null, "operator": null,
        "message": null
    });
    let key = layout::run_step(&context.database, &run, 1, "succeeded");
    context.repository.store().put_new(&key, step.to_string().into(), PutOptions::default()).await.unwrap();
    let name = format!("run-{run}");
    let pin = holdpoint_core::pin::PinRecord { run: Some(run), ..pin_until(None) };
    context.repository.pin(&context.database, &id, &name, &pin).await.unwrap();
    for (now, over) in [("2026-10-07T23:59:59Z", false), ("2026-10-08T00:00:00Z", true)] {
        let (points, _) = survey(&context, now.parse().unwrap()).await.unwrap();
        let (pins, over_pins) = (&points[0].summary.pins, &points[0].summary.over_pins);
        let (there, none) = (vec![name.clone()], Vec::new());
        assert_eq!((pins, over_pins), if over { (&none, &there) } else { (&there, &none) }, "{now}");
    }
    let refused = crate::retention::unpin(&context, &id, &name).await.unwrap_err().line();
    assert!(refused.contains("is over, holds nothing, and goes with its restore point"), "{refused}");
}

#[tokio::test]
async fn pins_that_go_are_planned_as_they_go() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let now = context.repository.store().server_time().await.unwrap();
    judged(&context, &publish(&context, 3).await, "proved", now).await;
    for n in [1, 3] {
        sample_context::date(folder.path(), &sample::point(n));
    }
    // An end that is past by the name, as a reader leaves it that was killed.
    let reader = "reading-20200101T000000Z-0000000000000001";
    for (point, name) in [(1, "audit"), (1, reader), (3, reader), (3, "audit")] {
        let id = sample::point(point);
        context.repository.pin_new(&context.database, &id, name, &pin_until(Some(now))).await.unwrap();
    }
    let policy = RetentionPolicy { minimum_age: TimeDelta::zero(), ..keeping_the_last().policy };
    let dropping = PruneOptions { policy, ..keeping_the_last() };
    let planned = prune(&context, None, &PruneOptions { dry_run: true, ..dropping.clone() }).await.unwrap();
    let gone = |point: u64, name: &str, with_point| GonePin {
        point: sample::point(point),
        name: name.to_owned(),
        with_point,
        problem: None,
    };
    assert_eq!(planned.pins, [gone(1, "audit", true), gone(1, reader, true), gone(3, reader, false)]);
    assert_eq!(context.repository.pins(&context.database, &sample::point(3)).await.unwrap(), ["audit", reader]);
    let done = prune(&context, None, &dropping).await.unwrap();
    assert_eq!(done.pins, planned.pins);
    assert_eq!(context.repository.pins(&context.database, &sample::point(1)).await.unwrap(), [""; 0]);
    assert_eq!(context.repository.pins(&context.database, &sample::point(3)).await.unwrap(), ["audit"]);
}

#[tokio::test]
async fn what_lies_among_the_pins_keeps_its_restore_point_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let id = sample::point(1);
    for odd in ["Odd Name.json", "audit.json~", "note"] {
        let path = folder.path().join(layout::pins(&context.database, &id)).join(odd);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "x").unwrap();
        let (points, _) = survey(&context, sample_context::now()).await.unwrap();
        assert_eq!(points[0].summary.pins, [format!("pins/{odd}")]);
        let report = prune(&context, None, &keeping_the_last()).await.unwrap();
        let kept = format!("{:?}", report.plan.entries[0].fate);
        assert!(kept.contains(&format!("pins/{odd}")), "{kept}");
        // Also for who planned before it was there.
        let withdrawn = context.repository.withdraw(&context.database, &id, &[]).await.unwrap();
        assert!(matches!(&withdrawn, Withdrawal::Pinned { pins } if *pins == [format!("pins/{odd}")]), "{withdrawn:?}");
        let refused = crate::retention::unpin(&context, &id, &format!("pins/{odd}")).await.unwrap_err().line();
        assert!(refused.contains("by hand") && refused.contains(odd), "{refused}");
        std::fs::remove_file(&path).unwrap();
    }
    assert!(matches!(
        context.repository.withdraw(&context.database, &id, &[]).await.unwrap(),
        Withdrawal::Done { remains, .. } if remains.is_empty()
    ));
}

/// A prune weighs a pin by the store's clock, so that is the one by which it is written.
#[tokio::test]
async fn a_pin_ends_by_the_stores_clock_whatever_this_machines_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut context = with_a_point(folder.path()).await;
    let (id, now) = (sample::point(1), context.repository.store().server_time().await.unwrap());
    let hour = TimeDelta::hours(1);
    for (n, ahead) in [hour * 3, hour * -3].into_iter().enumerate() {
        context.clock = std::sync::Arc::new(move || now + ahead);
        let pin = async |name: &str, until: PinEnd| {
            let (name, reason) = (format!("{name}-{n}"), "audit".to_owned());
            let options =
                crate::retention::PinOptions { name, reason, until: Some(until), operator: None, lock_until: None };
            crate::retention::pin(&context, &id, &options).await
        };
        pin("at", PinEnd::At(now + hour)).await.unwrap();
        let after = pin("after", PinEnd::After(hour.to_std().unwrap())).await.unwrap().pin;
        let until = after.until.unwrap();
        assert!(until >= now + hour && until < now + hour * 2 && after.at < now + hour, "{after:?}");
        let refused = pin("past", PinEnd::At(now - hour)).await.unwrap_err().line();
        assert!(refused.contains("would be over already: by the store's clock it is"), "{refused}");
    }
}
