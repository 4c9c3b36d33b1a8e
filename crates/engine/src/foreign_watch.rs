//! Watching a dump on its way into the program that restores it.
//!
//! pg_restore loops without end on one that is cut (measured on 18.6: custom format and tar, from a pipe); psql, and
//! pg_restore of a directory, take rows that are cut for all of them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::{Buf, Bytes};
use holdpoint_archive::{Event, Limits, StreamParser};

use crate::text_watch::TextWatch;
use crate::zstd_frames::ZstdFrames;
use crate::{Error, ForeignForm};

/// Tells whether a dump that streams by is whole; memory: an archive's head, or a few kilobytes.
///
/// Archives of versions that the parser does not know pass unwatched; of directories see [`directory_is_whole`].
#[derive(Debug)]
pub struct ForeignWatch(Form);

enum Form {
    Custom { parser: Box<StreamParser>, past_head: bool },
    Tar(Tar),
    Text(Box<TextWatch>),
    Unwatched,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Custom { .. } => "Custom",
            Self::Tar(_) => "Tar",
            Self::Text(_) => "Text",
            Self::Unwatched => "Unwatched",
        })
    }
}

impl ForeignWatch {
    /// Begins to watch a dump of this form.
    pub fn new(form: ForeignForm) -> Self {
        Self(match form {
            ForeignForm::Custom => {
                Form::Custom { parser: Box::new(StreamParser::new(Limits::default())), past_head: false }
            }
            ForeignForm::Tar => Form::Tar(Tar::default()),
            ForeignForm::Plain => Form::Text(Box::default()),
            ForeignForm::Directory => Form::Unwatched,
        })
    }

    /// Looks at the next bytes; fails where they cannot be such a dump's.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), Error> {
        match &mut self.0 {
            Form::Unwatched => Ok(()),
            Form::Tar(tar) => tar.push(bytes),
            Form::Text(text) => {
                text.push(&bytes);
                Ok(())
            }
            Form::Custom { parser, past_head } => {
                parser.push(bytes);
                loop {
                    match parser.next_event() {
                        Ok(Some(event)) => *past_head |= matches!(event, Event::Head(_)),
                        Ok(None) => return Ok(()),
                        Err(error) if *past_head => return Err(error.into()),
                        Err(_) => {
                            self.0 = Form::Unwatched;
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Fails unless the dump ended where one may end.
    pub fn finish(self) -> Result<(), Error> {
        match self.0 {
            Form::Custom { mut parser, .. } => Ok(parser.finish()?),
            Form::Text(text) => text.finish(),
            Form::Tar(tar) if !tar.ended => Err(Error::Truncated("a tar archive")),
            Form::Tar(_) | Form::Unwatched => Ok(()),
        }
    }
}

const ROWS_END: &[u8] = b"\\.\n\n\n";
const INSERTS_END: &[u8] = b";\n\n\n";

/// Tells whether the tables' files of a directory (`pg_dump -Fd`) are whole; `Err` within names the first that is not.
///
/// Uncompressed files are looked at by their ends, and zstd's by their frames, since pg_restore notices neither; gzip has
/// an end of its own. Of uncompressed large objects no end is known, and of LZ4 none is looked for. Blocks.
pub fn directory_is_whole(path: &Path) -> io::Result<Result<(), String>> {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    for name in names {
        let Some(mut end) = FileEnd::of(&name) else { continue };
        end.read(&mut File::open(path.join(&name))?)?;
        if !end.is_whole() {
            return Ok(Err(format!("{name} ends within its rows")));
        }
    }
    Ok(Ok(()))
}

const INSERT: &[u8] = b"INSERT INTO ";

/// The end of a file of a directory (`pg_dump -Fd`), as it passes.
#[derive(Debug)]
pub enum FileEnd {
    /// Of an uncompressed table's: its beginning and its end.
    Rows {
        /// The first bytes.
        first: Vec<u8>,
        /// The last bytes.
        last: Vec<u8>,
    },
    /// Of a zstd file.
    Zstd(ZstdFrames),
}

impl FileEnd {
    /// What is known of the end of a file of this name; `None` where nothing is.
    pub fn of(name: &str) -> Option<Self> {
        if name.ends_with(".zst") {
            return Some(Self::Zstd(ZstdFrames::default()));
        }
        let of_table = name.strip_suffix(".dat").is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
        of_table.then(|| Self::Rows { first: Vec::new(), last: Vec::new() })
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Zstd(frames) => frames.push(bytes),
            Self::Rows { first, last } => {
                let lacking = INSERT.len() - first.len();
                first.extend(bytes.iter().take(lacking));
                last.extend(&bytes[bytes.len().saturating_sub(ROWS_END.len())..]);
                last.drain(..last.len().saturating_sub(ROWS_END.len()));
            }
        }
    }

    /// Takes a whole file: of rows only its beginning and end.
    fn read(&mut self, file: &mut File) -> io::Result<()> {
        match self {
            Self::Zstd(frames) => {
                let mut buffer = vec![0; 1 << 18];
                loop {
                    let count = file.read(&mut buffer)?;
                    if count == 0 {
                        return Ok(());
                    }
                    frames.push(&buffer[..count]);
                }
            }
            Self::Rows { first, last } => {
                (&mut *file).take(INSERT.len() as u64).read_to_end(first)?;
                let length = file.metadata()?.len();
                file.seek(SeekFrom::Start(length.saturating_sub(ROWS_END.len() as u64)))?;
                file.take(ROWS_END.len() as u64).read_to_end(last)?;
                Ok(())
            }
        }
    }

    /// Whether it ended as `pg_dump` ends rows, or the statements that it writes with `--inserts`; or with whole frames.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Zstd(frames) => frames.is_whole(),
            Self::Rows { first, last } => {
                let no_inserts = last == b"\n\n";
                last == ROWS_END || no_inserts || (first == INSERT && last.ends_with(INSERTS_END))
            }
        }
    }
}

const BLOCK: usize = 512;

/// Follows a tar archive from header to header (POSIX pax, "ustar Interchange Format"); one ends with blocks of zeros.
#[derive(Default)]
struct Tar {
    header: Vec<u8>,
    skip: u64,
    ended: bool,
}

impl Tar {
    fn push(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() && !self.ended {
            if self.skip > 0 {
                let now = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                bytes.advance(now);
                self.skip -= now as u64;
                continue;
            }
            let now = (BLOCK - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes.split_to(now));
            if self.header.len() == BLOCK {
                self.header()?;
                self.header.clear();
            }
        }
        Ok(())
    }

    fn header(&mut self) -> Result<(), Error> {
        if self.header.iter().all(|byte| *byte == 0) {
            self.ended = true;
            return Ok(());
        }
        let size = size(&self.header[124..136]).ok_or(Error::Truncated("a tar header"))?;
        self.skip = size.next_multiple_of(BLOCK as u64);
        Ok(())
    }
}

/// A size field: octal digits, or base 256 for members above 8 GB.
fn size(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return field[4..].iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches(|c: char| c == '\0' || c == ' ');
    u64::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(size: usize) -> Vec<u8> {
        let mut header = vec![0; BLOCK];
        header[0] = b'x';
        header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        header.resize(BLOCK + size.next_multiple_of(BLOCK), b'd');
        header
    }

    fn watched(bytes: &[u8], portion: usize) -> Result<(), Error> {
        let mut watch = ForeignWatch::new(ForeignForm::Tar);
        for part in bytes.chunks(portion) {
            watch.push(Bytes::copy_from_slice(part))?;
        }
        watch.finish()
    }

    #[test]
    fn a_tar_is_whole_only_with_its_end() {
        let whole = [member(1000), member(0), member(512), vec![0; 2 * BLOCK]].concat();
        for portion in [1, 100, 512, 5000] {
            watched(&whole, portion).unwrap();
            for cut in [0, 100, BLOCK, 3 * BLOCK, whole.len() - 2 * BLOCK] {
                assert!(watched(&whole[..cut], portion).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_text_is_watched() {
        let mut watch = ForeignWatch::new(ForeignForm::Plain);
        watch.push(Bytes::from_static(b"COPY public.t (a) FROM stdin;\n1\n")).unwrap();
        assert!(matches!(watch.finish(), Err(Error::Truncated("SQL text"))));
    }

    #[test]
    fn a_directory_is_whole_only_with_every_file_s_end() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
        let look = || directory_is_whole(directory.path()).unwrap();
        write("toc.dat", b"PGDMP");
        write("blob_16385.dat", b"anything");
        write("blobs_12.toc", b"16385 blob_16385.dat\n");
        write("3001.dat.gz", b"\x1f\x8b");
        write("3002.dat", b"\\.\n\n\n");
        write("3003.dat", b"INSERT INTO public.t VALUES (1);\n\n\n");
        write("3004.dat", b"\n\n");
        let rows = b"1\tone\n2\ttwo\n\\.\n\n\n";
        for cut in 0..rows.len() {
            write("3000.dat", &rows[..cut]);
            assert_eq!(look(), Err("3000.dat ends within its rows".to_owned()), "cut at {cut}");
        }
        write("3000.dat", rows);
        assert_eq!(look(), Ok(()));
        assert!(directory_is_whole(&directory.path().join("absent")).is_err());
    }

    #[test]
    fn sizes_above_eight_gigabytes() {
        let mut field = [0_u8; 12];
        field[0] = 0x80;
        field[4..].copy_from_slice(&(9_u64 << 30).to_be_bytes());
        assert_eq!(size(&field), Some(9 << 30));
        assert_eq!(size(b"00000001750\0"), Some(1000));
        assert_eq!(size(b"not a number"), None);
    }
}
