//! The keeper as an edge knows it: several connections, so that no question waits behind a long one, and a spool whose files the keeper gives.

use super::messages::{BodyRequest, DocumentText, Request, Response};
use super::{Answer, Failure, Keeper, SocketKeeper, Watch};
use archive::Event;
use extract::Label;
use std::io;
use std::path::Path;
use std::sync::Arc;
use store::{Body, Deposit, Receipt, Spool};

/// 8 connections: the keeper answers the questions of each one after the other, and takes a message apart before it looks at the next.
const CONNECTIONS: usize = 8;

/// A keeper in another process, which admits this one as an edge.
pub struct EdgeKeeper {
    connections: Arc<[SocketKeeper]>,
    spool: Spool,
}

impl EdgeKeeper {
    /// Connects to the socket for edges in a folder; none when no keeper has it open.
    ///
    /// # Errors
    /// `Unreachable` when there is one but it cannot be spoken to.
    pub fn connect(folder: &Path) -> Result<Option<Self>, Failure> {
        let connect = |_| SocketKeeper::connect(folder).transpose();
        let connections: Arc<[_]> = (0..CONNECTIONS)
            .map_while(connect)
            .collect::<Result<_, _>>()?;
        if connections.is_empty() {
            return Ok(None);
        }
        let giving = connections.clone();
        let spool = Spool::asking(move || match free(&giving).bytes(&Request::SpoolFile) {
            Ok(Body::File { file, .. }) => Ok(file),
            Ok(Body::Memory(_)) => Err(io::ErrorKind::Unsupported.into()),
            Err(failure) => Err(io::Error::other(failure)),
        });
        Ok(Some(Self { connections, spool }))
    }
}

/// The connection on which the fewest questions wait.
fn free(connections: &[SocketKeeper]) -> &SocketKeeper {
    let free = connections.iter().min_by_key(|one| one.outstanding());
    free.expect("at least one connection, as it was made")
}

impl Keeper for EdgeKeeper {
    fn spool(&self) -> &Spool {
        &self.spool
    }

    fn takes_mail(&self) -> Result<(), Failure> {
        free(&self.connections).takes_mail()
    }

    fn deposit(&self, body: Body, deposit: Deposit) -> Result<Answer<Receipt>, Failure> {
        free(&self.connections).deposit(body, deposit)
    }

    fn sign_in(&self, name: &str, password: &str) -> Result<bool, Failure> {
        free(&self.connections).sign_in(name, password)
    }

    fn log(&self, actor: u64, event: Event) -> Result<u64, Failure> {
        free(&self.connections).log(actor, event)
    }

    fn ask(&self, request: Request, watch: Watch) -> Result<Response, Failure> {
        free(&self.connections).ask(request, watch)
    }

    fn read_document(&self, document: Body, label: Label) -> Result<DocumentText, Failure> {
        free(&self.connections).read_document(document, label)
    }

    fn body(&self, which: BodyRequest) -> Result<Body, Failure> {
        free(&self.connections).body(which)
    }
}
