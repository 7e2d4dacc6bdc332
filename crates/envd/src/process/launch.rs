//! Starts a program as a user, without a copy of the agent in between.
//!
//! `fork` copies the tables of the agent's memory, which takes gVisor 20 ms and more, and what both write
//! to is copied after it. The standard library has a way around that which can neither change the user
//! nor take a controlling terminal. So this makes a child as `posix_spawn` does: it shares our memory,
//! and the thread that made it stands still, until the child has become the program or has failed.
//!
//! The child may therefore make system calls only: it must not allocate, take locks, or call what the C
//! library does for all threads of a process, such as its `setuid`.

#![allow(unsafe_code, reason = "a child between clone and exec can only be written with raw calls")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::users::User;

/// Room for the child's stack: it calls a few functions with small frames.
const STACK_BYTES: usize = 64 << 10;

/// Descriptors below are the child's standard streams.
const FIRST_FREE: RawFd = 3;

/// A process to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    /// Where the program may be; the first that can be run is.
    pub(crate) paths: Vec<CString>,
    /// Its arguments, with its own name.
    pub(crate) args: Vec<CString>,
    /// All variables, as `NAME=value`.
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: CString,
    /// Standard input, output and error.
    pub(crate) stdio: [OwnedFd; 3],
    /// Whether these are a terminal, which is to become the controlling one.
    pub(crate) is_terminal: bool,
    /// The list of the control group to join.
    pub(crate) procs: Option<File>,
    /// Whom to become; none if that is us.
    pub(crate) user: Option<User>,
}

/// What the child reads and writes in our memory.
struct Shared<'launch> {
    launch: &'launch Launch,
    paths: &'launch [*const libc::c_char],
    args: &'launch [*const libc::c_char],
    env: &'launch [*const libc::c_char],
    /// The signal mask that the program gets: an empty one.
    mask: libc::sigset_t,
    /// Why the child failed; zero if it has not.
    errno: AtomicI32,
}

impl Launch {
    /// Starts the process as the leader of its own group, and returns its id once it runs.
    ///
    /// # Errors
    ///
    /// The system's; the child is gone then.
    pub(crate) fn start(self) -> io::Result<libc::pid_t> {
        let launch = self.with_high_descriptors()?;
        let [paths, args, env] = [&launch.paths, &launch.args, &launch.env].map(|s| pointers(s));
        let shared = Shared {
            launch: &launch,
            paths: &paths[..paths.len() - 1],
            args: &args,
            env: &env,
            mask: signals(false),
            errno: AtomicI32::new(0),
        };
        let mut stack = vec![0u128; STACK_BYTES / size_of::<u128>()];
        let top = stack.as_mut_ptr_range().end;
        // A handler of ours must not run in the child, in our memory.
        let _masked = Masked::new();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let argument = (&raw const shared).cast_mut().cast();
        // SAFETY: the stack is aligned, grows down from its end, and outlives the child's use of our
        // memory, as `shared` does: this thread goes on when the child has called exec or exit.
        let pid = unsafe { libc::clone(run, top.cast(), flags, argument) };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        match shared.errno.load(Ordering::Acquire) {
            0 => Ok(pid),
            errno => {
                // SAFETY: the child is ours and has ended; a null pointer asks for no status.
                unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
                Err(io::Error::from_raw_os_error(errno))
            }
        }
    }

    /// Moves the child's streams out of the way of their final numbers.
    fn with_high_descriptors(mut self) -> io::Result<Self> {
        for stream in &mut self.stdio {
            if stream.as_raw_fd() < FIRST_FREE {
                *stream = stream.try_clone()?;
            }
        }
        Ok(self)
    }
}

/// The child. Returns only by `_exit`.
extern "C" fn run(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `start` passes a `Shared` that outlives this, and only reads it meanwhile.
    let shared = unsafe { &*argument.cast::<Shared<'_>>() };
    let Err(errno) = shared.become_program();
    shared.errno.store(errno, Ordering::Release);
    // SAFETY: ends this process without running anything of ours.
    unsafe { libc::_exit(127) }
}

/// A number of the system's, or its error.
fn check(result: libc::c_long) -> Result<libc::c_long, libc::c_int> {
    if result >= 0 {
        return Ok(result);
    }
    // SAFETY: the location is this thread's; our thread that shares it stands still.
    Err(unsafe { *libc::__errno_location() })
}

/// Makes a raw system call with numbers and pointers.
macro_rules! call {
    ($($argument:expr),+ $(,)?) => {
        // SAFETY: the arguments are numbers, or pointers to what outlives the call.
        check(unsafe { libc::syscall($($argument),+) })
    };
}

impl Shared<'_> {
    /// Every step between a child that is like us and the program.
    fn become_program(&self) -> Result<std::convert::Infallible, libc::c_int> {
        let launch = self.launch;
        if let Some(procs) = &launch.procs {
            call!(libc::SYS_write, procs.as_raw_fd(), c"0".as_ptr(), 1usize)?;
        }
        for (number, stream) in launch.stdio.iter().enumerate() {
            call!(libc::SYS_dup3, stream.as_raw_fd(), number, 0)?;
        }
        if launch.is_terminal {
            call!(libc::SYS_setsid)?;
            call!(libc::SYS_ioctl, 0, libc::TIOCSCTTY, 0usize)?;
        } else {
            call!(libc::SYS_setpgid, 0, 0)?;
        }
        if let Some(user) = &launch.user {
            call!(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr())?;
            call!(libc::SYS_setresgid, user.gid, user.gid, user.gid)?;
            call!(libc::SYS_setresuid, user.uid, user.uid, user.uid)?;
        }
        call!(libc::SYS_chdir, launch.cwd.as_ptr())?;
        self.reset_signals();
        Err(self.exec())
    }

    /// What we handle or ignore is as usual for the program, and nothing is blocked.
    fn reset_signals(&self) {
        for signal in [libc::SIGPIPE, libc::SIGCHLD, libc::SIGTERM, libc::SIGINT] {
            // SAFETY: the default action runs nothing of ours.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        // SAFETY: the mask is initialised and outlives the call; a null pointer asks for no old one.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.mask, ptr::null_mut()) };
    }

    /// Runs the first program that there is, as `execvp` does; returns why none could be run.
    fn exec(&self) -> libc::c_int {
        let mut failure = libc::ENOENT;
        for path in self.paths {
            let (args, env) = (self.args.as_ptr(), self.env.as_ptr());
            match call!(libc::SYS_execve, *path, args, env) {
                Err(libc::ENOENT | libc::ENOTDIR) | Ok(_) => {}
                // Another directory may have one that may be run.
                Err(libc::EACCES) => failure = libc::EACCES,
                Err(errno) => return errno,
            }
        }
        failure
    }
}

/// The pointers to strings, and a null pointer behind them.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    let pointers = strings.iter().map(CString::as_c_str).map(CStr::as_ptr);
    pointers.chain([ptr::null()]).collect()
}

/// All signals or none.
fn signals(all: bool) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: both calls initialise the set that they are given.
    unsafe {
        if all {
            libc::sigfillset(set.as_mut_ptr());
        } else {
            libc::sigemptyset(set.as_mut_ptr());
        }
        set.assume_init()
    }
}

/// All signals of this thread are blocked until this is dropped.
struct Masked(libc::sigset_t);

impl Masked {
    fn new() -> Self {
        let (all, mut before) = (signals(true), signals(false));
        // SAFETY: both sets are initialised and outlive the call.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        }
        Self(before)
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        // SAFETY: the set is the one that the thread had; a null pointer asks for no old one.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut());
        }
    }
}
