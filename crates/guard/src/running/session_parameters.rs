//! Session parameters put into a connection's text, for tools that read no variables of libpq's.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::rehearse::connection_string::ConnectionString;

/// Adds options of the server and an application name to a URL; everything else stays, byte for byte.
///
/// `options` is asked with the URL's own options and says what they become. `None` for what is no URL of PostgreSQL, and
/// for one of another language's drivers (`postgresql+asyncpg:`), some of which refuse what they do not know.
pub(crate) fn with_parameters(url: &str, name: &str, options: impl Fn(&str) -> String) -> Option<String> {
    let (scheme, _) = url.split_once("://")?;
    ConnectionString::read(url)?;
    if scheme.contains('+') {
        return None;
    }
    let named = if scheme.starts_with("jdbc:") { "ApplicationName" } else { "application_name" };
    let (text, fragment) = url.split_once('#').map_or((url, None), |(text, fragment)| (text, Some(fragment)));
    let (place, query) = text.split_once('?').unwrap_or((text, ""));
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    let is = |pair: &&str, name: &str| pair.split_once('=').is_some_and(|(key, _)| key == name);
    let own = pairs.iter().rev().find(|pair| is(pair, "options")).and_then(|pair| pair.split_once('='));
    // In a query a plus may stand for a blank.
    let own = own.map(|(_, value)| percent_decode_str(&value.replace('+', "%20")).decode_utf8_lossy().into_owned());
    let options = options(&own.unwrap_or_default());
    let mut all: Vec<String> =
        pairs.iter().filter(|pair| !is(pair, "options") && !is(pair, named)).map(|pair| (*pair).to_owned()).collect();
    let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    if !options.is_empty() {
        all.push(format!("options={}", part(&options)));
    }
    all.push(format!("{named}={}", part(name)));
    let fragment = fragment.map(|text| format!("#{text}")).unwrap_or_default();
    Some(format!("{place}?{}{fragment}", all.join("&")))
}

/// The options of the server that a connection string carries, which replace `PGOPTIONS` for who reads it; `None` where it
/// carries none, or is no connection string.
pub(crate) fn options_of(text: &str) -> Option<String> {
    let text = text.strip_prefix("--dbname=").unwrap_or(text);
    ConnectionString::read(text)?;
    let decoded = |value: &str| percent_decode_str(&value.replace('+', "%20")).decode_utf8_lossy().into_owned();
    if text.contains("://") {
        let (_, query) = text.split('#').next()?.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        return pairs.rfind(|(name, _)| *name == "options").map(|(_, value)| decoded(value));
    }
    let (before, value) = text.split_once("options")?;
    let (gap, value) = value.split_once('=')?;
    let whole = gap.trim().is_empty() && before.chars().last().is_none_or(char::is_whitespace);
    // Up to the quote that ends it; what follows sets other things.
    whole.then(|| value.trim_start().trim_start_matches('\'').split('\'').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(url: &str) -> Option<String> {
        with_parameters(url, "t:1", |own| format!("{own} -c a=b").trim_start().to_owned())
    }

    #[test]
    fn parameters_are_added_and_the_rest_stays() {
        for (url, want) in [
            ("postgres://u:p%40s@h:1/d", "postgres://u:p%40s@h:1/d?options=%2Dc%20a%3Db&application_name=t%3A1"),
            (
                "postgresql://u@h/d?schema=x&application_name=mine&options=-c%20c%3Dd#z",
                "postgresql://u@h/d?schema=x&options=%2Dc%20c%3Dd%20%2Dc%20a%3Db&application_name=t%3A1#z",
            ),
            ("jdbc:postgresql://h/d?user=u", "jdbc:postgresql://h/d?user=u&options=%2Dc%20a%3Db&ApplicationName=t%3A1"),
        ] {
            assert_eq!(added(url).as_deref(), Some(want));
        }
        for other in ["mysql://u@h/d", "postgresql+asyncpg://u@h/d", "host=h dbname=d", "x", ""] {
            assert_eq!(added(other), None, "{other}");
        }
    }

    #[test]
    fn the_options_of_a_connection_string_are_read() {
        for (text, found) in [
            ("postgres://u@h/d?options=-c%20search_path%3Dx&a=b", Some("-c search_path=x")),
            ("--dbname=postgresql://h/d?options=-c+a%3Db#z", Some("-c a=b")),
            ("host=h options='-c search_path=x' dbname=d", Some("-c search_path=x")),
            ("options = '-c a=b' host=h", Some("-c a=b")),
            ("postgres://u@h/d", None),
            ("host=h dbname=options", None),
            ("-c", None),
            ("select 'options=1'", None),
        ] {
            assert_eq!(options_of(text).as_deref(), found, "{text}");
        }
    }
}
