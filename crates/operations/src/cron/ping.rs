//! Pings of a service that tells somebody when they stay away.

use holdpoint_core::Secret;

use crate::webhook::{Delivery, deliver};

/// What a ping says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingSign {
    /// The run begins.
    Start,
    /// Nothing failed.
    Success,
    /// Something failed.
    Fail,
}

/// Asks the address of a check, in the way of healthchecks.io: the address itself for success, `/start` and `/fail` below it.
///
/// # Errors
/// Why nobody answered, in words that never hold the address.
pub async fn ping(delivery: &Delivery, sign: PingSign) -> Result<(), String> {
    let to = Secret::new(address(delivery.to.expose(), sign));
    deliver(&Delivery { to, secret: None, ..delivery.clone() }, None).await
}

fn address(url: &str, sign: PingSign) -> String {
    let tail = match sign {
        PingSign::Start => "/start",
        PingSign::Success => return url.to_owned(),
        PingSign::Fail => "/fail",
    };
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (url, String::new()),
    };
    format!("{}{tail}{query}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_stand_below_the_address() {
        let at = |url, sign| address(url, sign);
        assert_eq!(at("https://hc.example/u-1", PingSign::Success), "https://hc.example/u-1");
        assert_eq!(at("https://hc.example/u-1/", PingSign::Start), "https://hc.example/u-1/start");
        assert_eq!(at("https://hc.example/u-1?rid=7", PingSign::Fail), "https://hc.example/u-1/fail?rid=7");
    }
}
