//! Virtual time: tasks that wait for moments or for each other, run one at a time in the order of their moments.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Milliseconds.
pub type Time = u64;
type TaskId = usize;

/// Whose a task is. What is under way on the network belongs to nobody who could crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    World,
    ControlPlane,
    Envoy(usize),
}

#[derive(Default)]
enum Slot {
    #[default]
    Free,
    /// It is being run.
    Taken,
    Waiting(Task),
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
    /// By id. A task that has ended leaves its id to the next one: to be woken for nothing harms nobody.
    tasks: RefCell<Vec<Slot>>,
    free: RefCell<Vec<TaskId>>,
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
        let task = Slot::Waiting(Task { owner, future: Box::pin(future) });
        let mut tasks = self.tasks.borrow_mut();
        let id = match self.free.borrow_mut().pop() {
            Some(id) => {
                tasks[id] = task;
                id
            }
            None => {
                tasks.push(task);
                tasks.len() - 1
            }
        };
        self.wake_at(self.now(), id);
    }

    /// Ends all tasks of an owner where they are.
    pub fn kill(&self, owner: Owner) {
        let mut dead = Vec::new();
        for (id, slot) in self.tasks.borrow_mut().iter_mut().enumerate() {
            if matches!(slot, Slot::Waiting(task) if task.owner == owner) {
                dead.push(std::mem::take(slot));
                self.free.borrow_mut().push(id);
            }
        }
        if self.current_owner.get() == Some(owner) {
            self.ends_current.set(true);
        }
    }

    /// Runs until this moment, or until nothing is left to do.
    pub fn run_until(&self, end: Time, mut goes_on: impl FnMut() -> bool) {
        while goes_on() {
            let next = self.due.borrow().peek().map(|Reverse(next)| *next);
            let Some((time, _, id)) = next.filter(|(time, ..)| *time <= end) else { break };
            self.due.borrow_mut().pop();
            self.now.set(self.now().max(time));
            let slot = std::mem::replace(&mut self.tasks.borrow_mut()[id], Slot::Taken);
            let mut task = match slot {
                Slot::Waiting(task) => task,
                other => {
                    self.tasks.borrow_mut()[id] = other;
                    continue;
                }
            };
            self.current.set(id);
            self.current_owner.set(Some(task.owner));
            let state = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.current_owner.set(None);
            let is_killed = self.ends_current.take();
            if state.is_pending() && !is_killed {
                self.tasks.borrow_mut()[id] = Slot::Waiting(task);
            } else {
                self.tasks.borrow_mut()[id] = Slot::Free;
                drop(task);
                self.free.borrow_mut().push(id);
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
        let mut pause = 2;
        while !is_true() {
            if self.now() >= deadline {
                return false;
            }
            self.sleep(pause).await;
            pause = (pause + 1).min(12);
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
