//! A lease that is renewed, and when it is taken for lost.

use holdpoint_testkit::{Fault, Rule};
use tokio::time::{sleep, timeout};

use super::*;

const SOON: RenewalPace = RenewalPace {
    every: Duration::from_millis(20),
    again_after: Duration::from_millis(20),
    lost_after: Duration::from_millis(200),
};

#[test]
fn a_lease_is_renewed_and_given_up_long_before_it_ends() {
    assert!(PACE.every * 2 < PACE.lost_after && PACE.lost_after + Duration::from_secs(60) < HOLDS_FOR);
}

#[tokio::test]
async fn a_lease_that_another_took_or_that_cannot_be_renewed_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut ours = lease(folder.path()).await;
    let path = folder.path().join("shop/lease");
    let written = |path: &std::path::Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let mut others = written(&path);
    others["nonce"] = "another".into();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, others.to_string()).unwrap();
    lost(&mut ours, Instant::now(), SOON).await;
    assert_eq!(written(&path), others, "nothing is taken back");

    let folder = tempfile::tempdir().unwrap();
    let mut ours = lease(folder.path()).await;
    let path = folder.path().join("shop/lease");
    let renewed = async {
        while written(&path)["written"] != 3 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = lost(&mut ours, Instant::now(), RenewalPace { lost_after: Duration::from_secs(60), ..SOON }) => {
            panic!("it is renewed")
        }
        () = renewed => {}
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "unreadable").unwrap();
    lost(&mut ours, Instant::now(), SOON).await;
}

/// Others may take it when its time is over, whether the store has answered by then or not.
#[tokio::test]
async fn a_lease_whose_store_does_not_answer_is_lost_in_time() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    let turn = turn_at("a", sample_context::now());
    let LeaseTaken::Ours(mut ours) =
        context.repository.take_lease(&context.database, "a", &turn, HOLDS_FOR).await.unwrap()
    else {
        panic!("it is free")
    };
    proxy.rule(Rule::new(Fault::Silence).target("/lease").always());
    let began = Instant::now();
    let pace = RenewalPace { lost_after: Duration::from_secs(5), ..SOON };
    timeout(Duration::from_secs(120), lost(&mut ours, began, pace)).await.expect("it waits for the store");
    assert!(began.elapsed() >= pace.lost_after && proxy.met() > 0);

    // The time in which it was taken counts: it may stand since the first moment of it.
    let folder = tempfile::tempdir().unwrap();
    let mut ours = lease(folder.path()).await;
    timeout(Duration::from_secs(120), lost(&mut ours, Instant::now() - SOON.lost_after, SOON))
        .await
        .expect("it is over");
}
