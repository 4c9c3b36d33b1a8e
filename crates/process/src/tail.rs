//! The bounded last part of what a program printed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of a program's stderr is kept.
pub const TAIL_BYTES: usize = 64 * 1024;

/// A longer line is cut: programs repeat whole statements in their errors.
const LINE_BYTES: usize = 8 * 1024;

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<String>,
    bytes: usize,
}

/// The last lines of a stream, at most [`TAIL_BYTES`], shared between who reads and who asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<Lines>>);

impl Tail {
    /// Reads the stream to its end, in bounded memory, keeping its last lines and tracing each.
    pub(crate) async fn drain(self, program: String, channel: &'static str, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = vec![0_u8; 8 * 1024];
        let mut line = Vec::new();
        let mut cut = false;
        loop {
            let count = match stream.read(&mut buffer).await {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => {
                    tracing::debug!(program, channel, %error, "stream broke");
                    break;
                }
            };
            for &byte in &buffer[..count] {
                if byte == b'\n' {
                    self.end_line(&program, channel, &mut line, &mut cut);
                } else if line.len() < LINE_BYTES {
                    line.push(byte);
                } else {
                    cut = true;
                }
            }
        }
        if !line.is_empty() {
            self.end_line(&program, channel, &mut line, &mut cut);
        }
    }

    fn end_line(&self, program: &str, channel: &str, line: &mut Vec<u8>, cut: &mut bool) {
        let mut text = String::from_utf8_lossy(line).into_owned();
        if *cut {
            text.push('…');
        }
        line.clear();
        *cut = false;
        tracing::debug!(program, channel, "{text}");
        self.push(text);
    }

    fn push(&self, line: String) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += line.len() + 1;
        kept.lines.push_back(line);
        while kept.bytes > TAIL_BYTES {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes -= oldest.len() + 1;
        }
    }

    /// Returns the kept lines, joined.
    pub(crate) fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_last_lines_only() {
        let text: String = (0..40_000).map(|n| format!("line {n}\n")).collect();
        let tail = Tail::default();
        tail.clone().drain("x".into(), "stderr", text.as_bytes()).await;
        let kept = tail.text();
        assert!(kept.len() <= TAIL_BYTES);
        assert!(kept.len() > TAIL_BYTES - 100);
        assert!(kept.ends_with("line 39999"));
    }

    #[tokio::test]
    async fn cuts_one_endless_line() {
        let text = vec![b'x'; 1_000_000];
        let tail = Tail::default();
        tail.clone().drain("x".into(), "stderr", text.as_slice()).await;
        let kept = tail.text();
        assert_eq!(kept.chars().count(), LINE_BYTES + 1);
        assert!(kept.ends_with('…'));
    }
}
