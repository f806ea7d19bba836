//! The node: the process-wide state that everything in the core hangs on.

use super::context::Context;
use super::env::Env;
use super::handle::HandleTable;
use super::harbor::Harbor;
use super::message::Message;
use super::module::Modules;
use super::scheduler::Scheduler;
use super::timer::Timer;
use super::turn;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex};

/// There is one node in a process, as C code expects.
pub static NODE: Node = Node::new();

/// See the fields' types.
pub struct Node {
    pub env: Env,
    pub handles: HandleTable<Context>,
    pub scheduler: Scheduler,
    pub modules: Modules,
    pub timer: Timer,
    pub harbor: Harbor,
    /// Services that keep the process alive.
    pub live: AtomicUsize,
    /// Whether new services measure their CPU time.
    pub profile: AtomicBool,
    /// Handle that is told of services that end (core.md §5.12); 0 when there is none.
    pub exit_monitor: AtomicU32,
    /// For tests: new services begin with sessions and message counts just below their limits.
    pub debug_wrap: AtomicBool,
    /// Set when every service is to end: from then on none can be launched.
    pub ending: AtomicBool,
    /// Set by `skynet_globalinit`: from then on threads have a current handle.
    pub initialised: AtomicBool,
    /// True once the last service is gone.
    ended: Mutex<bool>,
    end: Condvar,
}

impl Node {
    const fn new() -> Self {
        Node {
            env: Env::new(),
            handles: HandleTable::new(),
            scheduler: Scheduler::new(),
            modules: Modules::new(),
            timer: Timer::new(),
            harbor: Harbor::new(),
            live: AtomicUsize::new(0),
            profile: AtomicBool::new(false),
            exit_monitor: AtomicU32::new(0),
            debug_wrap: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            initialised: AtomicBool::new(false),
            ended: Mutex::new(false),
            end: Condvar::new(),
        }
    }

    /// Queues `message` for a local service; gives it back when there is none.
    pub fn push(&'static self, handle: u32, message: Message) -> Result<(), Message> {
        self.push_inlined(handle, message)
    }

    /// As [`Node::push`], for the one place where it matters.
    #[inline(always)]
    pub fn push_inlined(&'static self, handle: u32, message: Message) -> Result<(), Message> {
        self.push_and(handle, message, |_| ())
    }

    /// As [`Node::push`]; says how many messages wait at the service now.
    pub fn push_counted(&'static self, handle: u32, message: Message) -> Result<usize, Message> {
        self.push_and(handle, message, |context| context.mailbox().len())
    }

    /// Queues `message` for a service and then has a look at it.
    #[inline(always)]
    fn push_and<R>(
        &'static self,
        handle: u32,
        message: Message,
        look: impl FnOnce(&Context) -> R,
    ) -> Result<R, Message> {
        let mut parcel = Some(message);
        let pushed = self.with(handle, |context| {
            let turn = parcel
                .take()
                .and_then(|message| turn::push(context, message));
            (turn, look(context))
        });
        match (pushed, parcel) {
            (Some((turn, seen)), _) => {
                // A turn keeps its service, so this can be done without the table.
                if let Some(turn) = turn {
                    self.scheduler.schedule(turn);
                }
                Ok(seen)
            }
            (None, Some(message)) => Err(message),
            (None, None) => unreachable!("the message is taken where the service is found"),
        }
    }

    /// Runs `f` on a live service; see [`HandleTable::with`] for what `f` may do.
    #[inline(always)]
    pub fn with<R>(&'static self, handle: u32, f: impl FnOnce(&Arc<Context>) -> R) -> Option<R> {
        let readers = &self.handles.readers;
        match readers.of_thread() {
            Some(record) => self.handles.with(record, handle, f),
            None => self.handles.with(&readers.mark(), handle, f),
        }
    }

    /// A reference to a live service.
    pub fn grab(&'static self, handle: u32) -> Option<Arc<Context>> {
        self.with(handle, Arc::clone)
    }

    /// One counted service less; the last one ends the node.
    pub fn count_down(&self) {
        if self.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish();
        }
    }

    /// Ends the node, whatever is still alive.
    pub fn finish(&self) {
        *self.ended.lock() = true;
        self.end.notify_all();
    }

    /// Waits until the last service is gone, at most for `limit`. True when it is.
    pub fn wait_end(&self, limit: std::time::Duration) -> bool {
        let mut ended = self.ended.lock();
        if !*ended {
            self.end.wait_for(&mut ended, limit);
        }
        *ended
    }

    /// Waits, without a limit, until the last service is gone.
    pub fn join(&self) {
        let mut ended = self.ended.lock();
        while !*ended {
            self.end.wait(&mut ended);
        }
    }
}
