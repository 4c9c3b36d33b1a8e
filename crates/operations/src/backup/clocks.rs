//! Three clocks, by which restore points are dated and dropped: this machine's, the source server's, the store's.

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::retention::WRONG_CLOCK;
use holdpoint_repository::Error as Store;

use crate::{Context, Error};

/// A clock that differs from the store's by more is worth a warning.
const STORE_SKEW: TimeDelta = TimeDelta::minutes(5);
/// So is a server's that differs from this machine's by more.
const SERVER_SKEW: TimeDelta = TimeDelta::minutes(1);

/// What the clocks show at the same moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    machine: DateTime<Utc>,
    server: DateTime<Utc>,
    /// `None` where the store does not tell.
    pub(crate) store: Option<DateTime<Utc>>,
}

impl Clocks {
    /// Reads this machine's and the store's beside the server's, which was read just before.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn read(context: &Context, server: DateTime<Utc>) -> Result<Self, Error> {
        let machine = (context.clock)();
        let store = match context.repository.store().server_time().await {
            Ok(time) => Some(time),
            Err(Store::Unsupported { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { machine, server, store })
    }

    /// What is worth a warning.
    ///
    /// # Errors
    /// [`Error::WrongClock`] where this machine's or the server's clock differs from the store's by more than an hour: such
    /// a restore point would be dropped too early, or hide others.
    pub(crate) fn warnings(self) -> Result<Vec<String>, Error> {
        let mut warnings = Vec::new();
        if let Some(store) = self.store {
            for (whose, time) in [("this machine's", self.machine), ("the server's", self.server)] {
                let off = apart_from_store(whose, time, store)?;
                if off.abs() > STORE_SKEW {
                    warnings.push(format!("{whose} clock is {} the store's; ages are by the store's", apart(off)));
                }
            }
        }
        let off = self.server.signed_duration_since(self.machine);
        if off.abs() > SERVER_SKEW {
            let text = "this machine's; restore points are dated by the server's";
            warnings.push(format!("the server's clock is {} {text}", apart(off)));
        }
        Ok(warnings)
    }
}

/// How far a clock is from the store's.
///
/// # Errors
/// [`Error::WrongClock`] where they differ by more than an hour: one of them is wrong, and nobody can tell which.
pub(crate) fn apart_from_store(
    whose: &'static str,
    time: DateTime<Utc>,
    store: DateTime<Utc>,
) -> Result<TimeDelta, Error> {
    let off = time.signed_duration_since(store);
    if off.abs() > WRONG_CLOCK {
        return Err(Error::WrongClock { whose, time, store });
    }
    Ok(off)
}

fn apart(off: TimeDelta) -> String {
    let word = if off > TimeDelta::zero() { "ahead of" } else { "behind" };
    format!("{} s {word}", off.num_seconds().abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(machine: i64, server: i64, store: Option<i64>) -> Clocks {
        let at = |seconds| DateTime::from_timestamp(1_795_228_980 + seconds, 0).unwrap();
        Clocks { machine: at(machine), server: at(server), store: store.map(at) }
    }

    #[test]
    fn what_differs_from_the_store_is_told_or_refused() {
        let told = |machine, server, store| clocks(machine, server, store).warnings().unwrap().join("\n");
        assert_eq!(told(0, 60, Some(-240)), "");
        assert_eq!(
            told(0, 61, None),
            "the server's clock is 61 s ahead of this machine's; restore points are dated by the server's"
        );
        assert!(told(0, -86_400, None).contains("86400 s behind this machine's"), "the store does not tell");
        assert_eq!(told(0, 0, Some(300)), "");
        let both = told(0, 0, Some(301));
        assert!(both.contains("this machine's clock is 301 s behind the store's"), "{both}");
        assert!(both.contains("the server's clock is 301 s behind the store's"), "{both}");
        assert!(told(3600, 0, Some(0)).contains("this machine's clock is 3600 s ahead of the store's"));
        for (machine, server, wrong) in [
            (3601, 0, "this machine's"),
            (-3601, 0, "this machine's"),
            (0, 3601, "the server's"),
            (0, -86_400 * 365, "the server's"),
        ] {
            let refused = clocks(machine, server, Some(0)).warnings().unwrap_err();
            assert!(matches!(refused, Error::WrongClock { whose, .. } if whose == wrong), "{refused}");
        }
    }
}
