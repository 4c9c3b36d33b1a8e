//! Which process made an instance for some work, as a tag says it, and whether that process is still there.

use holdpoint_postgres::ProcessMark;
use holdpoint_rds::{Maker, marks};

/// This process, as the maker of what it needs for some work.
pub(super) fn this_process(needed_for: &str) -> Maker {
    // Where the system does not tell when it began, nobody can tell either whether it lives: age alone counts then.
    let process = ProcessMark::own().map_or_else(String::new, |mark| words(&mark));
    Maker { needed_for: needed_for.to_owned(), process }
}

/// Whether a maker lives; `None` where that cannot be told from here, as on another machine.
pub(crate) fn lives(maker: &Maker) -> Option<bool> {
    let own = words(&ProcessMark::own()?);
    let (made_by, is_here) = (parts(&maker.process)?, parts(&own)?);
    // Two machines may have one name; a start of the system is of one machine alone.
    if (made_by.host, made_by.boot, made_by.space) != (is_here.host, is_here.boot, is_here.space) {
        return None;
    }
    Some(ProcessMark::of(made_by.pid).is_some_and(|mark| words(&mark) == maker.process))
}

/// Machine and number of a maker's process, for people.
pub(crate) fn told(maker: &Maker) -> String {
    match parts(&maker.process) {
        Some(parts) => format!("process {} on {}", parts.pid, parts.host),
        None => "a process that is not known".to_owned(),
    }
}

struct Parts<'a> {
    host: &'a str,
    pid: u32,
    boot: &'a str,
    space: &'a str,
}

fn parts(process: &str) -> Option<Parts<'_>> {
    let mut words = process.split(' ');
    let (host, pid) = (words.next()?, words.next()?.parse().ok()?);
    let (started, space) = (words.next()?, words.next()?);
    let (boot, _ticks) = started.split_once('/')?;
    Some(Parts { host, pid, boot, space })
}

/// A process as a tag can say it.
fn words(mark: &ProcessMark) -> String {
    let space = mark.space.as_deref().unwrap_or("-");
    marks::value(&format!("{} {} {} {space}", mark.host.replace(' ', "-"), mark.pid, mark.started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maker_is_known_to_live_to_have_ended_or_to_be_elsewhere() {
        let own = this_process("recover-table");
        assert_eq!(lives(&own), Some(true));
        assert!(told(&own).starts_with(&format!("process {} on ", std::process::id())), "{}", told(&own));
        let words: Vec<&str> = own.process.split(' ').collect();
        let other = |at: usize, word: &str| {
            let mut words = words.clone();
            words[at] = word;
            Maker { process: words.join(" "), ..own.clone() }
        };
        let boot = words[2].split('/').next().unwrap();
        assert_eq!(lives(&other(2, &format!("{boot}/1"))), Some(false), "its number was given to another process");
        assert_eq!(
            lives(&other(2, "another-start/1")),
            None,
            "another machine of that name, or this one before it began anew"
        );
        assert_eq!(lives(&other(0, "elsewhere")), None);
        assert_eq!(lives(&other(3, "pid:-1-")), None, "numbers of another space say nothing");
        for unknown in ["", "host", "host x y z"] {
            let maker = Maker { process: unknown.to_owned(), ..own.clone() };
            assert_eq!((lives(&maker), told(&maker).as_str()), (None, "a process that is not known"));
        }
    }
}
