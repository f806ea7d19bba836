//! Readiness of descriptors: one epoll instance and the eventfd that wakes its waiter.
//!
//! Used by the pollers of `net`. Level-triggered; a descriptor is known by the token it was added
//! under. `add`, `modify`, `remove` and `wake` may be called by any thread while another one waits.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::io::{Errno, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The token of the eventfd; no socket id reaches it.
const WAKE: u64 = u64::MAX;

/// What a descriptor is watched for. Errors and hang-ups are reported in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    pub read: bool,
    pub write: bool,
}

/// One descriptor that has something to say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ready {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// The descriptor is in error.
    pub error: bool,
    /// Both directions are closed.
    pub hang_up: bool,
}

/// Which step of making a [`Poll`] failed.
#[derive(Debug)]
pub enum SetupError {
    Epoll(io::Error),
    Eventfd(io::Error),
    Register(io::Error),
}

/// An epoll instance with its wake-up descriptor.
pub struct Poll {
    epoll: OwnedFd,
    wake: OwnedFd,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, self.read);
        flags.set(epoll::EventFlags::OUT, self.write);
        flags
    }
}

impl Poll {
    pub fn new() -> Result<Poll, SetupError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|errno| SetupError::Epoll(errno.into()))?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| SetupError::Eventfd(errno.into()))?;
        epoll::add(
            &epoll,
            &wake,
            epoll::EventData::new_u64(WAKE),
            epoll::EventFlags::IN,
        )
        .map_err(|errno| SetupError::Register(errno.into()))?;
        Ok(Poll { epoll, wake })
    }

    /// Watches `fd` from now on, under `token`.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        epoll::add(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(token),
            interest.flags(),
        )?;
        Ok(())
    }

    /// Changes what `fd`, added before, is watched for.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        epoll::modify(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(token),
            interest.flags(),
        )?;
        Ok(())
    }

    /// Forgets `fd`. Must come before its close: a duplicate elsewhere would keep the entry alive.
    pub fn remove(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Makes the current or the next `wait` return.
    pub fn wake(&self) {
        // The only failure is a full counter, and then the waiter is woken anyway.
        let _ = retry_on_intr(|| rustix::io::write(&self.wake, &1u64.to_ne_bytes()));
    }

    /// Waits until `wake` was called, however long ago, or the time is over.
    pub fn wait_for_wake(&self, time: Duration) {
        let mut wake = [PollFd::new(&self.wake, PollFlags::IN)];
        let _ = poll(&mut wake, Some(&timespec(time)));
    }

    /// Waits until something is ready, `wake` was called or the time is over, and puts what is ready
    /// into `ready` (at most its capacity). `None` waits without end.
    pub fn wait(&self, ready: &mut Batch, timeout: Option<Duration>) -> io::Result<()> {
        ready.next = 0;
        ready.events.clear();
        let timeout = timeout.map(timespec);
        let space = rustix::buffer::spare_capacity(&mut ready.events);
        match epoll::wait(&self.epoll, space, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn drain_wake(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}

/// The result of one `wait`, taken out one by one.
pub struct Batch {
    events: Vec<epoll::Event>,
    next: usize,
}

// SAFETY: the pointer that an event could carry is never one here, only a token.
unsafe impl Send for Batch {}

impl Batch {
    /// Room for `size` events.
    pub fn new(size: usize) -> Batch {
        Batch {
            events: Vec::with_capacity(size),
            next: 0,
        }
    }

    /// True when everything was taken out.
    pub fn is_empty(&self) -> bool {
        self.next == self.events.len()
    }

    /// The next ready descriptor.
    pub fn next(&mut self, poll: &Poll) -> Option<Ready> {
        use epoll::EventFlags as Flags;
        while let Some(&event) = self.events.get(self.next) {
            self.next += 1;
            let (token, flags) = (event.data.u64(), event.flags);
            if token == WAKE {
                poll.drain_wake();
                continue;
            }
            return Some(Ready {
                token,
                readable: flags.contains(Flags::IN),
                writable: flags.contains(Flags::OUT),
                error: flags.contains(Flags::ERR),
                hang_up: flags.contains(Flags::HUP),
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn reports_tokens_and_directions() {
        let poll = Poll::new().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        poll.add(
            &far,
            7,
            Interest {
                read: true,
                write: false,
            },
        )
        .unwrap();
        let mut batch = Batch::new(4);
        poll.wait(&mut batch, Some(Duration::ZERO)).unwrap();
        assert!(batch.next(&poll).is_none());

        near.write_all(b"x").unwrap();
        poll.wait(&mut batch, Some(Duration::from_secs(5))).unwrap();
        let ready = batch.next(&poll).unwrap();
        assert_eq!(
            (ready.token, ready.readable, ready.writable),
            (7, true, false)
        );
        assert!(batch.is_empty());

        poll.modify(
            &far,
            7,
            Interest {
                read: false,
                write: true,
            },
        )
        .unwrap();
        poll.wait(&mut batch, Some(Duration::from_secs(5))).unwrap();
        let ready = batch.next(&poll).unwrap();
        assert_eq!((ready.readable, ready.writable), (false, true));

        poll.modify(&far, 7, Interest::default()).unwrap();
        drop(near);
        poll.wait(&mut batch, Some(Duration::from_secs(5))).unwrap();
        assert!(batch.next(&poll).unwrap().hang_up);

        poll.remove(&far);
        poll.wait(&mut batch, Some(Duration::ZERO)).unwrap();
        assert!(batch.next(&poll).is_none());
    }

    #[test]
    fn wake_ends_a_wait_once() {
        let poll = Poll::new().unwrap();
        let mut batch = Batch::new(4);
        poll.wake();
        poll.wake();
        poll.wait(&mut batch, None).unwrap();
        assert!(!batch.is_empty());
        assert!(batch.next(&poll).is_none());
        poll.wait(&mut batch, Some(Duration::ZERO)).unwrap();
        assert!(batch.is_empty());
    }

    #[test]
    fn a_regular_file_cannot_be_watched() {
        let poll = Poll::new().unwrap();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(poll.add(&file, 1, Interest::default()).is_err());
    }
}
