//! Two tasks, one operation at a time, in every order.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use holdpoint_repository::ObjectStore;
use tokio::sync::mpsc;

use super::stepped::{Memory, Step, Stepped};

/// Which of the two goes next at each step; the rest is filled up by the first that can.
pub(crate) struct Order {
    /// The choices, and how many there were.
    choices: Vec<(usize, usize)>,
    at: usize,
    /// So often, at most, is the one interrupted by the other that could go on.
    interrupted: usize,
}

impl Order {
    /// Chooses one of `count`.
    fn choose(&mut self, count: usize) -> usize {
        if self.at == self.choices.len() {
            self.choices.push((0, count));
        }
        let (choice, known) = self.choices[self.at];
        assert_eq!(known, count, "the same choices lead to the same place");
        self.at += 1;
        choice
    }

    /// The next order; `false` after the last.
    fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, count)) = self.choices.pop() {
            if choice + 1 < count {
                self.choices.push((choice + 1, count));
                return true;
            }
        }
        false
    }
}

/// Calls for every order; gives their number.
pub(crate) async fn every_order(each: impl AsyncFnMut(&mut Order)) -> usize {
    orders_interrupted(usize::MAX, each).await
}

/// Calls for every order in which the two interrupt each other so often at most: of long work there are millions else.
pub(crate) async fn orders_interrupted(interrupted: usize, mut each: impl AsyncFnMut(&mut Order)) -> usize {
    let (mut order, mut count) = (Order { choices: Vec::new(), at: 0, interrupted }, 0);
    loop {
        each(&mut order).await;
        count += 1;
        if !order.advance() {
            return count;
        }
    }
}

/// What became of the two; `None` of one that was killed.
pub(crate) struct Outcome<A, B> {
    pub(crate) first: Option<A>,
    pub(crate) second: Option<B>,
}

/// A task that works on a store.
pub(crate) type Task<'a, T> = Box<dyn AsyncTask<T> + 'a>;

/// What can be started with a store.
pub(crate) trait AsyncTask<T> {
    /// Starts it.
    fn start(&self, store: Arc<dyn ObjectStore>) -> LocalBoxFuture<'_, T>;
}

impl<T, F> AsyncTask<T> for F
where
    F: AsyncFn(Arc<dyn ObjectStore>) -> T,
{
    fn start(&self, store: Arc<dyn ObjectStore>) -> LocalBoxFuture<'_, T> {
        Box::pin(self(store))
    }
}

/// Runs two tasks in one order; the second is killed before its operation number `killed_at`.
pub(crate) async fn run<A, B>(
    order: &mut Order,
    memory: &Memory,
    first: Task<'_, A>,
    second: Task<'_, B>,
    killed_at: Option<usize>,
) -> Outcome<A, B> {
    let (steps_of_first, mut first_asks) = mpsc::unbounded_channel::<Step>();
    let (steps_of_second, mut second_asks) = mpsc::unbounded_channel::<Step>();
    let mut first = first.start(Arc::new(Stepped::new(memory, steps_of_first)));
    let mut second = second.start(Arc::new(Stepped::new(memory, steps_of_second)));
    let mut outcome = Outcome { first: None, second: None };
    let (mut waiting_first, mut waiting_second) = (None, None);
    let mut operations = 0;
    let mut killed = false;
    let (mut last, mut interrupted) = (None, 0);
    loop {
        // Each is driven until it asks for an operation or ends.
        if outcome.first.is_none() && waiting_first.is_none() {
            tokio::select! { biased;
                step = first_asks.recv() => waiting_first = step,
                done = &mut first => outcome.first = Some(done),
            }
        }
        if outcome.second.is_none() && waiting_second.is_none() && !killed {
            tokio::select! { biased;
                step = second_asks.recv() => waiting_second = step,
                done = &mut second => outcome.second = Some(done),
            }
        }
        if waiting_second.is_some() && killed_at == Some(operations) {
            killed = true;
            waiting_second = None;
        }
        let go_second = match (&waiting_first, &waiting_second) {
            (None, None) => return outcome,
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (Some(_), Some(_)) => match last {
                Some(last) if interrupted >= order.interrupted => last,
                last => {
                    let second = order.choose(2) == 1;
                    interrupted += usize::from(last.is_some_and(|last| last != second));
                    second
                }
            },
        };
        last = Some(go_second);
        let step = if go_second { waiting_second.take() } else { waiting_first.take() };
        operations += usize::from(go_second);
        let step = step.expect("one of them waits");
        step.let_through();
        // The operation happens when its task is driven next, before anybody else is let through.
        if go_second {
            tokio::select! { biased;
                step = second_asks.recv() => waiting_second = step,
                done = &mut second => outcome.second = Some(done),
            }
        } else {
            tokio::select! { biased;
                step = first_asks.recv() => waiting_first = step,
                done = &mut first => outcome.first = Some(done),
            }
        }
    }
}
