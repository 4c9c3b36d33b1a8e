//! Named pipes, for programs that open files by their names.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::io::Errno;
use tokio::net::unix::pipe;

/// Makes a named pipe that only its owner may open.
///
/// # Errors
/// Those of the file system.
pub fn make_fifo(path: &Path) -> io::Result<()> {
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

/// Opens a named pipe for writing; `None` as long as nobody has opened it for reading.
///
/// # Errors
/// Those of the file system.
pub fn open_fifo(path: &Path) -> io::Result<Option<pipe::Sender>> {
    let opened = open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    let file: OwnedFd = match opened {
        Err(Errno::NXIO) => return Ok(None),
        opened => opened?,
    };
    pipe::Sender::from_file(File::from(file)).map(Some)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_reader_gets_what_is_written_and_nobody_waits_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.dat");
        make_fifo(&path).unwrap();
        assert!(open_fifo(&path).unwrap().is_none());
        let reader = std::thread::spawn({
            let path = path.clone();
            move || {
                let mut text = String::new();
                File::open(path).unwrap().read_to_string(&mut text).unwrap();
                text
            }
        });
        let mut sender = loop {
            match open_fifo(&path).unwrap() {
                Some(sender) => break sender,
                None => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        };
        sender.write_all(b"rows\n").await.unwrap();
        drop(sender);
        assert_eq!(reader.join().unwrap(), "rows\n");
        assert!(make_fifo(&path).is_err(), "it is there already");
    }
}
