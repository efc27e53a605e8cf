//! The worker that gives devices their drivers: first those that are there (coldplug), then whatever comes.
//!
//! It makes no device files (devtmpfs does) and knows no names: a disk, a network card or a power button is found by what it is.

use crate::confinement::Confinement;
use crate::modules::Index;
use crate::privileges::capability;
use crate::uevents::Uevents;
use crate::{kernel, report};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Where the image keeps modules and their index.
const MODULES: &str = "/modules";

/// 24 folders deep: the longest chain of buses and hubs below `/sys/devices` has about 15.
const DEPTH_MAX: usize = 24;

/// Loads what is needed, and goes on for as long as devices come.
///
/// # Errors
/// When the kernel's uevents cannot be heard.
pub(crate) fn run() -> io::Result<()> {
    kernel::keep_capabilities(&[capability::SYS_MODULE])?;
    let confinement = Confinement {
        writes: &[],
        reads: &[MODULES],
        sockets: &[libc::AF_NETLINK],
        calls: &[libc::SYS_init_module],
    };
    confinement.begin()?;
    // Before the walk: a device that comes meanwhile is in one of both.
    let uevents = Uevents::listen()?;
    let text = fs::read_to_string(format!("{MODULES}/index")).unwrap_or_else(|error| {
        tracing::error!(%error, "the list of kernel modules cannot be read");
        String::new()
    });
    let index = Index::parse(&text);
    let mut loader = Loader::new(&index);
    for name in index.always() {
        loader.load(name);
    }
    loader.walk(Path::new("/sys/devices"), 0);
    report::say("devices", "ready")?;
    loop {
        let Some(event) = uevents.next()? else {
            // Some were lost: whoever they were about is still there.
            loader.walk(Path::new("/sys/devices"), 0);
            continue;
        };
        if event.action == "add" {
            if let Some(modalias) = event.value("MODALIAS") {
                loader.serve(modalias);
            }
            report::say("device", event.value("SUBSYSTEM").unwrap_or_default())?;
        }
    }
}

/// Loads each module once.
struct Loader<'i> {
    index: &'i Index,
    /// Files that were loaded, or failed for good.
    done: HashSet<&'i str>,
}

impl<'i> Loader<'i> {
    fn new(index: &'i Index) -> Self {
        Self {
            index,
            done: HashSet::new(),
        }
    }

    /// Serves all devices below a folder of sysfs.
    fn walk(&mut self, folder: &Path, depth: usize) {
        let Ok(entries) = fs::read_dir(folder) else {
            return; // the device is gone
        };
        for entry in entries.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth < DEPTH_MAX {
                self.walk(&entry.path(), depth + 1);
            } else if entry.file_name() == "modalias"
                && let Ok(modalias) = fs::read_to_string(entry.path())
            {
                self.serve(modalias.trim_end());
            }
        }
    }

    fn serve(&mut self, modalias: &str) {
        let names: HashSet<String> = self.index.wanted(modalias).map(str::to_owned).collect();
        for name in names {
            self.load(&name);
        }
    }

    fn load(&mut self, name: &str) {
        for file in self.index.files(name) {
            if self.done.insert(file) {
                load_file(file);
            }
        }
    }
}

fn load_file(file: &str) {
    let path = Path::new(MODULES).join(file);
    let module = File::open(path).and_then(zstd::decode_all);
    match module.and_then(|module| kernel::load_module(&module)) {
        Ok(()) => tracing::debug!(file, "module loaded"),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        // Several drivers may want one device; those that find it is not theirs say so by ENODEV.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
            tracing::debug!(file, "no device for the module");
        }
        Err(error) => tracing::warn!(file, %error, "a kernel module cannot be loaded"),
    }
}
