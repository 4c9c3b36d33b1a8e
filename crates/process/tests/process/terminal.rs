use std::time::Duration;

use holdpoint_process::{Program, Running, Stdin, Stdout};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};

use crate::stage;

/// A program that holds a terminal, as its session's leader.
struct Held {
    running: Running,
    keyboard: ChildStdin,
    screen: ChildStdout,
    seen: String,
}

impl Held {
    fn start(script: &str) -> Self {
        // Where the tests themselves run in the background of a script, the shell has them ignore the interrupt.
        let hold = "import pty, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); \
                    sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
        let mut running = Program::new("python3")
            .variable("PATH", "/usr/local/bin:/usr/bin:/bin")
            .arguments(["-c", hold])
            .argument(stage())
            .arguments(["terminal", script])
            .stdin(Stdin::Piped)
            .stdout(Stdout::Piped)
            .start()
            .unwrap();
        let (keyboard, screen) = (running.take_stdin().unwrap(), running.take_stdout().unwrap());
        Self { running, keyboard, screen, seen: String::new() }
    }

    async fn expect(&mut self, text: &str) {
        let reading = async {
            while !self.seen.contains(text) {
                let mut buffer = [0; 256];
                let count = self.screen.read(&mut buffer).await.unwrap();
                assert!(count > 0, "ended before {text:?}: {}", self.seen);
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(300), reading).await;
        assert!(waited.is_ok(), "no {text:?} within 20 s: {}", self.seen);
    }

    async fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).await.unwrap();
        self.keyboard.flush().await.unwrap();
    }
}

#[tokio::test]
async fn a_prompt_works_and_the_terminal_comes_back() {
    let mut held = Held::start("stty -echo; read answer; echo \"child: $answer\"; exit 5");
    held.press(b"one\n").await;
    held.expect("child: one").await;
    held.expect("shell: exit code 5").await;
    held.press(b"two\n").await;
    held.expect("parent: two").await;
    assert!(held.running.wait().await.unwrap().is_success());
    assert!(held.seen.contains("two\r\n"), "the echo that the child had switched off is on again: {}", held.seen);
}

#[tokio::test]
async fn interrupt_goes_to_the_child_alone() {
    // The terminal is handed over right after the start; on a busy machine the child is quicker, and waits for it.
    let script = "trap 'echo interrupted; exit 9' INT; \
                  while read -r _ _ _ _ own _ _ foreground _ < /proc/$$/stat && [ $own != $foreground ]; \
                  do sleep 0.05; done; echo waiting; while :; do sleep 0.05; done";
    let mut held = Held::start(script);
    held.expect("waiting").await;
    held.press(b"\x03").await;
    held.expect("interrupted").await;
    held.expect("shell: exit code 9").await;
    held.press(b"on\n").await;
    held.expect("parent: on").await;
}

#[tokio::test]
async fn a_suspended_command_is_resumed() {
    let mut held = Held::start("echo waiting; kill -STOP $$; echo resumed");
    held.expect("resumed").await;
    held.expect("shell: exit code 0").await;
    held.press(b"on\n").await;
    held.expect("parent: on").await;
}
