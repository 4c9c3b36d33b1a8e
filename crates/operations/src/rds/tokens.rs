//! IAM tokens as the passwords of connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use holdpoint_core::Secret;
use holdpoint_postgres::connection::{Login, NotMade, Passwords};
use holdpoint_rds::{CredentialSource, Error as Rds, RdsOptions, Timing, Tokens, region_of};
use tokio::sync::Mutex;

use crate::Clock;

/// Makes a token for each login, and keeps it for ten of its fifteen minutes.
///
/// The region is that of the endpoint's name, as tokens of another one are refused; where the name says none, that of
/// `options`. Credentials are looked for when the first token is asked for.
#[must_use]
pub fn passwords(options: RdsOptions, credentials: CredentialSource, clock: Clock) -> Passwords {
    let kept = Arc::new(Mutex::new(BTreeMap::new()));
    Passwords::new(move |login| {
        let (options, credentials, now) = (options.clone(), credentials.clone(), clock());
        let kept = Arc::clone(&kept);
        async move {
            // One at a time: ten connections that are opened at once need one token.
            let mut kept = kept.lock().await;
            Box::pin(token(&mut kept, login, options, &credentials, now)).await.map_err(NotMade::from)
        }
    })
}

async fn token(
    kept: &mut BTreeMap<Login, Tokens>,
    login: Login,
    options: RdsOptions,
    credentials: &CredentialSource,
    now: DateTime<Utc>,
) -> Result<Secret, Rds> {
    if !kept.contains_key(&login) {
        let region = region_of(&login.host).map(str::to_owned).or(options.region);
        let options = RdsOptions { region, ..options };
        let rds = holdpoint_rds::Rds::connect(&options, credentials, &Timing::default()).await?;
        kept.insert(login.clone(), Tokens::new(rds, &login.host, login.port, &login.user)?);
    }
    match kept.get_mut(&login) {
        Some(tokens) => Ok(tokens.token(now).await?.password),
        None => Err(Rds::Configuration { setting: "host", reason: "has no tokens".to_owned() }),
    }
}
