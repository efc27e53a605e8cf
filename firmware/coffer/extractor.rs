//! `coffer extractor`: reads documents for the keeper, each in a process of its own, and has nothing else: no file, no network.
//!
//! On the box it is a worker, started by PID 1 as a user of its own; elsewhere a child of `coffer serve`, started when the first document is to be read.

use crate::args::ExtractorArgs;
use crate::output::Exit;
use appliance::Apart;
use service::keeper::messages::DocumentText;
use service::keeper::{ExtractorDocument, ExtractorEnd, StartExtractor};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

pub(crate) fn run(args: &ExtractorArgs) -> Result<(), Exit> {
    let mut keeper = match &args.keeper {
        Some(folder) => ExtractorEnd::connect(folder)?,
        None => {
            let input = io::stdin().as_fd().try_clone_to_owned();
            ExtractorEnd::over(UnixStream::from(input.map_err(Exit::cannot)?))
        }
    };
    let apart =
        Apart::begin().map_err(|error| Exit::cannot(format!("cannot give up rights: {error}")))?;
    while let Some(document) = keeper.receive().map_err(Exit::cannot)? {
        let text = read(&apart, &document).map_err(Exit::cannot)?;
        keeper.answer(&text).map_err(Exit::cannot)?;
    }
    Ok(())
}

/// Reads a document; a process of its own may die of it.
fn read(apart: &Apart, document: &ExtractorDocument) -> io::Result<DocumentText> {
    let work = || {
        let text = match document.bytes() {
            Ok(bytes) => match extract::text(&bytes, &document.label) {
                Ok(text) => DocumentText::Text(text),
                Err(why) => DocumentText::None(why),
            },
            Err(_) => DocumentText::Lost,
        };
        text.to_bytes()
    };
    let text = apart.run(document.file(), work)?;
    // What a process says that a document may have taken over is only believed to be some text.
    let text = text.and_then(|bytes| DocumentText::from_bytes(&bytes));
    Ok(text.unwrap_or(DocumentText::Lost))
}

/// Starts one as a child, the one before being ended.
pub(crate) fn of_this_program() -> StartExtractor {
    let running = Mutex::new(Running(None));
    Box::new(move || {
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        running.end();
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        let (name, value) = appliance::COUNTED_MEMORY;
        command.arg("extractor").env_clear().env(name, value);
        command.current_dir("/").stdout(Stdio::null());
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        running.0 = Some(command.spawn()?);
        Ok(ours)
    })
}

/// The child that runs; it ends with its connection, and is waited for.
struct Running(Option<Child>);

impl Running {
    fn end(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
