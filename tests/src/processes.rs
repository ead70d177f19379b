//! The processes that this one has started, and theirs.

use std::{
    collections::{HashMap, HashSet},
    fs,
};

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The name of its program, cut after 15 bytes.
    pub name: String,
    /// Bytes that it has in memory.
    pub resident: u64,
    parent: u32,
}

impl Process {
    /// The process of that number, if there is one.
    pub fn read(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let fields: HashMap<_, _> = status
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
            .collect();
        // One that has ended and was not waited for has none.
        let resident = fields
            .get("VmRSS")
            .and_then(|size| size.strip_suffix(" kB"));
        Some(Self {
            pid,
            name: (*fields.get("Name")?).to_owned(),
            resident: resident.and_then(|kib| kib.parse().ok()).unwrap_or(0) * 1024,
            parent: fields.get("PPid")?.parse().ok()?,
        })
    }

    /// How many files it has open; none if it is somebody else's.
    pub fn open_files(&self) -> u64 {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, |files| files.count() as u64)
    }
}

/// All processes below this one.
pub fn below_this() -> Vec<Process> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all: Vec<_> = numbers.filter_map(Process::read).collect();
    let mut below = HashSet::from([std::process::id()]);
    let mut found = Vec::new();
    loop {
        let known = found.len();
        for process in &all {
            if below.contains(&process.parent) && below.insert(process.pid) {
                found.push(process.clone());
            }
        }
        if found.len() == known {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_child_and_its_child_are_below() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 1000 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        let grandchild: u32 = line.trim().parse().unwrap();
        let below = below_this();
        let of = |pid| below.iter().find(|process| process.pid == pid);
        assert!(of(child.id()).is_some_and(|shell| shell.name == "sh" && shell.resident > 0));
        assert!(of(grandchild).is_some_and(|process| process.open_files() >= 2));
        assert!(of(std::process::id()).is_none());
        let grandchild = rustix::process::Pid::from_raw(grandchild.cast_signed()).unwrap();
        rustix::process::kill_process(grandchild, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
    }
}
