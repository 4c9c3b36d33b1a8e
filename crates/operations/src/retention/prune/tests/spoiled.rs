//! Records whose bytes are not what was written: each hides itself and nothing else.

use super::*;
use crate::catalogue::list;

/// Spoils every answer, or the next one, to whoever reads what has this in its key.
fn spoiling(target: &str) -> Rule {
    Rule::new(Fault::FlipResponseByte(1)).operation("GetObject").target(target)
}

/// What a check tells of records that cannot be read: their places.
async fn unreadable(context: &Context) -> Vec<String> {
    let found = check(context, &LOOKING).await.unwrap().findings.into_iter();
    found.filter(|one| one.kind == FindingKind::Unreadable).map(|one| one.place).collect()
}

#[tokio::test]
async fn a_record_with_a_wrong_checksum_is_unreadable_and_hides_no_other() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    for n in 1..=4 {
        let at = sample_context::now() - TimeDelta::seconds(60 - 10 * n);
        publish_at(&context, n.cast_unsigned(), Some(at)).await;
    }
    let [first, second, third, newest] = [1, 2, 3, 4].map(sample::point);
    judged(&context, &third, "proved", sample_context::now()).await;
    judged(&context, &newest, "proved", sample_context::now()).await;
    context
        .repository
        .pin_new(&context.database, &second, "audit", &pin_until(Some(sample_context::now())))
        .await
        .unwrap();
    let keys = [
        layout::manifest(&context.database, &first),
        layout::pin(&context.database, &second, "audit"),
        layout::verifications(&context.database, &third),
    ];
    // On its way once: it is read again.
    for key in &keys {
        proxy.rule(spoiling(key).times(1));
    }
    assert_eq!(unreadable(&context).await, Vec::<String>::new());
    assert_eq!(proxy.pending(), 0);
    // As it is stored.
    for key in &keys {
        proxy.rule(spoiling(key).always());
    }
    let listed = list(&context).await.unwrap();
    assert_eq!(listed.unreadable.iter().map(|one| &one.id).collect::<Vec<_>>(), [&first]);
    let [of_second, of_third, of_newest] = &listed.points[..] else { panic!("{listed:?}") };
    assert_eq!((&*of_second.pins, of_third.unreadable.len()), (&["audit".to_owned()][..], 1));
    assert!(of_newest.is_proven_and_there(), "{of_newest:?}");
    assert_eq!(of_second.unreadable_pins.len(), 1);
    let found = unreadable(&context).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0], first.as_str());
    assert!(found[1] == keys[1] && found[2].starts_with(&keys[2]), "{found:?}");
    let policy = RetentionPolicy { minimum_age: TimeDelta::zero(), ..keeping_the_last().policy };
    let report = prune(&context, None, &PruneOptions { policy, ..keeping_the_last() }).await.unwrap();
    assert_eq!(report.unreadable.iter().map(|one| &one.id).collect::<Vec<_>>(), [&first]);
    let pinned = report.plan.keeps().find(|one| one.id == second);
    assert!(pinned.is_some(), "a pin that cannot be read holds: {report:?}");
    proxy.clear();
    let there = context.repository.points(&context.database).await.unwrap();
    assert!(there.contains(&first) && there.contains(&second) && there.contains(&newest), "{there:?}");
}
