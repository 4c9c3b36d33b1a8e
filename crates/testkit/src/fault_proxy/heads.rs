//! Heads of HTTP requests and answers.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::http::find;

const LONGEST_HEAD: usize = 256 * 1024;

pub(super) fn read_head(from: &mut &TcpStream) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    read_head_after(from, &mut Vec::new())
}

/// Reads until the empty line that ends an HTTP head; returns the head and what came after it.
fn read_head_after(from: &mut &TcpStream, early: &mut Vec<u8>) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut bytes = std::mem::take(early);
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Ok(Some((bytes, rest)));
        }
        let count = from.read(&mut buffer)?;
        if count == 0 || bytes.len() > LONGEST_HEAD {
            *early = bytes;
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// Reads the head of an answer, passing on interim ones ("100 Continue"); returns what was read and the head's length.
pub(super) fn answer_head(
    mut server: &TcpStream,
    mut client: &TcpStream,
    swallow: bool,
) -> io::Result<(Vec<u8>, usize)> {
    let mut early = Vec::new();
    loop {
        let Some((head, rest)) = read_head_after(&mut server, &mut early)? else { return Ok((early, 0)) };
        if !head.starts_with(b"HTTP/1.1 1") {
            let length = head.len();
            return Ok(([head, rest].concat(), length));
        }
        if !swallow {
            client.write_all(&head)?;
        }
        early = rest;
    }
}

pub(super) fn close_after_answer(head: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(head);
    let lines = text.trim_end_matches("\r\n").split("\r\n");
    let lines = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut head = lines.collect::<Vec<_>>().join("\r\n");
    head += "\r\nConnection: close\r\n\r\n";
    head.into_bytes()
}

/// Gives a header of the answer's head, which is the first `head` bytes, another value.
pub(super) fn with_header(answer: &[u8], head: usize, name: &str, value: &str) -> (Vec<u8>, usize) {
    let text = String::from_utf8_lossy(&answer[..head]);
    let line = |line: &str| match line.split_once(':') {
        Some((known, _)) if known.eq_ignore_ascii_case(name) => format!("{known}: {value}"),
        _ => line.to_owned(),
    };
    let mut changed = text.split("\r\n").map(line).collect::<Vec<_>>().join("\r\n").into_bytes();
    let length = changed.len();
    changed.extend_from_slice(&answer[head..]);
    (changed, length)
}
