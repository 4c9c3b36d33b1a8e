//! The connections of a command and of all that it started, as the kernel lists them (Linux manual, proc(5)).

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::production::Production;

/// The processes of a command, and where production is.
pub(super) struct Connections {
    /// The group's leader, once it is known.
    leader: tokio::sync::watch::Receiver<Option<u32>>,
    /// Every process that was seen to belong to it: a daemon stays one of them.
    family: BTreeSet<u32>,
    production: Vec<(IpAddr, u16)>,
}

impl Connections {
    /// Watches the family of a process that will be told.
    pub(super) fn of(leader: tokio::sync::watch::Receiver<Option<u32>>, production: &Production) -> Self {
        let mut places = production.addresses.clone();
        for port in production.local_ports() {
            places.push((Ipv4Addr::LOCALHOST.into(), port));
            places.push((Ipv6Addr::LOCALHOST.into(), port));
        }
        Self { leader, family: BTreeSet::new(), production: places }
    }

    /// A connection to production that is open right now.
    pub(super) fn reaching_production(&mut self) -> Option<SocketAddr> {
        self.family.extend(*self.leader.borrow());
        if self.family.is_empty() {
            return None;
        }
        self.look_for_children();
        let sockets = self.sockets();
        let open = ["tcp", "tcp6"].iter().filter_map(|kind| fs::read_to_string(format!("/proc/net/{kind}")).ok());
        let open: Vec<(SocketAddr, u64)> = open.flat_map(|text| connections(&text)).collect();
        let ours = |(address, inode): &(SocketAddr, u64)| {
            self.production.contains(&(address.ip().to_canonical(), address.port())) && sockets.contains(inode)
        };
        open.into_iter().find(ours).map(|(address, _)| address)
    }

    fn look_for_children(&mut self) {
        let mut all: Vec<(u32, u32, u32)> = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            if let Some((parent, group)) = parent_and_group(&stat) {
                all.push((pid, parent, group));
            }
        }
        self.family.retain(|pid| all.iter().any(|(one, ..)| one == pid));
        loop {
            let before = self.family.len();
            for (pid, parent, group) in &all {
                if self.family.contains(parent) || self.family.contains(group) {
                    self.family.insert(*pid);
                }
            }
            if self.family.len() == before {
                break;
            }
        }
    }

    /// The sockets that the family has open, by inode.
    fn sockets(&self) -> BTreeSet<u64> {
        let folders = self.family.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok());
        let links = folders.flatten().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let inode = |link: std::path::PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
        links.filter_map(inode).collect()
    }
}

/// The parent and the group in a `/proc/PID/stat`; the name before them may hold anything.
fn parent_and_group(stat: &str) -> Option<(u32, u32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The remote addresses and inodes in a `/proc/net/tcp` or `tcp6`, of what is open or being opened.
fn connections(text: &str) -> Vec<(SocketAddr, u64)> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // ESTABLISHED and SYN_SENT.
        if !matches!(*fields.get(3)?, "01" | "02") {
            return None;
        }
        Some((address(fields.get(2)?)?, fields.get(9)?.parse().ok()?))
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// `0100007F:1538`: words of four bytes in the machine's own order.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for place in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(place..place + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address: IpAddr = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some((address, port).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn an_open_connection_is_seen_and_others_are_not() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = server.local_addr().unwrap();
        let production = Production { addresses: vec![(place.ip(), place.port())], ..Production::default() };
        let (_tell, told) = tokio::sync::watch::channel(Some(std::process::id()));
        let mut own = Connections::of(told, &production);
        assert_eq!(own.reaching_production(), None);
        let client = std::net::TcpStream::connect(place).unwrap();
        assert_eq!(own.reaching_production(), Some(place));
        let (_tell, told) = tokio::sync::watch::channel(None);
        assert_eq!(Connections::of(told, &production).reaching_production(), None, "nobody is known yet");
        drop((client, server));
        assert_eq!(own.reaching_production(), None);
    }

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert_eq!(parent_and_group("77 (a) b) (c) S 12 34 5 6"), Some((12, 34)));
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:8AE2 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 x\n   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 x\n";
        if cfg!(target_endian = "little") {
            assert_eq!(connections(text), [("127.0.0.1:5432".parse().unwrap(), 4711)]);
            let six = address("0000000000000000FFFF00000100007F:1538").unwrap();
            assert_eq!(six.ip().to_canonical(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        assert!(connections("x\nbroken\n 0: a b c d e f g h i j\n").is_empty());
    }
}
