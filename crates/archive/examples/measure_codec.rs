//! Measures codecs on COPY text: what they cost in CPU, and how small the result is beside that of `gzip -6`.
//!
//! ```text
//! psql -c 'COPY orders TO STDOUT' > orders.copy
//! cargo run --release --package holdpoint-archive --example measure_codec -- orders.copy ... [--only TEXT] [--runs N]
//! ```
//!
//! The files are taken together and cut into pieces as a backup does. Times are CPU seconds of the one thread, the least
//! of all runs. `gzip -6` is the program, run once on all files.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a measuring program")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use holdpoint_archive::{Adler32, Codec, PieceEncoder, decode_piece};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Strategy};

/// As large as the pieces that the parallel engine stores.
const PIECE_BYTES: usize = 4 << 20;

struct Bench {
    pieces: Vec<Vec<u8>>,
    raw_bytes: usize,
    gzip_bytes: u64,
    only: Option<String>,
    runs: usize,
}

fn main() {
    let mut bench = Bench { pieces: Vec::new(), raw_bytes: 0, gzip_bytes: 0, only: None, runs: 3 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--only" => bench.only = arguments.next(),
            "--runs" => bench.runs = arguments.next().and_then(|runs| runs.parse().ok()).expect("--runs NUMBER"),
            file => bench.read(file.into()),
        }
    }
    println!(
        "{} bytes; gzip -6: {} ({:.4})",
        bench.raw_bytes,
        bench.gzip_bytes,
        bench.gzip_bytes as f64 / bench.raw_bytes as f64
    );
    println!("{:<24} {:>8} {:>8} {:>12} {:>8} {:>10}", "codec", "s/GB", "MB/s", "bytes", "of gzip", "read MB/s");
    bench.digests();
    bench.codecs();
    bench.strategies();
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

impl Bench {
    fn read(&mut self, path: PathBuf) {
        let raw = fs::read(&path).expect("read the file");
        #[expect(clippy::disallowed_methods, reason = "the reference is the real program")]
        let mut gzip = Command::new("gzip").arg("-6c").arg(&path).stdout(Stdio::piped()).spawn().expect("start gzip");
        let mut out = gzip.stdout.take().expect("its output");
        self.gzip_bytes += std::io::copy(&mut out, &mut std::io::sink()).expect("read from gzip");
        assert!(gzip.wait().expect("wait for gzip").success());
        self.raw_bytes += raw.len();
        self.pieces.extend(raw.chunks(PIECE_BYTES).map(<[u8]>::to_vec));
    }

    fn wanted(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split(',').any(|only| name.contains(only)))
    }

    /// Runs and returns the least seconds and the result of the last run.
    fn least<T>(&self, mut run: impl FnMut() -> T) -> (f64, T) {
        let mut least = f64::MAX;
        let mut result = None;
        for _ in 0..self.runs.max(1) {
            let began = cpu_seconds();
            result = Some(run());
            least = least.min(cpu_seconds() - began);
        }
        (least, result.expect("one run"))
    }

    fn print(&self, name: &str, seconds: f64, stored: u64, read_seconds: Option<f64>) {
        let raw = self.raw_bytes as f64;
        let read = read_seconds.map_or(String::new(), |read| format!("{:.0}", raw / read / 1e6));
        let (per_gb, speed, of_gzip) =
            (seconds / raw * 1e9, raw / seconds / 1e6, stored as f64 / self.gzip_bytes as f64);
        println!("{name:<24} {per_gb:>8.2} {speed:>8.0} {stored:>12} {of_gzip:>8.4} {read:>10}");
    }

    fn digests(&self) {
        if self.wanted("adler") {
            let (seconds, _) =
                self.least(|| self.pieces.iter().map(|piece| Adler32::of(piece).value()).fold(0, u32::wrapping_add));
            self.print("adler32", seconds, 0, None);
        }
        if self.wanted("sha") {
            let (seconds, _) =
                self.least(|| self.pieces.iter().map(|piece| Sha256::digest(piece)[0]).fold(0, u8::wrapping_add));
            self.print("sha256", seconds, 0, None);
        }
    }

    fn codecs(&self) {
        let levels = (1..=9).map(|level| Codec::Gzip { level }).chain((1..=3).map(|level| Codec::Zstd { level }));
        for codec in std::iter::once(Codec::None).chain(levels) {
            if !self.wanted(&codec.to_string()) {
                continue;
            }
            let (seconds, encoded) = self.least(|| {
                let mut encoder = PieceEncoder::new(&codec).expect("encoder");
                let encoded: Result<Vec<_>, _> = self.pieces.iter().map(|piece| encoder.encode(piece)).collect();
                encoded.expect("encode")
            });
            let (read_seconds, _) = self.least(|| {
                for (piece, raw) in encoded.iter().zip(&self.pieces) {
                    let mut read = Vec::with_capacity(raw.len());
                    decode_piece(codec.algorithm(), &piece.bytes, &mut read).expect("decode");
                    assert!(read == *raw, "{codec}");
                }
            });
            let stored = encoded.iter().map(|piece| piece.bytes.len() as u64).sum();
            self.print(&codec.to_string(), seconds, stored, Some(read_seconds));
        }
    }

    /// zlib-rs, for comparison.
    fn strategies(&self) {
        let named = [Strategy::Filtered, Strategy::HuffmanOnly, Strategy::Rle].map(|strategy| (4, strategy));
        for (level, strategy) in (1..=6).map(|level| (level, Strategy::Default)).chain(named) {
            let name = format!("zlib-rs {level} {strategy:?}");
            if !self.wanted(&name) {
                continue;
            }
            let mut out = vec![0; PIECE_BYTES + PIECE_BYTES / 8];
            let config = DeflateConfig { level, strategy, window_bits: -15, ..DeflateConfig::default() };
            let (seconds, stored) = self.least(|| {
                let mut deflate = Deflate::new_with_config(config);
                let mut stored = 0;
                for piece in &self.pieces {
                    deflate.reset();
                    deflate.compress(piece, &mut out, DeflateFlush::FullFlush).expect("compress");
                    assert_eq!(deflate.total_in(), piece.len() as u64);
                    stored += deflate.total_out();
                }
                stored
            });
            self.print(&name, seconds, stored, None);
        }
    }
}
