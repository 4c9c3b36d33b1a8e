//! Request bodies that can be sent again and that show when they stall.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body handed over in one piece looks sent at once, and a stall behind it is never noticed.
const FRAME_BYTES: usize = 64 << 10;

/// Slices sent one after the other in small frames; copies nothing.
struct Frames {
    slices: Arc<[Bytes]>,
    slice: usize,
    offset: usize,
    remaining: u64,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            let Some(current) = self.slices.get(self.slice) else { return Poll::Ready(None) };
            if self.offset >= current.len() {
                self.slice += 1;
                self.offset = 0;
                continue;
            }
            let end = current.len().min(self.offset + FRAME_BYTES);
            let frame = current.slice(self.offset..end);
            self.offset = end;
            self.remaining -= frame.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// Makes a body of the slices that every attempt sends from the beginning.
pub(super) fn replayable(slices: &Arc<[Bytes]>) -> ByteStream {
    let slices = Arc::clone(slices);
    let remaining = slices.iter().map(|s| s.len() as u64).sum();
    ByteStream::new(SdkBody::retryable(move || {
        SdkBody::from_body_1_x(Frames { slices: Arc::clone(&slices), slice: 0, offset: 0, remaining })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_attempt_sees_all_bytes_in_small_frames() {
        let long = Bytes::from(vec![3u8; FRAME_BYTES * 2 + 1]);
        let slices: Arc<[Bytes]> = Arc::from(vec![Bytes::from_static(b"ab"), Bytes::new(), long.clone()]);
        let body = replayable(&slices).into_inner();
        for _ in 0..2 {
            let copy = body.try_clone().unwrap();
            assert_eq!(copy.content_length(), Some(long.len() as u64 + 2));
            let mut stream = ByteStream::new(copy);
            let mut all = Vec::new();
            while let Some(frame) = stream.next().await {
                let frame = frame.unwrap();
                assert!(frame.len() <= FRAME_BYTES);
                all.extend_from_slice(&frame);
            }
            assert_eq!(all[..2], *b"ab");
            assert_eq!(all[2..], long);
        }
    }
}
