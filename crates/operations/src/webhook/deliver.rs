//! Sends a message, and again where nobody took it, for a while.

use std::time::Duration;

use holdpoint_core::Secret;
use tokio_util::sync::CancellationToken;

use super::{SIGNATURE, TIMESTAMP, exchange, sign};
use crate::Clock;

/// How long each try may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How often it is tried.
const TRIES: u32 = 4;
/// The longest pause before the second try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Where messages go, and how.
#[derive(Clone)]
pub struct Delivery {
    /// The receiver.
    pub to: Secret,
    /// Signs what is sent, where the receiver shares one.
    pub secret: Option<Secret>,
    /// The clock of this machine: receivers refuse what is old.
    pub clock: Clock,
    /// Makes pauses differ between machines.
    pub seed: u64,
    /// Ends the tries; one is made all the same.
    pub cancel: CancellationToken,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("signed", &self.secret.is_some()).finish_non_exhaustive()
    }
}

/// Sends JSON by POST, or asks by GET where there is none, until the receiver answers with 2xx: at most four times, in
/// under a minute, with growing pauses of a random part. An answer that says that the message itself is wrong ends it.
///
/// # Errors
/// Why nobody took it, in words that never hold the address.
pub async fn deliver(delivery: &Delivery, json: Option<&str>) -> Result<(), String> {
    let mut chance = delivery.seed;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let (why, again) = match once(delivery, json).await {
            Ok(status) if (200..300).contains(&status) => return Ok(()),
            Ok(status) => (format!("it was answered with {status}"), is_transient(status)),
            Err(why) => (why, true),
        };
        if !again || attempt == TRIES || delivery.cancel.is_cancelled() {
            let tries = if attempt > 1 { format!(" (after {attempt} tries)") } else { String::new() };
            return Err(format!("{why}{tries}"));
        }
        tokio::select! {
            () = tokio::time::sleep(pause(attempt, &mut chance)) => {}
            () = delivery.cancel.cancelled() => {}
        }
    }
}

async fn once(delivery: &Delivery, json: Option<&str>) -> Result<u16, String> {
    let mut headers = Vec::new();
    if let (Some(secret), Some(body)) = (&delivery.secret, json) {
        // Anew for each try: its age counts.
        let seconds = (delivery.clock)().timestamp();
        headers.push((TIMESTAMP, seconds.to_string()));
        headers.push((SIGNATURE, sign(secret, seconds, body)));
    }
    exchange(&delivery.to, json.map(str::to_owned), &headers, WITHIN).await
}

/// Tells whether the same message may be taken later.
fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}

/// From half of the pause to all of it, so that many machines do not come back together.
fn pause(attempt: u32, chance: &mut u64) -> Duration {
    // A step of a linear congruential generator (Knuth, MMIX) is random enough for this.
    *chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let whole = FIRST_PAUSE * 2u32.pow(attempt.saturating_sub(1).min(6));
    let part = u32::try_from(*chance >> 48).unwrap_or(0);
    whole / 2 + whole / 2 * part / (1 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_bounds() {
        let mut chance = 7;
        for attempt in 1..=6u32 {
            let whole = FIRST_PAUSE * 2u32.pow(attempt - 1);
            for _ in 0..100 {
                let pause = pause(attempt, &mut chance);
                assert!(pause >= whole / 2 && pause <= whole, "{attempt} {pause:?}");
            }
        }
    }

    /// Answers each request with the status of its number, and gives the heads and bodies that came.
    async fn answer(listener: tokio::net::TcpListener, statuses: &[u16]) -> Vec<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut asked = Vec::new();
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = Vec::new();
            while !text.ends_with(b"{\"a\":1}") {
                assert!(stream.read_buf(&mut text).await.unwrap() > 0);
            }
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            asked.push(String::from_utf8(text).unwrap());
        }
        asked
    }

    #[tokio::test]
    async fn a_message_is_sent_again_until_it_is_taken_and_never_where_it_is_wrong() {
        for (statuses, taken) in [(&[503, 200][..], true), (&[404][..], false)] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let delivery = Delivery {
                to: Secret::new(format!("http://{}/hook/s3cret", listener.local_addr().unwrap())),
                secret: Some(Secret::new("shared")),
                clock: std::sync::Arc::new(|| "2026-11-21T02:43:00Z".parse().unwrap()),
                seed: 7,
                cancel: CancellationToken::new(),
            };
            let (asked, sent) = tokio::join!(answer(listener, statuses), deliver(&delivery, Some("{\"a\":1}")));
            assert_eq!(sent.is_ok(), taken, "{sent:?}");
            let signature = format!("{SIGNATURE}: {}", sign(&Secret::new("shared"), 1_795_228_980, "{\"a\":1}"));
            assert!(asked.iter().all(|one| one.to_lowercase().contains(&signature)), "{asked:?}");
            if let Err(why) = sent {
                assert_eq!(why, "it was answered with 404");
            }
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, again) in
            [(500, true), (503, true), (429, true), (408, true), (400, false), (404, false), (301, false)]
        {
            assert_eq!(is_transient(status), again, "{status}");
        }
    }
}
