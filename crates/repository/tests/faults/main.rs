//! Every fault at every phase of upload, download and prune, once and for ever: right bytes or a clear error within the
//! time-outs, and nothing left behind after the next sweep.
//!
//! A binary of its own, so that nothing else is kept waiting.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where anything is wrong")]

mod cases;
#[path = "../contract/engine.rs"]
#[allow(dead_code, reason = "the contract needs more of it")]
mod engine;
mod flows;
#[path = "../sample/mod.rs"]
mod sample;
#[path = "../contract/suite/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the contract needs more of it")]
mod suite;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};

use crate::engine::spoiled_with;
use cases::{Flow, Phase, Spoil};
use holdpoint_repository::{ChecksumMode, Error};
use holdpoint_testkit::{Fault, Rule};

/// Far more than all time-outs of a case together: nothing hangs.
const HANGS: Duration = Duration::from_secs(240);
/// Cases at once that wait for time-outs, which must not strike what is only slow.
const WAITING: usize = 128;
/// Cases at once that keep the machine busy.
const BUSY: usize = 6;

/// What became of a case: whether the work succeeded, and how many requests met the fault.
type Ended = Result<(bool, usize), String>;

async fn case(phase: Phase, spoil: Spoil, always: bool) -> Ended {
    let name = format!("{phase:?}, {}, {}", spoil.name, if always { "for ever" } else { "once" });
    let one = async {
        let s = spoiled_with(spoil.timing(always), |o| o.checksum = ChecksumMode::Crc64Nvme).await;
        flows::prepare(phase.flow, &s).await;
        s.proxy.rule(phase.rule(&spoil, always));
        let ended = flows::work(phase.flow, &s).await;
        let met = s.proxy.met();
        // Where time-outs are short, a busy machine may end the work before it comes to the fault.
        let early = always && spoil.stalls && ended.is_err();
        assert!(met > 0 || early, "no request met the fault");
        match &ended {
            Ok(()) => {}
            Err(error) => {
                assert!(always || !phase.is_survived(&spoil), "one fault was not survived: {error:?}");
                flows::assert_clear(error, always);
            }
        }
        flows::hold(phase.flow, &s, &ended).await;
        (ended.is_ok(), met)
    };
    match AssertUnwindSafe(tokio::time::timeout(HANGS, one)).catch_unwind().await {
        Ok(Ok(ended)) => Ok(ended),
        Ok(Err(_elapsed)) => Err(format!("{name}: it hangs")),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            Err(format!("{name}: {}", words.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked")))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_at_every_phase() {
    let (phases, spoils) = (cases::phases(), cases::all());
    let (mut waiting, mut busy) = (Vec::new(), Vec::new());
    for phase in phases {
        for spoil in spoils.iter().filter(|spoil| phase.can(spoil)) {
            let cases = [false, true].map(|always| case(phase, spoil.clone(), always));
            if spoil.stalls { waiting.extend(cases) } else { busy.extend(cases) }
        }
    }
    let count = waiting.len() + busy.len();
    let waiting = stream::iter(waiting).buffer_unordered(WAITING).collect::<Vec<Ended>>();
    let busy = stream::iter(busy).buffer_unordered(BUSY).collect::<Vec<Ended>>();
    let (waiting, busy) = tokio::join!(waiting, busy);
    let ended = [waiting, busy].concat();
    let problems: Vec<&String> = ended.iter().filter_map(|one| one.as_ref().err()).collect();
    let well: Vec<_> = ended.iter().filter_map(|one| one.as_ref().ok()).collect();
    let met: usize = well.iter().map(|(_, met)| met).sum();
    let done = well.iter().filter(|(done, _)| *done).count();
    println!("{count} cases, {done} done in spite of {met} faults, {} told why not", well.len() - done);
    assert!(problems.is_empty(), "{} of {count} cases:\n{}", problems.len(), {
        problems.iter().map(|one| one.as_str()).collect::<Vec<_>>().join("\n")
    });
    // The SDK's own budget would have ended after some hundred.
    assert!(count > 400 && met > 800, "{count} cases, {met} faults");
}

/// One request to delete a mark fails, and so does the other way to ask for it.
#[tokio::test]
async fn a_restore_point_whose_mark_stays_is_told_to_be_hidden() {
    let busy = cases::all().into_iter().find(|spoil| !spoil.stalls).unwrap();
    let s = spoiled_with(busy.timing(true), |o| o.checksum = ChecksumMode::Crc64Nvme).await;
    flows::prepare(Flow::Pinned, &s).await;
    for operation in ["DeleteObjects", "DeleteObject"] {
        s.proxy.rule(Rule::new(Fault::s3_error(403, "AccessDenied")).operation(operation).always());
    }
    let ended = flows::work(Flow::Pinned, &s).await;
    assert!(matches!(ended, Err(Error::Hidden { .. })), "{ended:?}");
    flows::hold(Flow::Pinned, &s, &ended).await;
}
