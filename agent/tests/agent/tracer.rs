//! Killing a program before any one of its changes to the system.
//!
//! The program is traced (`ptrace(2)`), its system calls that change files,
//! mounts or processes are counted, and it is killed in place of one of them. So
//! every state that a sudden death can leave is met, and none by chance.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::harness::Agent;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Victim {
    /// The agent.
    Agent,
    /// A daemon that it starts from now on.
    Daemon,
}

/// Watches an agent, and kills it or its daemon before a step.
pub(crate) struct Killer {
    thread: JoinHandle<bool>,
    released: Arc<AtomicBool>,
}

impl Killer {
    /// Kills `victim` instead of its `step`th change, from 1.
    pub(crate) fn new(agent: &Agent, victim: Victim, step: usize) -> Self {
        let agent = Pid::from_raw(agent.pid().cast_signed());
        let released = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let hunt = Hunt {
            victim,
            left: step,
            released: Arc::clone(&released),
            known: HashSet::new(),
            in_call: HashSet::new(),
        };
        let thread = std::thread::spawn(move || hunt.run(agent, &ready));
        is_ready.recv().expect("the agent can be traced");
        Self { thread, released }
    }

    /// Lets go of everything, and says whether there was such a step.
    pub(crate) async fn release(self, agent: &Agent) -> bool {
        self.released.store(true, Ordering::Relaxed);
        // Anything that it does wakes the thread, unless that has ended.
        let _ = agent
            .request_without_token(reqwest::Method::GET, "/")
            .send()
            .await;
        self.thread.join().unwrap()
    }
}

struct Hunt {
    victim: Victim,
    left: usize,
    released: Arc<AtomicBool>,
    known: HashSet<Pid>,
    /// Threads that are in a system call.
    in_call: HashSet<Pid>,
}

impl Hunt {
    /// When this thread ends, all that it has traced goes on by itself.
    fn run(mut self, agent: Pid, ready: &mpsc::Sender<()>) -> bool {
        let mut options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE;
        if self.victim == Victim::Daemon {
            options |= Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
        }
        self.seize(agent, options);
        let mut unstopped = self.known.clone();
        while !self.released.load(Ordering::Relaxed) {
            let any_of_ours = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            let status = match waitpid(None, Some(any_of_ours)) {
                Ok(status) => status,
                Err(Errno::ECHILD) => return false,
                Err(error) => panic!("{error}"),
            };
            let Some(thread) = status.pid() else { continue };
            let signal = match status {
                WaitStatus::PtraceSyscall(_) => {
                    if !self.in_call.remove(&thread) {
                        self.in_call.insert(thread);
                        if self.is_step(thread) {
                            self.left -= 1;
                        }
                        if self.left == 0 {
                            kill(process_of(thread), Signal::SIGKILL).unwrap();
                            return true;
                        }
                    }
                    None
                }
                WaitStatus::Stopped(_, signal) => Some(signal),
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => continue,
                _ => None,
            };
            // It may have been killed in this moment.
            let _ = ptrace::syscall(thread, signal);
            if unstopped.remove(&thread) && unstopped.is_empty() {
                let _ = ready.send(());
            }
        }
        false
    }

    /// Traces all threads of a process, those that come meanwhile included.
    fn seize(&mut self, process: Pid, options: Options) {
        let threads = PathBuf::from(format!("/proc/{process}/task"));
        loop {
            let before = self.known.len();
            for thread in std::fs::read_dir(&threads).unwrap() {
                let name = thread.unwrap().file_name();
                let thread = Pid::from_raw(name.to_str().unwrap().parse().unwrap());
                if !self.known.contains(&thread) && ptrace::seize(thread, options).is_ok() {
                    // From its next stop on, its system calls are seen.
                    ptrace::interrupt(thread).unwrap();
                    self.known.insert(thread);
                }
            }
            if self.known.len() == before {
                return;
            }
        }
    }

    /// Whether a thread that is entering a system call is about to change
    /// something, and is the one that is hunted.
    fn is_step(&self, thread: Pid) -> bool {
        let call = std::fs::read_to_string(format!("/proc/{thread}/syscall")).unwrap_or_default();
        let mut words = call.split(' ');
        let number: libc::c_long = words
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or(-1);
        let changes = match number {
            libc::SYS_openat => {
                let flags = words.nth(2).and_then(|word| word.strip_prefix("0x"));
                let flags = flags.and_then(|flags| libc::c_int::from_str_radix(flags, 16).ok());
                flags.is_some_and(|flags| flags & libc::O_CREAT != 0)
            }
            number => CHANGES.contains(&number),
        };
        changes && (self.victim == Victim::Agent || is_daemon(thread))
    }
}

/// Calls that change files, mounts or processes, or let others connect.
const CHANGES: [libc::c_long; 21] = [
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rmdir,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_pwrite64,
    libc::SYS_copy_file_range,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_fchownat,
    libc::SYS_bind,
    libc::SYS_pidfd_send_signal,
];

fn is_daemon(thread: Pid) -> bool {
    let line = std::fs::read(format!("/proc/{thread}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(b"serve-mount")
}

fn process_of(thread: Pid) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    Pid::from_raw(process.unwrap().trim().parse().unwrap())
}
