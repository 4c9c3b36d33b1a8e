//! Room on the stack to read what is nested deeply: the parser and its trees recurse.

/// Reserved, not used: only what deep nesting touches costs memory. `syntax::too_deep` keeps below it.
const SIZE: usize = 512 << 20;

/// Does `work` on a stack of its own, and waits for it; none where the system gives no such stack.
///
/// Panics as `work` does.
pub(crate) fn with_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("review".into()).stack_size(SIZE).spawn_scoped(scope, work);
        thread.ok()?.join().map_or_else(|panic| std::panic::resume_unwind(panic), Some)
    })
}
