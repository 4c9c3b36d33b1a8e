//! What names production: its hosts, ports, sockets and passwords, in any text.

use std::net::IpAddr;

use holdpoint_core::Secret;
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Host;

use super::connection_string::ConnectionString;

/// A shorter password would be found in every text.
const SHORTEST_PASSWORD: usize = 5;

/// What every machine calls itself.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// One place where production listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The host as it is written; the folder of a socket.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether the host is a socket's folder.
    pub(super) is_socket: bool,
    /// What the name means, where a resolver knows.
    pub(super) resolved: Vec<IpAddr>,
}

/// How much a host's name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// It names production.
    Alone,
    /// It may name anything, such as `localhost` or `db`: what stands beside it decides.
    WithOthers,
}

/// Everything by which a text may name production.
#[derive(Clone, Debug, Default)]
pub(super) struct Production {
    pub(super) places: Vec<Place>,
    pub(super) passwords: Vec<Secret>,
    pub(super) databases: Vec<String>,
    pub(super) users: Vec<String>,
    /// What the hosts' names mean, where a resolver knows.
    pub(super) addresses: Vec<(IpAddr, u16)>,
}

impl Production {
    /// Collects what several ways to connect say, and asks the resolver for the hosts.
    pub(super) async fn of(connections: &[ConnectionSettings]) -> Self {
        let mut all = Self::default();
        for settings in connections {
            push(&mut all.databases, settings.database().to_owned());
            push(&mut all.users, settings.user().to_owned());
            for server in settings.servers() {
                let (host, is_socket) = match &server.host {
                    Host::Tcp(host) => (host.clone(), false),
                    Host::Socket(folder) => (folder.to_string_lossy().into_owned(), true),
                };
                let mut resolved: Vec<IpAddr> = server.address.into_iter().collect();
                if !is_socket
                    && resolved.is_empty()
                    && let Ok(found) = tokio::net::lookup_host((host.as_str(), server.port)).await
                {
                    resolved = found.map(|address| address.ip()).collect();
                }
                for address in &resolved {
                    push(&mut all.addresses, (*address, server.port));
                }
                push(&mut all.places, Place { host, port: server.port, is_socket, resolved });
                let long = |secret: &&Secret| secret.expose().len() >= SHORTEST_PASSWORD;
                if let Some(secret) = server.password.as_ref().filter(long) {
                    push(&mut all.passwords, secret.clone());
                }
            }
        }
        all
    }

    /// The ports at which it listens on this machine.
    pub(super) fn local_ports(&self) -> Vec<u16> {
        let local = |place: &&Place| place.is_local();
        let mut ports: Vec<u16> = self.places.iter().filter(local).map(|place| place.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Whether a connection leads to production, or bears its password.
    pub(super) fn is_named_by(&self, connection: &ConnectionString) -> bool {
        let leads = connection.hosts.iter().any(|(host, port)| self.has(host, *port));
        let bears = connection.password.as_ref().is_some_and(|given| self.is_password(given));
        leads || bears
    }

    /// Whether production listens at a host and port, by any name of the same address that needs no resolver.
    fn has(&self, host: &str, port: u16) -> bool {
        let local = |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|one| one.is_loopback());
        self.places.iter().any(|place| {
            let same = place.host.eq_ignore_ascii_case(host.trim_end_matches('/'));
            // The name alone is enough, unless it is every machine's own.
            same && (place.port == port || !(place.is_socket || local(host)))
                || (place.is_local() && local(host) && place.port == port)
        }) || host.parse().is_ok_and(|address: IpAddr| self.addresses.contains(&(address, port)))
    }

    pub(super) fn is_password(&self, text: &str) -> bool {
        self.passwords.iter().any(|secret| secret.expose() == text)
    }

    /// Whether a text is a host of production and nothing else, and whether that alone tells.
    pub(super) fn is_host(&self, text: &str) -> Option<Telling> {
        let same = |place: &&Place| place.host.eq_ignore_ascii_case(text.trim());
        let mut places = self.places.iter().filter(same).peekable();
        places.peek()?;
        Some(if places.any(Place::is_telling) { Telling::Alone } else { Telling::WithOthers })
    }

    /// Finds what names production anywhere in a text, in words without a secret.
    pub(super) fn named_in(&self, text: &str) -> Option<String> {
        if let Some(place) = self.places.iter().find(|place| place.is_in(text)) {
            return Some(format!("the host {}", place.host));
        }
        let everyday = |port: &u16| LOCAL_NAMES.iter().any(|name| find_word(text, &format!("{name}:{port}")).is_some());
        if let Some(port) = self.local_ports().into_iter().find(everyday) {
            return Some(format!("port {port} of this machine"));
        }
        let bears = self.passwords.iter().any(|secret| secret.masked_in(text, "") != text);
        bears.then(|| "the password".to_owned())
    }

    /// Puts the copy's host, port and password wherever production's stand in a text.
    pub(super) fn replaced_in(&self, text: &str, port: u16, password: &Secret) -> String {
        let mut text = text.to_owned();
        for place in &self.places {
            text = replace_words(&text, &place.with_port(), &format!("127.0.0.1:{port}"));
            if place.is_telling() {
                text = replace_words(&text, &place.host, "127.0.0.1");
            }
        }
        for own in self.local_ports() {
            for name in LOCAL_NAMES {
                text = replace_words(&text, &format!("{name}:{own}"), &format!("127.0.0.1:{port}"));
            }
        }
        self.passwords.iter().fold(text, |text, secret| secret.masked_in(&text, password.expose()))
    }
}

fn push<T: PartialEq>(list: &mut Vec<T>, one: T) {
    if !list.contains(&one) {
        list.push(one);
    }
}

impl Place {
    fn with_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn is_local(&self) -> bool {
        self.is_socket || self.resolved.iter().any(IpAddr::is_loopback)
    }

    /// Whether the host alone tells: not a name that every machine has, nor a single word of everyday.
    fn is_telling(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        match (self.is_socket, address) {
            // Without the socket's file, /tmp is just a folder.
            (true, _) => self.host.matches('/').count() > 1,
            (false, Ok(address)) => !address.is_loopback(),
            (false, Err(_)) => self.host != "localhost" && (self.host.contains('.') || self.host.contains('-')),
        }
    }

    fn is_in(&self, text: &str) -> bool {
        (self.is_telling() && find_word(text, &self.host).is_some()) || find_word(text, &self.with_port()).is_some()
    }
}

/// The place of a host in a text, where no other sign of a host's name stands beside it.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let part = |sign: char| sign.is_alphanumeric() || matches!(sign, '-' | '_');
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find(word) {
        let at = from + found;
        let before = text[..at].chars().next_back();
        let mut after = text[at + word.len()..].chars();
        let next = after.next();
        // A point ends a sentence as well as a label.
        let longer = next == Some('.') && after.next().is_some_and(char::is_alphanumeric);
        if !before.is_some_and(|sign| part(sign) || sign == '.') && !next.is_some_and(part) && !longer {
            return Some(at);
        }
        from = at + word.len();
    }
    None
}

fn replace_words(text: &str, word: &str, with: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find_word(rest, word) {
        replaced.push_str(&rest[..at]);
        replaced.push_str(with);
        rest = &rest[at + word.len()..];
    }
    replaced.push_str(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::connection::Environment;

    use super::*;

    async fn production(url: &str) -> Production {
        Production::of(&[ConnectionSettings::resolve(url, &Environment::default()).unwrap()]).await
    }

    fn names(production: &Production, text: &str) -> bool {
        production.is_named_by(&ConnectionString::read(text).unwrap())
    }

    #[tokio::test]
    async fn production_is_known_by_host_socket_and_password() {
        let one = production("postgres://app:hunter2@db.example.invalid:6543/shop").await;
        for text in [
            "postgres://x@db.example.invalid:6543/other",
            "postgres://x@DB.example.invalid/shop",
            "host=other.example.com password=hunter2 dbname=x",
            "postgres://a,db.example.invalid/x",
        ] {
            assert!(names(&one, text), "{text}");
        }
        for text in ["postgres://x@localhost:6543/shop", "postgres://app@sub.db.example.com/shop", "dbname=shop host=x"]
        {
            assert!(!names(&one, text), "{text}");
        }
        assert_eq!(one.named_in("x=db.example.invalid;").as_deref(), Some("the host db.example.invalid"));
        assert_eq!(one.named_in("see db.example.invalid.").as_deref(), Some("the host db.example.invalid"));
        assert_eq!(one.named_in("const p = 'hunter2'").as_deref(), Some("the password"));
        assert_eq!(one.named_in("my-db.example.invalid and db.example.invalid.org"), None);
        let replaced =
            one.replaced_in("{\"host\":\"db.example.invalid:6543\",\"p\":\"hunter2\"}", 7, &"new".to_owned().into());
        assert_eq!(replaced, "{\"host\":\"127.0.0.1:7\",\"p\":\"new\"}");
    }

    #[tokio::test]
    async fn a_local_server_is_known_by_its_port_under_every_local_name() {
        let one = production("postgres://app@localhost:6543/shop").await;
        assert!(names(&one, "postgres://x@127.0.0.1:6543/shop"));
        assert!(!names(&one, "postgres://x@127.0.0.1:6544/shop"));
        assert_eq!(one.named_in("http://localhost:8080 and localhost"), None);
        assert!(one.named_in("localhost:6543").is_some());
        let socket = production("postgresql://app@/shop?host=/var/run/postgresql").await;
        assert!(names(&socket, "host=/var/run/postgresql dbname=x"));
        assert!(!names(&socket, "host=/var/run/postgresql port=5433 dbname=x"));
        assert!(socket.named_in("connect('/var/run/postgresql')").is_some());
    }
}
