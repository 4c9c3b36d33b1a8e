//! `holdpoint pin` and `holdpoint unpin`: a person's reason why a restore point stays.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdpoint_core::PointId;
use holdpoint_core::pin::{FORMAT, PinRecord};
use holdpoint_core::retention::Hold;
use holdpoint_repository::{Error as Repository, PinnedAnew, Repository as Store};
use serde::Serialize;

use crate::reading::OF_READERS;
use crate::{Context, Error};

/// Names of the pins of runs begin so; they end by themselves.
const OF_RUNS: &str = "run-";

/// How a restore point is pinned.
#[derive(Clone, Debug)]
pub struct PinOptions {
    /// The pin's name: lower-case letters, digits and `-`.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Until when; `None` without end.
    pub until: Option<PinEnd>,
    /// Who, in words.
    pub operator: Option<String>,
    /// Until when the store itself is to keep it at least (Object Lock, in the configured mode) where the pin has no end; else
    /// as long as that. `None` where nothing is locked.
    pub lock_until: Option<DateTime<Utc>>,
}

/// When a pin ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinEnd {
    /// Then.
    At(DateTime<Utc>),
    /// So long from now, by the store's clock.
    After(Duration),
}

impl PinEnd {
    fn instant(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::After(span) => now + span,
        }
    }
}

/// A restore point that was pinned.
#[derive(Clone, Debug, Serialize)]
pub struct PinReport {
    /// The restore point.
    pub point: PointId,
    /// The pin's name.
    pub name: String,
    /// The pin.
    pub pin: PinRecord,
    /// Until when the store itself keeps it now, at least; `None` where no lock was asked for, or it could not be had.
    pub locked_until: Option<DateTime<Utc>>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// A restore point whose pin was removed.
#[derive(Clone, Debug, Serialize)]
pub struct UnpinReport {
    /// The restore point.
    pub point: PointId,
    /// The pin's name.
    pub name: String,
    /// What else pins it.
    pub remaining: Vec<String>,
    /// The store's own lock, which a pin extends and no unpinning takes back.
    pub lock: Option<Hold>,
}

/// Pins a restore point, so that no retention drops it, and locks its objects in the store where that is asked for.
///
/// A lock that the store refuses is a warning: the pin stands.
///
/// # Errors
/// [`Error::NoSuchPoint`]; [`Error::Usage`] for a name that is none, is taken by another pin, or an end that is past by the
/// store's clock.
/// The restore point is then as it was.
pub async fn pin(context: &Context, point: &PointId, options: &PinOptions) -> Result<PinReport, Error> {
    check(&options.name)?;
    // By the clock that a prune weighs it by.
    let at = context.time(true).await?.0;
    let until = options.until.map(|end| end.instant(at));
    if let Some(until) = until.filter(|until| *until <= at) {
        let why = format!("a pin until {until} would be over already: by the store's clock it is {at}");
        return Err(Error::Usage(why));
    }
    let shown = crate::catalogue::show_any(context, point).await?;
    let PinOptions { name, reason, operator, lock_until, .. } = options.clone();
    let pin = PinRecord { format: FORMAT, reason, at, until, run: None, operator };
    // Whoever pins under the same name at the same time is told.
    let pinned = context.repository.pin_anew(&context.database, point, &name, &pin).await;
    match pinned.map_err(|error| gone_or(error, context, point))? {
        PinnedAnew::Pinned => {}
        PinnedAnew::Taken => return Err(taken(point, &name, "")),
        PinnedAnew::Stays(why) => {
            tracing::debug!(error = %why, %point, name, "the pin that is over is not replaced");
            return Err(taken(point, &name, ", which is over, and may not be written over"));
        }
    }
    let (mut locked_until, mut warnings) = (None, Vec::new());
    if let Some(configured) = lock_until.filter(|_| context.repository.url().directory().is_none()) {
        let until = until.unwrap_or(configured);
        match context.repository.extend_lock_of(&shown.manifest, until).await {
            Ok(()) => locked_until = Some(until),
            Err(error) => {
                warnings.push(format!("the store's own lock was not extended: {}", Error::from(error).line()))
            }
        }
    }
    Ok(PinReport { point: point.clone(), name, pin, locked_until, warnings })
}

fn taken(point: &PointId, name: &str, over: &str) -> Error {
    Error::Usage(format!(
        "{point} has a pin {name} already{over}: choose another name, or remove it first: holdpoint unpin {point} --name={name}"
    ))
}

/// What pinning a restore point failed with, which may have been dropped since it was looked at.
fn gone_or(error: Repository, context: &Context, point: &PointId) -> Error {
    match error {
        Repository::NotFound { .. } => Error::NoSuchPoint {
            selector: point.to_string(),
            database: context.database.to_string(),
            why: "it was dropped meanwhile".to_owned(),
            hidden: false,
        },
        error => error.into(),
    }
}

/// Removes a pin, also of a restore point whose manifest is lost.
///
/// # Errors
/// [`Error::NoSuchPoint`]; [`Error::NoSuchPin`]; [`Error::Usage`] for the pin of a run, which ends by itself.
pub async fn unpin(context: &Context, point: &PointId, name: &str) -> Result<UnpinReport, Error> {
    if name.starts_with(OF_RUNS) {
        let shown = crate::catalogue::show_any(context, point).await;
        let over = shown.is_ok_and(|shown| shown.over_pins.iter().any(|one| one == name));
        let end = match over {
            true => "is over, holds nothing, and goes with its restore point",
            false => "ends seven days after the run did; one that failed is settled first",
        };
        return Err(Error::Usage(format!("{name} is the pin of a guarded run: it {end}")));
    }
    let pins = match crate::catalogue::show_any(context, point).await {
        Ok(shown) => [shown.pins, shown.over_pins].concat(),
        Err(error @ Error::NoSuchPoint { .. }) => {
            let lost = context.repository.unpublished(&context.database).await?.lost;
            lost.into_iter().find(|one| one.id == *point).ok_or(error)?.pins
        }
        Err(error) => return Err(error),
    };
    if !pins.iter().any(|one| one == name) {
        return Err(Error::NoSuchPin { point: point.to_string(), name: name.to_owned(), pins });
    }
    if Store::is_stray_pin(name) {
        let key = format!("{}{name}", holdpoint_core::layout::point(&context.database, point));
        return Err(Error::Usage(format!(
            "{key} is no pin of holdpoint's, which keeps the restore point all the same: look whose it is, and remove it from \
             the repository by hand"
        )));
    }
    context.repository.unpin(&context.database, point, name).await?;
    let remaining = context.repository.pins(&context.database, point).await?;
    let lock = match context.repository.url().is_local() {
        true => None,
        false => context.repository.store_lock(&context.database, point).await?,
    };
    let lock = lock.map(|lock| Hold::ObjectLock { until: lock.until });
    Ok(UnpinReport { point: point.clone(), name: name.to_owned(), remaining, lock })
}

/// A pin of which nobody knows when it ends: it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadablePin {
    /// Its name.
    pub name: String,
    /// Why it, or the run that it is of, cannot be read.
    pub reason: String,
}

/// Those of the named pins whose end is past, set by hand or by runs: nobody is held by them. And those whose record, or whose
/// run's, cannot be read: they hold.
pub(crate) async fn pins_over(
    context: &Context,
    point: &PointId,
    names: &[String],
    now: DateTime<Utc>,
) -> (Vec<String>, Vec<UnreadablePin>) {
    let (mut over, mut unreadable) = (Vec::new(), Vec::new());
    for name in names.iter().filter(|name| check(name).is_ok() || name.starts_with(OF_RUNS)) {
        match context.repository.pin_end(&context.database, point, name).await {
            Ok(Some(until)) if until <= now => over.push(name.clone()),
            Ok(_) => {}
            Err(error) if error.is_of_record() => {
                unreadable.push(UnreadablePin { name: name.clone(), reason: Error::from(error).line() });
            }
            Err(error) => tracing::debug!(%error, name, "whether the pin is over is not known"),
        }
    }
    (over, unreadable)
}

fn check(name: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty()
        || name.len() > 60
        || !name.bytes().all(plain)
        || name.starts_with(OF_RUNS)
        || name.starts_with(OF_READERS)
    {
        return Err(Error::Usage(format!(
            "\"{name}\" names no pin: use lower-case letters, digits and '-', at most 60, not {OF_RUNS} or {OF_READERS} at \
             the beginning"
        )));
    }
    Ok(())
}
