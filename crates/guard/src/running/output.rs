//! What the command writes: passed on as it is written, and kept in a bounded piece of memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdpoint_core::Mask;
use holdpoint_process::{Running, Stderr, Stdout};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::masked::Masked;
use super::{Channel, Tee};

/// How much is kept from the beginning, and from the end.
const HEAD_BYTES: usize = 512 << 10;
const TAIL_BYTES: usize = 1536 << 10;
const CHUNK_BYTES: usize = 64 << 10;
/// The beginning of a line is shown after so long, such as a prompt's.
const SHOWN_WITHIN: Duration = Duration::from_millis(100);
/// How long streams may be held open by others after the command has ended.
const DRAIN_FOR: Duration = Duration::from_secs(2);

/// The kept streams of a command while it runs.
#[derive(Default)]
pub(crate) struct Recorder {
    kept: Arc<Mutex<Kept>>,
    readers: JoinSet<()>,
}

/// The first and the last bytes of what was written, without secrets: pieces of several streams are mixed in it, and of a
/// secret whose halves are apart none would be recognised.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// How much was kept, or would have been.
    pushed: u64,
    /// How much the command wrote.
    bytes: u64,
}

/// How the streams of a program are set up whose output nobody keeps: piped where somebody hears it, so that no secret is
/// passed on, else ours.
pub(crate) fn streams(tee: Option<&Tee>) -> (Stdout, Stderr) {
    if tee.is_some() { (Stdout::Piped, Stderr::Piped) } else { (Stdout::Inherit, Stderr::Inherit) }
}

/// What is stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) text: String,
    pub(crate) bytes: u64,
    pub(crate) left_out_bytes: u64,
}

impl Recorder {
    /// Reads those streams of a program that are piped.
    pub(crate) fn of(running: &mut Running, tee: Option<&Tee>, mask: &Mask) -> Self {
        let mut recorder = Self::default();
        if let Some(stream) = running.take_stdout() {
            recorder.read(Channel::Out, stream, tee.cloned(), mask);
        }
        if let Some(stream) = running.take_stderr() {
            recorder.read(Channel::Err, stream, tee.cloned(), mask);
        }
        recorder
    }

    /// Reads a stream to its end: every piece is kept, and passed on without secrets.
    pub(crate) fn read(
        &mut self,
        channel: Channel,
        stream: impl AsyncRead + Unpin + Send + 'static,
        tee: Option<Tee>,
        mask: &Mask,
    ) {
        let kept = Arc::clone(&self.kept);
        let to = Passing { channel, tee, masked: Masked::new(mask.clone()), kept };
        self.readers.spawn(pass(stream, to));
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

/// A stream on its way to whoever reads it.
struct Passing {
    channel: Channel,
    tee: Option<Tee>,
    masked: Masked,
    kept: Arc<Mutex<Kept>>,
}

impl Passing {
    /// Keeps a piece without secrets, and passes it on.
    async fn on(&self, piece: Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(&piece);
        let (Some(Tee(hear)), channel) = (self.tee.clone(), self.channel) else { return };
        // Whoever reads our output may be slow.
        if tokio::task::spawn_blocking(move || hear(channel, &piece)).await.is_err() {
            tracing::debug!("a piece of the command's output could not be passed on");
        }
    }
}

async fn pass(mut stream: impl AsyncRead + Unpin, mut to: Passing) {
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    // When the beginning of a line that has not ended is shown.
    let mut due: Option<Instant> = None;
    loop {
        let read = async { Some(stream.read(&mut buffer).await) };
        let paused = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
            None
        };
        let read = tokio::select! {
            biased;
            read = read => read,
            paused = paused => paused,
        };
        let piece = match read {
            Some(Ok(0) | Err(_)) => break,
            Some(Ok(count)) => {
                to.kept.lock().unwrap_or_else(PoisonError::into_inner).bytes += count as u64;
                let piece = to.masked.take(&buffer[..count]);
                due = to.masked.waits().then(|| due.unwrap_or_else(|| Instant::now() + SHOWN_WITHIN));
                piece
            }
            None => {
                due = None;
                to.masked.pause()
            }
        };
        to.on(piece).await;
    }
    let rest = to.masked.end_line();
    to.on(rest).await;
}

impl Kept {
    fn push(&mut self, piece: &[u8]) {
        self.pushed += piece.len() as u64;
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
        let left_out = self.pushed - (self.head.len() + tail.len()) as u64;
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
        let mut large = Kept::default();
        let line = |n: u64| format!("line {n} hunter2secret\n");
        let mut bytes = 0;
        for n in 0..200_000 {
            bytes += line(n).len() as u64;
            large.bytes += line(n).len() as u64;
            large.push(line(n).as_bytes());
        }
        assert!(large.head.len() + large.tail.len() <= HEAD_BYTES + TAIL_BYTES);
        let stored = large.stored(&mask).unwrap();
        assert!(stored.text.starts_with("line 0 ***\n") && stored.text.ends_with("line 199999 ***\n"));
        assert!(!stored.text.contains("hunter") && !stored.text.contains("secret"));
        assert_eq!(stored.bytes, bytes);
        assert!(stored.text.contains(&format!("[{} bytes are left out]", stored.left_out_bytes)));
    }

    /// What is passed on, in order.
    fn heard() -> (Tee, Arc<Mutex<Vec<u8>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&heard);
        let tee = Tee::new(move |channel, piece| {
            assert_eq!(channel, Channel::Err);
            listener.lock().unwrap().extend_from_slice(piece);
        });
        (tee, heard)
    }

    #[tokio::test]
    async fn streams_are_passed_on_as_they_are() {
        let (tee, heard) = heard();
        let mut recorder = Recorder::default();
        recorder.read(Channel::Err, &b"a\xff"[..], Some(tee), &Mask::default());
        let stored = recorder.finish(&Mask::default()).await.unwrap();
        assert_eq!(stored.text, "a\u{fffd}");
        assert_eq!(*heard.lock().unwrap(), b"a\xff");
    }

    #[tokio::test]
    async fn no_half_of_a_secret_is_kept_where_two_streams_are_written_at_once() {
        use tokio::io::AsyncWriteExt as _;
        let mask = Mask::new(["hunter2secret".to_owned()]);
        let mut recorder = Recorder::default();
        let ((mut out, out_read), (mut err, err_read)) = (tokio::io::duplex(64), tokio::io::duplex(64));
        recorder.read(Channel::Out, out_read, None, &mask);
        recorder.read(Channel::Err, err_read, None, &mask);
        let written = |bytes: u64| {
            let kept = Arc::clone(&recorder.kept);
            async move {
                while kept.lock().unwrap().bytes < bytes {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        out.write_all(b"at hunter2").await.unwrap();
        written(10).await;
        err.write_all(b"warning: hunter2").await.unwrap();
        written(26).await;
        out.write_all(b"secret done\n").await.unwrap();
        written(38).await;
        err.write_all(b"secret is old\n").await.unwrap();
        drop((out, err));
        let stored = recorder.finish(&mask).await.unwrap();
        assert!(!stored.text.contains("hunter2") && !stored.text.contains("secret"), "{}", stored.text);
        assert_eq!((stored.text.matches("***").count(), stored.bytes), (2, 52), "{}", stored.text);
    }

    #[tokio::test]
    async fn no_secret_is_passed_on_and_a_prompt_is_not_held_back() {
        use tokio::io::AsyncWriteExt as _;
        let mask = Mask::new(["hunter2secret".to_owned()]);
        let (tee, heard) = heard();
        let (mut command, stream) = tokio::io::duplex(64);
        let mut recorder = Recorder::default();
        recorder.read(Channel::Err, stream, Some(tee), &mask);
        command.write_all(b"at hunter2").await.unwrap();
        command.write_all(b"secret\nAPI_PASSWORD=hush\nGo on? ").await.unwrap();
        let told = b"at ***\nAPI_PASSWORD=***\nGo on? ";
        while *heard.lock().unwrap() != told {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(command);
        let stored = recorder.finish(&mask).await.unwrap();
        assert_eq!((stored.text.as_bytes(), heard.lock().unwrap().as_slice()), (&told[..], &told[..]));
    }
}
