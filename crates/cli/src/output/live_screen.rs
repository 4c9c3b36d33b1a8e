//! A screen of the terminal that is drawn anew again and again, and the key that ends it.

use std::io::{self, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// The terminal's other screen, until dropped: what stood there before comes back.
#[derive(Debug)]
pub(crate) struct LiveScreen {
    before: Termios,
    keys: mpsc::Receiver<()>,
}

impl LiveScreen {
    /// Takes the terminal: keys come at once and are not shown; Ctrl-C stays a signal.
    pub(crate) fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let (asked, keys) = mpsc::channel(1);
        // It ends with the process: nobody can end a read of a terminal.
        std::thread::spawn(move || {
            for key in io::stdin().lock().bytes() {
                match key {
                    Ok(b'q' | b'Q') | Err(_) => break,
                    Ok(_) => {}
                }
            }
            drop(asked);
        });
        let screen = Self { before, keys };
        screen.write("\u{1b}[?1049h\u{1b}[?25l")?;
        Ok(screen)
    }

    /// Shows a text from the top, as much as there is room for.
    pub(crate) fn draw(&self, text: &str) -> io::Result<()> {
        // Some terminals do not know their size.
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
        let (rows, columns) = size.map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)));
        self.write(&frame(text, rows, columns))
    }

    /// Waits until somebody wants to quit.
    pub(crate) async fn quit(&mut self) {
        while self.keys.recv().await.is_some() {}
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}

impl Drop for LiveScreen {
    fn drop(&mut self) {
        if let Err(error) = self.write("\u{1b}[?25h\u{1b}[?1049l") {
            tracing::debug!(%error, "the terminal is gone");
        }
        if let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, &self.before) {
            tracing::debug!(%error, "the terminal could not be set back");
        }
    }
}

/// The control sequences that put a text over what stood there; the last line says how to leave.
fn frame(text: &str, rows: usize, columns: usize) -> String {
    const LEAVE: &str = "q quits";
    let mut lines: Vec<String> = text.lines().map(|line| line.chars().take(columns).collect()).collect();
    let room = rows.saturating_sub(1).max(1);
    if lines.len() > room {
        let more = lines.len() - room + 1;
        lines.truncate(room - 1);
        lines.push(format!("… {more} lines more: make the terminal higher, or --once"));
    }
    lines.push(LEAVE.to_owned());
    format!("\u{1b}[H{}\u{1b}[J", lines.iter().map(|line| format!("{line}\u{1b}[K")).collect::<Vec<_>>().join("\r\n"))
}

#[cfg(test)]
mod tests {
    use super::frame;

    #[test]
    fn a_frame_never_scrolls() {
        let shown = frame("a\nb\nZ\nd", 4, 80);
        assert_eq!(shown.matches("\r\n").count(), 3, "{shown:?}");
        assert!(shown.contains("… 2 lines more") && shown.contains("q quits") && !shown.contains('Z'), "{shown:?}");
        assert!(frame("abcdef", 4, 3).contains("abc\u{1b}"));
    }
}
