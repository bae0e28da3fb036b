//! Processes that end with the one that started them, or outlive it on purpose.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// What to run.
pub struct Program {
    /// Its name in messages and of its log.
    pub name: String,
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What is added to its environment.
    pub environment: Vec<(&'static str, String)>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
}

/// How long a process may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until its [`Process`] is dropped, or the program that started it ends in whatever way.
    Ours,
    /// Until its [`Process`] is dropped, or for good after [`Process::leave_running`].
    ItsOwn,
}

/// A running process. Dropping it kills the process.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(program: &Program, lifetime: Lifetime) -> Result<Process> {
        let log = File::options().create(true).append(true).open(&program.log)?;
        // Both of these exec the program: the child is the program itself.
        let mut command = match lifetime {
            Lifetime::Ours => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL", "--"]);
                command
            }
            Lifetime::ItsOwn => Command::new("setsid"),
        };
        command
            .arg(&program.path)
            .args(&program.arguments)
            .envs(program.environment.iter().map(|(name, value)| (*name, value)))
            .current_dir(&program.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = spawn(command).with_context(|| format!("starting {}", program.path.display()))?;
        Ok(Process { name: program.name.clone(), log: program.log.clone(), child: Some(child) })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Fails with the end of its log if it has ended by itself.
    ///
    /// # Errors
    /// If it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else { bail!("{} is not running", self.name) };
        if let Some(status) = child.try_wait()? {
            bail!("{} ended by itself ({status}). Its last words:\n{}", self.name, end_of(&self.log));
        }
        Ok(())
    }

    /// Stops it in its tracks: it is there, and answers nothing.
    ///
    /// # Errors
    /// If it is gone.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If it is gone.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Drops the handle without ending the process.
    pub fn leave_running(mut self) {
        self.child = None;
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.as_ref().map(Pid::from_child);
        let pid = pid.with_context(|| format!("{} is not running", self.name))?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both can only fail for a process that is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Spawns on a thread that lives as long as this program: the death signal of a child is sent when the thread that
/// spawned it ends, and the threads of tests end before the tests are over that share a cluster.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });

    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    SPAWNER.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn end_of(log: &Path) -> String {
    const LENGTH: u64 = 4_000;
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let start = file.metadata()?.len().saturating_sub(LENGTH);
        file.seek(SeekFrom::Start(start))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(String::from_utf8_lossy(&end).into_owned())
    };
    read().unwrap_or_else(|error| format!("{} can't be read: {error}", log.display()))
}
