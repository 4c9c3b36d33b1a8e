//! Every fault does what it says.
#![expect(clippy::unwrap_used, reason = "a test panics where something is wrong")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use holdpoint_testkit::{Cluster, ClusterOptions, Fault, FaultProxy, Rule};

const BODY: usize = 1_000_000;

/// A server that answers every request with a million bytes `x`, and counts the requests it took to their end.
fn server() -> (SocketAddr, std::sync::mpsc::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (done, taken) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, done) = (stream.unwrap(), done.clone());
            thread::spawn(move || {
                let mut request = Vec::new();
                let mut buffer = [0; 65_536];
                loop {
                    let text = String::from_utf8_lossy(&request).into_owned();
                    if let Some((head, body)) = text.split_once("\r\n\r\n") {
                        let length: usize =
                            head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
                        if body.len() >= length {
                            assert!(head.contains("Connection: close"), "{head}");
                            break;
                        }
                    }
                    match stream.read(&mut buffer) {
                        Ok(0) | Err(_) => return,
                        Ok(count) => request.extend_from_slice(&buffer[..count]),
                    }
                }
                done.send(request.len()).unwrap();
                let head = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n");
                if stream.write_all(head.as_bytes()).is_ok() && stream.write_all(&vec![b'x'; BODY]).is_err() {
                    // Cut by the test.
                }
            });
        }
    });
    (address, taken)
}

/// Sends one request and returns the answer's body and the error it ended with.
fn fetch(proxy: &FaultProxy, method: &str, body: usize) -> (String, Vec<u8>, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
    let head =
        format!("{method} /bucket/key HTTP/1.1\r\nhost: x\r\nConnection: keep-alive\r\ncontent-length: {body}\r\n\r\n");
    let mut error = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![b'y'; body])).err();
    let mut raw = Vec::new();
    if let Err(late) = stream.read_to_end(&mut raw) {
        error = Some(late);
    }
    let text = String::from_utf8_lossy(&raw).replace("HTTP/1.1 100 Continue\r\n\r\n", "");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.lines().next().unwrap_or("").to_owned(), body.as_bytes().to_vec(), error.map(|error| error.kind()))
}

#[test]
fn answers_are_passed_spoiled_cut_and_lost() {
    let (address, taken) = server();
    let proxy = FaultProxy::http(address);
    let pass = fetch(&proxy, "GET", 0);
    assert_eq!((pass.0.as_str(), pass.1.len(), pass.2), ("HTTP/1.1 200 OK", BODY, None));

    proxy.push(Fault::s3_error(503, "SlowDown"));
    let (status, body, error) = fetch(&proxy, "PUT", 500_000);
    assert_eq!((status.as_str(), error), ("HTTP/1.1 503 Test", None));
    assert!(String::from_utf8_lossy(&body).contains("<Code>SlowDown</Code>"));

    proxy.push(Fault::FlipResponseByte(777_777));
    let (_, body, _) = fetch(&proxy, "GET", 0);
    // Not UTF-8 any more, so the lossy text has three bytes in the place of one.
    assert_eq!(body.iter().position(|&byte| byte != b'x'), Some(777_777));

    proxy.push(Fault::CloseAfterResponseBytes(123_456));
    let (_, body, error) = fetch(&proxy, "GET", 0);
    assert_eq!((body.len(), error), (123_456, None));

    proxy.push(Fault::ResetAfterResponseBytes(123_456));
    let (_, body, error) = fetch(&proxy, "GET", 0);
    assert_eq!((body.len(), error), (123_456, Some(ErrorKind::ConnectionReset)));

    let before = taken.try_iter().count();
    assert_eq!(before, 4);
    proxy.push(Fault::LoseResponse);
    let (_, body, error) = fetch(&proxy, "PUT", 100_000);
    assert_eq!((body.len(), error), (0, Some(ErrorKind::ConnectionReset)));
    assert_eq!(taken.try_iter().count(), 1, "the server has done it");

    proxy.push(Fault::ResetAfterRequestBytes(50_000));
    let (_, _, error) = fetch(&proxy, "PUT", 4_000_000);
    assert!(matches!(error, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)), "{error:?}");
    proxy.push(Fault::ResetAtOnce);
    assert_eq!(fetch(&proxy, "GET", 0).2, Some(ErrorKind::ConnectionReset));
    proxy.push(Fault::CloseAtOnce);
    assert_eq!(fetch(&proxy, "GET", 0), (String::new(), Vec::new(), None));
    assert_eq!(taken.try_iter().count(), 0);
    assert_eq!((proxy.connections(), proxy.requests().len(), proxy.pending()), (9, 9, 0));
}

#[test]
fn silence_and_no_reading_hang_and_throttle_takes_its_time() {
    let (address, taken) = server();
    let proxy = FaultProxy::http(address);
    proxy.push(Fault::Silence);
    assert_eq!(fetch(&proxy, "PUT", 10), (String::new(), Vec::new(), Some(ErrorKind::WouldBlock)));
    assert_eq!(taken.try_iter().count(), 1);
    proxy.push(Fault::StopReading);
    assert_eq!(fetch(&proxy, "PUT", 10), (String::new(), Vec::new(), Some(ErrorKind::WouldBlock)));
    assert_eq!(taken.try_iter().count(), 0);
    proxy.push(Fault::StallAfterResponseBytes(54_321));
    let (_, body, error) = fetch(&proxy, "GET", 0);
    assert_eq!((body.len(), error), (54_321, Some(ErrorKind::WouldBlock)));
    assert_eq!(taken.try_iter().count(), 1);
    proxy.push(Fault::Throttle(2_000_000));
    let started = Instant::now();
    assert_eq!(fetch(&proxy, "GET", 0).1.len(), BODY);
    assert!(started.elapsed() > Duration::from_millis(400), "{:?}", started.elapsed());
    proxy.refuse(true);
    assert_eq!(fetch(&proxy, "GET", 0).2, Some(ErrorKind::ConnectionReset));
}

#[test]
fn a_fault_waits_for_its_operation() {
    let (address, _taken) = server();
    let proxy = FaultProxy::http(address);
    proxy.push_for("PutObject", Fault::answer(429, ""));
    assert_eq!(fetch(&proxy, "GET", 0).0, "HTTP/1.1 200 OK");
    assert_eq!(proxy.pending(), 1);
    assert_eq!(fetch(&proxy, "PUT", 5).0, "HTTP/1.1 429 Test");
    assert_eq!((proxy.count("GetObject"), proxy.count("PutObject")), (1, 1));
    assert_eq!(proxy.requests()[1].fault, Fault::answer(429, ""));
}

#[test]
fn rules_say_which_request_and_how_often() {
    let (address, _taken) = server();
    let proxy = FaultProxy::http(address);
    let busy = Fault::answer(503, "");
    proxy.rule(Rule::new(busy.clone()).operation("PutObject").target("/bucket/").from_nth(2).times(2));
    let statuses = |method| (0..4).map(|_| fetch(&proxy, method, 0).0).collect::<Vec<_>>();
    let (good, bad) = ("HTTP/1.1 200 OK", "HTTP/1.1 503 Test");
    assert_eq!(statuses("GET"), [good; 4]);
    assert_eq!(statuses("PUT"), [good, bad, bad, good]);
    assert_eq!((proxy.pending(), proxy.met()), (0, 2));
    proxy.rule(Rule::new(busy).when(|request| request.method == "PUT").always());
    assert_eq!(statuses("PUT"), [bad; 4]);
    assert_eq!(statuses("GET"), [good; 4]);
    proxy.clear();
    assert_eq!(statuses("PUT"), [good; 4]);
    // Only a header that is there is changed, and nothing else of the answer.
    proxy.push(Fault::ReplaceHeader { name: "content-length", value: "7" });
    proxy.push(Fault::ReplaceHeader { name: "etag", value: "7" });
    for _ in 0..2 {
        let (status, body, _) = fetch(&proxy, "GET", 0);
        assert_eq!((status.as_str(), body.len()), (good, BODY));
    }
}

#[test]
fn a_postgresql_link_is_stalled_and_cut() {
    let cluster = Cluster::start(ClusterOptions::major(18).with_tcp());
    let proxy = FaultProxy::tcp(SocketAddr::from(([127, 0, 0, 1], cluster.port())));
    let psql = |sql: &'static str| {
        let mut psql = cluster.program("psql");
        psql.args(["-XAtc", sql, "postgres"])
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", proxy.address().port().to_string());
        psql.env("PGPASSWORD", cluster.password().unwrap());
        psql
    };
    assert_eq!(psql("SELECT 1").output().unwrap().stdout, b"1\n");
    let sleeping =
        || cluster.psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(3%'");
    thread::scope(|scope| {
        let query = scope.spawn(|| psql("SELECT pg_sleep(30)").output().unwrap());
        while sleeping() != "1" {
            thread::sleep(Duration::from_millis(10));
        }
        proxy.stall(true);
        proxy.cut();
        let output = query.join().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        proxy.stall(false);
    });
    assert_eq!(psql("SELECT 2").output().unwrap().stdout, b"2\n");
    proxy.push(Fault::ResetAfterResponseBytes(5_000));
    let output = psql("SELECT repeat('x', 1000000)").output().unwrap();
    assert!(!output.status.success());
    assert_eq!(proxy.connections(), 4);
}
