//! Steps of runs that cannot be read.

use holdpoint_core::RunId;
use holdpoint_core::layout;
use holdpoint_core::ledger::RunState::{Running, Started, Succeeded};
use holdpoint_core::ledger::RunStep;
use holdpoint_core::selector::RunSelector;
use holdpoint_guard::Error;
use holdpoint_guard::runs::{self, SettleOptions, Standing};
use holdpoint_operations::ErrorKind;

use crate::planning::Folder;

#[tokio::test]
async fn a_step_that_cannot_be_read_hides_no_other_run_and_is_asked_about_where_it_may_be_at_work() {
    let mut folder = Folder::open(&[]).await;
    folder.listed("true");
    let ended = folder.shop.guard("true").await.unwrap().run;
    let last = folder.shop.steps(&ended).await.pop().unwrap();
    let (repository, database) = (folder.shop.context.repository.clone(), folder.shop.context.database.clone());
    let root = folder.shop.file("repository");
    let damage = |step: &RunStep| {
        let key = layout::run_step(&database, &step.run, step.n, step.state.word());
        std::fs::write(root.join(&key), "{").unwrap();
        key
    };

    // Its key says that it ended well.
    let key = damage(&last);
    let listed = runs::runs(&folder.shop.context, None, 20).await.unwrap();
    let [summary] = &listed.runs[..] else { panic!("{listed:?}") };
    assert_eq!((summary.standing, summary.state, summary.unsettled), (Standing::Unreadable, Succeeded, false));
    assert!(listed.warnings.len() == 1 && listed.warnings[0].contains(&key), "{listed:?}");
    let shown = runs::run(&folder.shop.context, None, &RunSelector::Latest).await.unwrap();
    assert!(shown.summary.run == ended && shown.summary.verdict.is_none(), "{shown:?}");
    let next = folder.shop.guard("true").await.unwrap();
    assert!(next.state == Succeeded && next.warnings.iter().any(|one| one.contains(&key)), "{:?}", next.warnings);

    // One that may be at work: nobody can look whether it is.
    let killed = RunId::new(chrono::Utc::now(), 4711);
    let started = RunStep { run: killed.clone(), n: 1, state: Started, process: None, command_process: None, ..last };
    let running = RunStep { n: 2, state: Running, ..started.clone() };
    for step in [&started, &running] {
        repository.record_step(&database, step).await.unwrap();
    }
    let key = damage(&running);
    let error = folder.shop.guard("true").await.unwrap_err();
    assert!(matches!(&error, Error::StepUnreadable { run, .. } if *run == killed.to_string()), "{error}");
    assert!(error.kind() == ErrorKind::Refused && error.to_string().contains(&key), "{error}");
    let way_out = format!("holdpoint settle {killed} --reason TEXT");
    assert!(error.hint().unwrap().contains(&way_out), "{:?}", error.hint());
    let listed = runs::runs(&folder.shop.context, None, 20).await.unwrap();
    assert_eq!((listed.runs.len(), listed.runs.iter().filter(|run| run.unsettled).count()), (3, 1), "{listed:?}");
    let options =
        SettleOptions { run: RunSelector::Id(killed.clone()), reason: "nothing of it lives".into(), operator: None };
    let settled = runs::settle(&folder.shop.context, &folder.shop.place(), &options).await.unwrap();
    assert_eq!((settled.was, settled.still_unsettled), (Running, Vec::new()));
    assert_eq!(folder.shop.guard("true").await.unwrap().state, Succeeded);

    // Nothing of a run can be read.
    damage(&started);
    std::fs::remove_file(root.join(layout::run_step(&database, &killed, 3, "settled"))).unwrap();
    let error = runs::settle(&folder.shop.context, &folder.shop.place(), &options).await.unwrap_err();
    assert!(error.hint().unwrap().contains("remove its folder"), "{error}: {:?}", error.hint());
}
