//! The stderr that bars and log lines share: a line is written above the bars, never through them.

use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing_subscriber::fmt::MakeWriter;

/// Stderr, with the bars that may stand on it.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    bars: MultiProgress,
}

impl Screen {
    /// Begins with no bars shown.
    pub(crate) fn new() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()) }
    }

    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }
}

/// One log line on its way to stderr.
pub(crate) struct Line {
    bars: MultiProgress,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { bars: self.bars.clone() }
    }
}
