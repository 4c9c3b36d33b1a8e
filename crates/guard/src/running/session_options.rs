//! Options for the server's sessions as `PGOPTIONS` and the `options` of a connection string hold them: what they set, and
//! the time-outs added to them.

use std::time::Duration;

use super::LOCK_TIMEOUT;

/// Which time-outs are added.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// None: a statement that runs CONCURRENTLY waits long by design, and would be left half done.
    None,
    /// For locks [`LOCK_TIMEOUT`] where nothing is said, and zero where none is wanted; for statements, where it is said.
    Of { lock: Option<Duration>, statement: Option<Duration> },
}

impl Wanted {
    /// The options with the time-outs behind those that are there; a lock time-out that is there stays, unless another
    /// was asked for.
    pub(super) fn added_to(self, own: &str) -> String {
        let mut options: Vec<String> = Some(own.trim().to_owned()).into_iter().filter(|own| !own.is_empty()).collect();
        if let Self::Of { lock, statement } = self {
            match lock {
                Some(time) if time.is_zero() => {}
                Some(time) => options.push(format!("-c lock_timeout={}ms", time.as_millis())),
                None if value(own, "lock_timeout").is_some() => {}
                None => options.push(format!("-c lock_timeout={}s", LOCK_TIMEOUT.as_secs())),
            }
            options.extend(statement.map(|time| format!("-c statement_timeout={}ms", time.as_millis())));
        }
        options.join(" ")
    }
}

/// Whether the options set a time-out that ends anything.
pub(super) fn set_a_time_out(options: &str) -> bool {
    ["lock_timeout", "statement_timeout"].iter().any(|name| value(options, name).is_some_and(|text| !is_zero(&text)))
}

fn is_zero(value: &str) -> bool {
    let number = value.trim().trim_end_matches(|sign: char| sign.is_ascii_alphabetic()).trim_end();
    number.parse::<f64>().is_ok_and(|number| number <= 0.0)
}

/// What the options set a parameter to; the last one counts. `-c name=value`, `-cname=value` and `--name=value` are read
/// (PostgreSQL manual, "postgres"; `pg_split_opts` and `ParseLongOption` of its sources).
pub(super) fn value(options: &str, name: &str) -> Option<String> {
    let mut found = None;
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c") {
            Some("") => words.next(),
            Some(setting) => Some(setting.to_owned()),
            None => word.strip_prefix("--").map(str::to_owned),
        };
        let Some((key, value)) = setting.as_deref().and_then(|setting| setting.split_once('=')) else { continue };
        if key.replace('-', "_").eq_ignore_ascii_case(name) {
            found = Some(value.to_owned());
        }
    }
    found
}

/// The words, divided by blanks; a backslash takes its meaning from the sign behind it.
fn words(options: &str) -> Vec<String> {
    let (mut words, mut word, mut escaped) = (Vec::new(), String::new(), false);
    for sign in options.chars() {
        match sign {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            sign if sign.is_ascii_whitespace() && !escaped => words.extend(Some(std::mem::take(&mut word))),
            sign => word.push(sign),
        }
        escaped = false;
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_the_server_reads_them() {
        for (options, expected) in [
            ("", None),
            ("-c deadlock_timeout=2s", None),
            ("-c application_name=lock_timeout=1", None),
            ("-c a=x\\ -c\\ lock_timeout=1s", None),
            ("-c lock_timeout=1min", Some("1min")),
            ("-clock_timeout=1", Some("1")),
            ("--lock-timeout=2s", Some("2s")),
            ("-c LOCK_TIMEOUT=2s -c lock_timeout=3s", Some("3s")),
            ("-c  a=b\t-c lock_timeout=0", Some("0")),
            ("-c", None),
        ] {
            assert_eq!(value(options, "lock_timeout").as_deref(), expected, "{options}");
        }
    }

    #[test]
    fn a_time_out_of_zero_is_none() {
        for (options, set) in [
            ("-c deadlock_timeout=2s", false),
            ("-c lock_timeout=0", false),
            ("-c lock_timeout=0ms", false),
            ("-c lock_timeout=5s -c lock_timeout=0", false),
            ("-c lock_timeout=0 -c statement_timeout=1min", true),
            ("-c lock_timeout=1", true),
        ] {
            assert_eq!(set_a_time_out(options), set, "{options}");
        }
    }
}
