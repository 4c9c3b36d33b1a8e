//! A control plane of two dozen properties: answers as RDS words them, states that a test scripts, faults on demand.
//!
//! It has no databases; those are the endpoint of the testkit, on which the program is tested end to end.

mod answers;
mod samples;
mod xml;

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use answers::answer;

pub(crate) type Parameters = BTreeMap<String, String>;

/// One instance; `states` are told one a reading, the last for ever.
#[derive(Debug, Clone, Default)]
pub(crate) struct Db {
    pub(crate) id: String,
    pub(crate) states: VecDeque<&'static str>,
    pub(crate) fields: Parameters,
    pub(crate) groups: Vec<String>,
    pub(crate) tags: Parameters,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) dbs: BTreeMap<String, Db>,
    pub(crate) clusters: BTreeMap<String, Db>,
    pub(crate) snapshots: BTreeMap<String, Parameters>,
    pub(crate) cluster_snapshots: Vec<String>,
    /// Errors to give: action, status, code, message; taken from the front.
    pub(crate) faults: VecDeque<(&'static str, u16, &'static str, &'static str)>,
    /// What was asked, in order.
    pub(crate) calls: Vec<(String, Parameters)>,
    /// The states of the next instance that is made.
    pub(crate) next_states: Vec<&'static str>,
    pub(crate) made: u32,
    pub(crate) earliest: &'static str,
    pub(crate) latest: &'static str,
}

pub(crate) struct Fake {
    pub(crate) state: Arc<Mutex<State>>,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let earliest = "2026-11-14T03:00:00Z";
        let state = Arc::new(Mutex::new(State { earliest, latest: "2026-11-21T03:00:00Z", ..State::default() }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, ending) = (Arc::clone(&state), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::Acquire) {
                    break;
                }
                if let Ok(stream) = stream {
                    serve(stream, &shared);
                }
            }
        });
        Self { state, address, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().expect("the state"))
    }

    pub(crate) fn count(&self, action: &str) -> usize {
        self.with(|state| state.calls.iter().filter(|(name, _)| name == action).count())
    }

    pub(crate) fn last(&self, action: &str) -> Parameters {
        self.with(|state| state.calls.iter().rfind(|(name, _)| name == action).expect(action).1.clone())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends");
        }
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    if length == 0 || reader.read_exact(&mut body).is_err() {
        return;
    }
    let parameters = parse(&String::from_utf8_lossy(&body));
    let action = parameters.get("Action").cloned().unwrap_or_default();
    let (status, body) = answer(&mut state.lock().expect("the state"), &action, parameters);
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: text/xml\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _unheard = reader.into_inner().write_all((head + &body).as_bytes());
}

fn parse(body: &str) -> Parameters {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'%' => {
                    let hex: Vec<u8> = rest.by_ref().take(2).collect();
                    bytes.push(u8::from_str_radix(&String::from_utf8_lossy(&hex), 16).expect("two digits"));
                }
                b'+' => bytes.push(b' '),
                other => bytes.push(other),
            }
        }
        String::from_utf8(bytes).expect("text")
    };
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (decode(key), decode(value))).collect()
}
