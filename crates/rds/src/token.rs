//! Tokens of IAM authentication: passwords for a quarter of an hour.

use aws_sdk_rds::auth_token::{AuthTokenGenerator, Config};
use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::Secret;

use crate::client::Rds;
use crate::error::{Error, Result};

/// So long RDS takes a token for a new connection (user guide, "IAM database authentication"); open sessions go on.
const VALID_FOR: TimeDelta = TimeDelta::minutes(15);
/// A token is made anew when it has less than this to live, so that a connection that is slow to open still has one.
const RENEWED_BEFORE: TimeDelta = TimeDelta::minutes(5);

/// How names of Amazon's endpoints end.
const ENDPOINTS: [&str; 2] = [".rds.amazonaws.com", ".rds.amazonaws.com.cn"];

/// The region of an endpoint that Amazon named, such as `shop.c9akciq32.eu-central-1.rds.amazonaws.com`; `None` for other
/// names.
#[must_use]
pub fn region_of(host: &str) -> Option<&str> {
    let end = host.len().checked_sub(ENDPOINTS.iter().find_map(|ending| {
        let tail = host.len().checked_sub(ending.len()).and_then(|at| host.get(at..))?;
        tail.eq_ignore_ascii_case(ending).then_some(ending.len())
    })?)?;
    host[..end].rsplit_once('.').map(|(_, region)| region)
}

/// A password for one user at one endpoint.
#[derive(Debug, Clone)]
pub struct Token {
    /// The password; TLS is needed to use it.
    pub password: Secret,
    /// Until when a connection can be opened with it.
    pub valid_until: DateTime<Utc>,
}

/// Makes tokens for one user at one endpoint, and keeps the last as long as it is good.
#[derive(Debug)]
pub struct Tokens {
    rds: Rds,
    host: String,
    port: u16,
    user: String,
    last: Option<Token>,
}

impl Tokens {
    /// Makes tokens for `user`. Nothing is asked of AWS but credentials; whether the instance takes tokens of that user
    /// shows when it is connected to.
    ///
    /// # Errors
    /// [`Error::Configuration`]: host or user have signs that no endpoint and no token can have.
    pub fn new(rds: Rds, host: &str, port: u16, user: &str) -> Result<Self> {
        let plain = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|sign| sign.is_ascii_alphanumeric() || more.contains(sign))
        };
        let fail = |setting, reason: &str| Err(Error::Configuration { setting, reason: reason.to_owned() });
        if !plain(host, ".-") {
            return fail("host", "is not the name of an endpoint");
        }
        // They are signed as a part of a URL, where others would mean something.
        if !plain(user, "_-.") {
            return fail("user", "has other signs than letters, digits, _, - and ., which a token cannot have");
        }
        Ok(Self { rds, host: host.to_owned(), port, user: user.to_owned(), last: None })
    }

    /// A token with at least five minutes to live: the last one, or a new one.
    ///
    /// # Errors
    /// [`Error::Credentials`].
    pub async fn token(&mut self, now: DateTime<Utc>) -> Result<Token> {
        if let Some(last) = self.last.as_ref().filter(|last| last.valid_until - now > RENEWED_BEFORE) {
            return Ok(last.clone());
        }
        let fail = |error: Box<dyn std::error::Error + Send + Sync>| Error::Credentials {
            action: "rds-db:connect",
            detail: error.to_string(),
        };
        let wanted = Config::builder().hostname(&self.host).port(u64::from(self.port)).username(&self.user);
        let generator = AuthTokenGenerator::new(wanted.build().map_err(fail)?);
        let made = generator.auth_token(&self.rds.shared).await.map_err(fail)?;
        let token = Token { password: Secret::new(made.as_str()), valid_until: now + VALID_FOR };
        self.last = Some(token.clone());
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_tell_their_region() {
        assert_eq!(region_of("shop.abc.eu-central-1.rds.amazonaws.com"), Some("eu-central-1"));
        assert_eq!(region_of("shop.cluster-ro-abc.cn-north-1.RDS.amazonaws.com.cn"), Some("cn-north-1"));
        for other in
            ["localhost", "rds.amazonaws.com", ".rds.amazonaws.com", "x.rds.amazonaws.com.evil", "\u{fc}.example"]
        {
            assert_eq!(region_of(other), None, "{other}");
        }
    }
}
