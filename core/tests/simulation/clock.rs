//! Virtual time: tasks that wait for moments or for each other, run one at a time in the order of their moments.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Milliseconds.
pub type Time = u64;
type TaskId = u64;

/// Whose a task is. What is under way on the network belongs to nobody who could crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    World,
    ControlPlane,
    Envoy(usize),
}

struct Task {
    owner: Owner,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

#[derive(Default)]
pub struct Clock {
    now: Cell<Time>,
    last: Cell<u64>,
    current: Cell<TaskId>,
    /// Moment, order among equals, task.
    due: RefCell<BinaryHeap<Reverse<(Time, u64, TaskId)>>>,
    tasks: RefCell<BTreeMap<TaskId, Task>>,
    /// Set when the task that is just running is to end.
    ends_current: Cell<bool>,
    current_owner: Cell<Option<Owner>>,
}

impl Clock {
    pub fn now(&self) -> Time {
        self.now.get()
    }

    fn next(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    fn wake_at(&self, time: Time, task: TaskId) {
        self.due.borrow_mut().push(Reverse((time, self.next(), task)));
    }

    pub fn spawn(&self, owner: Owner, future: impl Future<Output = ()> + 'static) {
        let id = self.next();
        self.tasks.borrow_mut().insert(id, Task { owner, future: Box::pin(future) });
        self.wake_at(self.now(), id);
    }

    /// Ends all tasks of an owner where they are.
    pub fn kill(&self, owner: Owner) {
        let (dead, alive) =
            std::mem::take(&mut *self.tasks.borrow_mut()).into_iter().partition(|(_, task)| task.owner == owner);
        *self.tasks.borrow_mut() = alive;
        if self.current_owner.get() == Some(owner) {
            self.ends_current.set(true);
        }
        let dead: BTreeMap<TaskId, Task> = dead;
        drop(dead);
    }

    /// Runs until this moment, or until nothing is left to do.
    pub fn run_until(&self, end: Time, mut goes_on: impl FnMut() -> bool) {
        while goes_on() {
            let next = self.due.borrow().peek().map(|Reverse(next)| *next);
            let Some((time, _, id)) = next.filter(|(time, ..)| *time <= end) else { break };
            self.due.borrow_mut().pop();
            self.now.set(self.now().max(time));
            let Some(mut task) = self.tasks.borrow_mut().remove(&id) else { continue };
            self.current.set(id);
            self.current_owner.set(Some(task.owner));
            let state = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.current_owner.set(None);
            if state.is_pending() && !self.ends_current.take() {
                self.tasks.borrow_mut().insert(id, task);
            }
        }
        if goes_on() {
            self.now.set(self.now().max(end));
        }
    }

    pub async fn sleep(&self, time: Time) {
        let until = self.now() + time;
        let mut is_set = false;
        poll_fn(|_| {
            if self.now() >= until {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut is_set, true) {
                self.wake_at(until, self.current.get());
            }
            Poll::Pending
        })
        .await;
    }

    /// Looks again and again, for so long at most. Returns whether it became true.
    pub async fn until(&self, patience: Time, mut is_true: impl FnMut() -> bool) -> bool {
        let deadline = self.now().saturating_add(patience);
        while !is_true() {
            if self.now() >= deadline {
                return false;
            }
            self.sleep(3).await;
        }
        true
    }
}

/// Where one task waits for what others send.
pub struct Mailbox<T>(Rc<Inner<T>>);

struct Inner<T> {
    waiting: RefCell<VecDeque<T>>,
    receiver: Cell<Option<TaskId>>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Mailbox(self.0.clone())
    }
}

impl<T> Mailbox<T> {
    pub fn new() -> Mailbox<T> {
        Mailbox(Rc::new(Inner { waiting: RefCell::default(), receiver: Cell::new(None) }))
    }

    pub fn send(&self, clock: &Clock, item: T) {
        self.0.waiting.borrow_mut().push_back(item);
        if let Some(receiver) = self.0.receiver.take() {
            clock.wake_at(clock.now(), receiver);
        }
    }

    pub async fn receive(&self, clock: &Clock) -> T {
        poll_fn(|_| match self.0.waiting.borrow_mut().pop_front() {
            Some(item) => Poll::Ready(item),
            None => {
                self.0.receiver.set(Some(clock.current.get()));
                Poll::Pending
            }
        })
        .await
    }
}
