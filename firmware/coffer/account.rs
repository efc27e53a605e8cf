//! `coffer account`: who may sign in by SMTP from a network that is not allowed by itself.

use crate::archive_access::{Missing, log_run, open};
use crate::args::{AccountArgs, AccountCommand, AccountName};
use crate::output::{Exit, line, plain};
use std::io::{self, Read};

/// Shortest password: length is what makes guessing slow (NIST SP 800-63B §5.1.1.2 asks for 8 at least).
const PASSWORD_CHARS_MIN: usize = 10;

/// Longest password in bytes; more is a mistake, such as a file that was named instead.
const PASSWORD_BYTES_MAX: u64 = 1024;

pub(crate) fn run(args: AccountArgs) -> Result<(), Exit> {
    match args.command {
        AccountCommand::Add(account) => {
            let password = read_password()?;
            put(&account, Some(password))?;
            line(format_args!("account {} can sign in", plain(&account.name)))
        }
        AccountCommand::Remove(account) => {
            put(&account, None)?;
            line(format_args!("account {} is removed", plain(&account.name)))
        }
        AccountCommand::List(data) => {
            let keeper = open(&data.data, Missing::Refuse)?;
            log_run(&*keeper)?;
            keeper
                .accounts()?
                .iter()
                .try_for_each(|name| line(plain(name)))
        }
    }
}

fn put(account: &AccountName, password: Option<String>) -> Result<(), Exit> {
    let keeper = open(&account.data.data, Missing::Refuse)?;
    log_run(&*keeper)?;
    Ok(keeper.put_account(&account.name, password)?)
}

fn read_password() -> Result<String, Exit> {
    let mut text = String::new();
    let read = io::stdin()
        .take(PASSWORD_BYTES_MAX + 1)
        .read_to_string(&mut text);
    read.map_err(|error| {
        Exit::cannot(format!(
            "cannot read the password from standard input: {error}"
        ))
    })?;
    let password = text.lines().next().unwrap_or_default();
    if password.chars().count() < PASSWORD_CHARS_MIN || text.len() as u64 > PASSWORD_BYTES_MAX {
        let text = format!(
            "a password has {PASSWORD_CHARS_MIN} characters at least and {PASSWORD_BYTES_MAX} bytes at most, on one line"
        );
        return Err(Exit::Cannot(text));
    }
    Ok(password.to_owned())
}
