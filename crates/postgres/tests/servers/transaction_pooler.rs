//! A tiny transaction pooler: each transaction gets a free server connection, the one used last first, or in turn,
//! as PgBouncer does. It knows the simple protocol only.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;

use holdpoint_testkit::Cluster;

/// Which free server connection is lent.
#[derive(Clone, Copy)]
pub(crate) enum Lends {
    LastUsed,
    InTurn,
}

/// Starts the pooler for one database and role; it ends with the test process. Gives its port.
pub(crate) fn start(cluster: &Cluster, database: &str, lends: Lends) -> u16 {
    let socket = cluster.socket_directory().join(format!(".s.PGSQL.{}", cluster.port()));
    let mut startup = vec![0, 3, 0, 0];
    for text in ["user", cluster.superuser(), "database", database, ""] {
        startup.extend(text.as_bytes());
        startup.push(0);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let free: Arc<Mutex<VecDeque<UnixStream>>> = Arc::default();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (free, socket, startup) = (Arc::clone(&free), socket.clone(), startup.clone());
            let connect = move || {
                let mut server = UnixStream::connect(&socket).unwrap();
                let length = u32::try_from(startup.len() + 4).unwrap();
                server.write_all(&[&length.to_be_bytes()[..], &startup].concat()).unwrap();
                while message(&mut server).unwrap().0 != b'Z' {}
                server
            };
            thread::spawn(move || serve(&client.unwrap(), &free, lends, &connect));
        }
    });
    port
}

fn serve(
    mut client: &TcpStream,
    free: &Mutex<VecDeque<UnixStream>>,
    lends: Lends,
    connect: &dyn Fn() -> UnixStream,
) -> Option<()> {
    let mut length = [0; 4];
    client.read_exact(&mut length).ok()?;
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut startup).ok()?;
    client.write_all(b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I").ok()?;
    let lend = || match lends {
        Lends::LastUsed => free.lock().unwrap().pop_back(),
        Lends::InTurn => free.lock().unwrap().pop_front(),
    };
    let mut held: Option<UnixStream> = None;
    loop {
        let (kind, bytes) = message(&mut client)?;
        if kind == b'X' {
            return Some(());
        }
        let mut server = held.take().or_else(lend).unwrap_or_else(connect);
        server.write_all(&bytes).ok()?;
        loop {
            let (kind, bytes) = message(&mut server)?;
            // Free before the client hears of it, as in a pooler's one thread.
            if kind == b'Z' {
                if bytes[5] == b'I' {
                    free.lock().unwrap().push_back(server)
                } else {
                    held = Some(server)
                }
                client.write_all(&bytes).ok()?;
                break;
            }
            client.write_all(&bytes).ok()?;
        }
    }
}

fn message(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut bytes = vec![0; 5];
    stream.read_exact(&mut bytes).ok()?;
    let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
    bytes.resize(1 + length, 0);
    stream.read_exact(&mut bytes[5..]).ok()?;
    Some((bytes[0], bytes))
}
