//! `coffer person`: what people of the page need who cannot help themselves there any more.
//!
//! Whoever runs it owns the archive's files. All else about people is done on the page, where it is slow and in the log.

use crate::archive_access::{Missing, log_run, open};
use crate::args::{AccountName, PersonArgs, PersonCommand};
use crate::output::{Exit, line};
use service::people::{Denial, People};

pub(crate) fn run(args: PersonArgs) -> Result<(), Exit> {
    match args.command {
        PersonCommand::Reset(account) => reset(&account),
    }
}

fn reset(account: &AccountName) -> Result<(), Exit> {
    let keeper = open(&account.data.data, Missing::Refuse)?;
    log_run(&*keeper)?;
    let password = People::of(&*keeper).reset_at_machine(&account.name);
    let (_, password) = password.map_err(|denial| match denial {
        Denial::Failed(failure) => failure.into(),
        _ => Exit::Cannot(format!(
            "no operator of the page has this name: {}",
            account.name
        )),
    })?;
    line(format_args!("password: {}", password.0))
}
