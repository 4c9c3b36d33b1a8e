//! A run that ended before it began, as its configuration is wrong: whoever can still be told is.

use std::sync::Arc;

use holdpoint_core::Mask;
use holdpoint_operations::Clock;
use holdpoint_operations::cron::{Failed, PingSign, Telling, ping, tell_unbegun};
use tokio_util::sync::CancellationToken;

use super::delivery;
use crate::failure::Failure;
use crate::invocation::now;
use crate::settings::Settings;

/// Tells webhook and ping of it, as far as the settings name them; what could not be told is logged.
pub(crate) async fn tell(settings: &Settings, cancel: &CancellationToken, failure: &Failure) {
    let (webhook, secret) = settings.webhook().unwrap_or_default();
    let address = settings.ping().unwrap_or_default();
    let mut mask = Mask::new(crate::secrets::known(&settings.variables));
    mask.learn(settings.passwords());
    mask.learn([&webhook, &secret, &address].into_iter().flatten().cloned());
    let told = failure.told(&mask, cancel.is_cancelled());
    let failed = Failed { kind: told.kind, message: told.line(), hint: told.hint };
    let telling =
        Telling { owner: super::owner(), webhook: webhook.map(|to| delivery(cancel.clone(), to, secret)), mask };
    let repository = settings.repository().ok().map(|chosen| chosen.url.to_string());
    let address = address.map(|to| delivery(cancel.clone(), to, None));
    let pinged = async { ping(address.as_ref()?, PingSign::Fail).await.err() };
    let clock: Clock = Arc::new(now);
    let (told, pinged) = tokio::join!(tell_unbegun(repository.as_deref(), &clock, &telling, &failed), pinged);
    for why in told.into_iter().chain(pinged.map(|why| format!("the ping was not heard: {why}"))) {
        tracing::warn!("{why}");
    }
}
