//! What the command writes: passed on as it is written, and kept in a bounded piece of memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdpoint_core::Mask;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinSet;

use super::{Channel, Tee};

/// How much is kept from the beginning, and from the end.
const HEAD_BYTES: usize = 512 << 10;
const TAIL_BYTES: usize = 1536 << 10;
const CHUNK_BYTES: usize = 64 << 10;
/// How long streams may be held open by others after the command has ended.
const DRAIN_FOR: Duration = Duration::from_secs(2);

/// The kept streams of a command while it runs.
#[derive(Default)]
pub(crate) struct Recorder {
    kept: Arc<Mutex<Kept>>,
    readers: JoinSet<()>,
}

/// The first and the last bytes of what was written.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    bytes: u64,
}

/// What is stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) text: String,
    pub(crate) bytes: u64,
    pub(crate) left_out_bytes: u64,
}

impl Recorder {
    /// Reads a stream to its end: every piece is kept, and passed on.
    pub(crate) fn read(&mut self, channel: Channel, stream: impl AsyncRead + Unpin + Send + 'static, tee: Option<Tee>) {
        let kept = Arc::clone(&self.kept);
        self.readers.spawn(pass(channel, stream, tee, kept));
    }

    /// Waits until all was read, not for long, and gives what was kept; `None` where nothing was written.
    pub(crate) async fn finish(mut self, mask: &Mask) -> Option<Stored> {
        let read = async { while self.readers.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_FOR, read).await.is_err() {
            self.readers.abort_all();
        }
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        kept.stored(mask)
    }
}

async fn pass(channel: Channel, mut stream: impl AsyncRead + Unpin, tee: Option<Tee>, kept: Arc<Mutex<Kept>>) {
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..count]);
        if let Some(tee) = &tee {
            let (tee, piece) = (Arc::clone(tee), buffer[..count].to_vec());
            // Whoever reads our output may be slow.
            if tokio::task::spawn_blocking(move || tee(channel, &piece)).await.is_err() {
                tracing::debug!("a piece of the command's output could not be passed on");
            }
        }
    }
}

impl Kept {
    fn push(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let room = HEAD_BYTES.saturating_sub(self.head.len()).min(piece.len());
        let (first, rest) = piece.split_at(room);
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..over);
    }

    /// The text with secrets masked. Where the middle is left out, the lines that were cut go, too: half a secret would
    /// not be recognised.
    fn stored(self, mask: &Mask) -> Option<Stored> {
        if self.bytes == 0 {
            return None;
        }
        let tail: Vec<u8> = self.tail.into();
        let left_out = self.bytes - (self.head.len() + tail.len()) as u64;
        if left_out == 0 {
            let all = [self.head, tail].concat();
            let text = mask.script(&String::from_utf8_lossy(&all));
            return Some(Stored { text, bytes: self.bytes, left_out_bytes: 0 });
        }
        let end = self.head.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let begin = tail.iter().position(|byte| *byte == b'\n').map_or(tail.len(), |at| at + 1);
        let left_out = left_out + (self.head.len() - end + begin) as u64;
        let part = |bytes: &[u8]| mask.script(&String::from_utf8_lossy(bytes));
        let text = format!("{}[{left_out} bytes are left out]\n{}", part(&self.head[..end]), part(&tail[begin..]));
        Some(Stored { text, bytes: self.bytes, left_out_bytes: left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_are_kept_without_secrets_and_without_cut_lines() {
        let mask = Mask::new(["hunter2secret".to_owned()]);
        assert_eq!(Kept::default().stored(&mask), None);
        let mut small = Kept::default();
        small.push(b"with hunter2");
        small.push(b"secret\n");
        assert_eq!(small.stored(&mask).unwrap().text, "with ***\n");
        let mut large = Kept::default();
        let line = |n: u64| format!("line {n} hunter2secret\n");
        let mut bytes = 0;
        for n in 0..200_000 {
            bytes += line(n).len() as u64;
            large.push(line(n).as_bytes());
        }
        assert!(large.head.len() + large.tail.len() <= HEAD_BYTES + TAIL_BYTES);
        let stored = large.stored(&mask).unwrap();
        assert!(stored.text.starts_with("line 0 ***\n") && stored.text.ends_with("line 199999 ***\n"));
        assert!(!stored.text.contains("hunter") && !stored.text.contains("secret"));
        assert_eq!(stored.bytes, bytes);
        assert!(stored.text.contains(&format!("[{} bytes are left out]", stored.left_out_bytes)));
    }

    #[tokio::test]
    async fn streams_are_passed_on_as_they_are() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&heard);
        let tee: Tee = Arc::new(move |channel, piece| listener.lock().unwrap().push((channel, piece.to_vec())));
        let mut recorder = Recorder::default();
        recorder.read(Channel::Err, &b"a\xff"[..], Some(tee));
        let stored = recorder.finish(&Mask::default()).await.unwrap();
        assert_eq!(stored.text, "a\u{fffd}");
        assert_eq!(*heard.lock().unwrap(), [(Channel::Err, b"a\xff".to_vec())]);
    }
}
