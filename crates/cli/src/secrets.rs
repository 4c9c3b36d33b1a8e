//! Secrets that are known by their value, so that they can be masked wherever they turn up.

use crate::variables::Variables;

/// Values that must not be shown wherever they turn up.
pub(crate) fn known(variables: &Variables) -> Vec<String> {
    const NAMES: [&str; 4] =
        ["PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];
    let named = NAMES.iter().filter_map(|name| variables.get(name)).map(str::to_owned);
    let called = variables.texts().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.to_owned());
    let of_urls = variables.texts().flat_map(|(_, value)| passwords(value));
    let typed = std::env::args_os().flat_map(|word| passwords(&word.to_string_lossy()));
    named.chain(called).chain(of_urls).chain(typed).collect()
}

/// Whether a variable of that name holds a secret: how it ends says so.
fn is_secret(name: &str) -> bool {
    const ENDS: [&str; 9] =
        ["PASSWORD", "PASSWD", "_PASS", "SECRET", "TOKEN", "PRIVATE_KEY", "API_KEY", "APIKEY", "SECRET_KEY"];
    let name = name.to_ascii_uppercase();
    ENDS.iter().any(|end| name.ends_with(end))
}

/// Gives the password in a URL, as written and decoded; nothing where the text is none or has none.
fn passwords(url: &str) -> Vec<String> {
    let after = url.split_once("://").map_or("", |(_, after)| after);
    let user = after.rsplit_once('@').map_or("", |(user, _)| user);
    let Some((_, raw)) = user.split_once(':') else { return Vec::new() };
    let decoded = percent_encoding::percent_decode_str(raw).decode_utf8_lossy().into_owned();
    vec![raw.to_owned(), decoded]
}

#[cfg(test)]
mod tests {
    use holdpoint_core::Mask;

    use super::*;

    #[test]
    fn what_a_variable_called_like_a_secret_holds_is_one() {
        let of = |name: &str| known(&Variables::new([(name, "hush-hush")])).contains(&"hush-hush".to_owned());
        for name in ["API_PASSWORD", "jwt_secret", "GH_TOKEN", "STRIPE_API_KEY", "SSH_PRIVATE_KEY", "DB_PASS"] {
            assert!(of(name), "{name}");
        }
        for name in ["HOME", "SSH_AUTH_SOCK", "GIT_AUTHOR_NAME", "PUBLIC_KEY", "PASSENGER", "KEYBOARD"] {
            assert!(!of(name), "{name}");
        }
    }

    #[test]
    fn the_password_of_a_url_is_known_as_written_and_decoded() {
        assert_eq!(passwords("postgresql://ann:hu%40shhush@h/db"), ["hu%40shhush", "hu@shhush"]);
        assert!(passwords("postgresql://ann@h/db").is_empty() && passwords("plain").is_empty());
        let mask = Mask::new(passwords("postgresql://ann:hu%40shhush@h/db"));
        assert_eq!(mask.message("hu%40shhush hu@shhush h%75@shhush"), "*** *** ***");
        assert_eq!(Mask::new(passwords("postgres://a:postgres@h")).message("postgres here"), "postgres here");
    }
}
