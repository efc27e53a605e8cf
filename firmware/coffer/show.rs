//! `coffer show`: gives a message back exactly as it came, or says what is known of it.

use crate::archive_access::{Missing, log_run, open};
use crate::args::ShowArgs;
use crate::output::{Exit, bytes, line, moment, plain};
use archive::{Digest, Reception};
use service::keeper::Keeper;
use service::keeper::messages::BodyRequest;
use std::io::{self, Write};

pub(crate) fn run(args: ShowArgs) -> Result<(), Exit> {
    let keeper = open(&args.data.data, Missing::Refuse)?;
    let which = which(&args)?;
    log_run(&*keeper)?;
    if args.info {
        return info(&*keeper, &which);
    }
    let body = keeper.body(which)?;
    let mut out = io::stdout().lock();
    body.write_to(&mut out)?;
    Ok(out.flush()?)
}

fn which(args: &ShowArgs) -> Result<BodyRequest, Exit> {
    if let Ok(number) = args.which.parse() {
        return Ok(if args.report {
            BodyRequest::JournalReport(number)
        } else {
            BodyRequest::Number(number)
        });
    }
    match args.which.parse::<Digest>() {
        Ok(digest) if !args.report => Ok(BodyRequest::Digest(digest.0)),
        _ => Err(Exit::Cannot(format!(
            "neither a number nor a SHA-256 of 64 digits: {}",
            args.which
        ))),
    }
}

fn info(keeper: &dyn Keeper, which: &BodyRequest) -> Result<(), Exit> {
    let number = match which {
        BodyRequest::Digest(digest) => keeper.number_of(&Digest(*digest))?,
        BodyRequest::Number(number) | BodyRequest::JournalReport(number) => *number,
        BodyRequest::Seen(seen) => seen.number,
    };
    let details = keeper.details(number)?;
    let entry = &details.entry;
    line(format_args!("number:    {number}"))?;
    line(format_args!("digest:    {}", Digest(entry.digest)))?;
    line(format_args!(
        "size:      {} ({} bytes)",
        bytes(entry.size_bytes),
        entry.size_bytes
    ))?;
    line(format_args!("from:      {}", plain(&entry.from)))?;
    line(format_args!("to:        {}", plain(&entry.to.join(", "))))?;
    line(format_args!("subject:   {}", plain(&entry.subject)))?;
    if !entry.oddities.is_empty() {
        line(format_args!("odd:       {}", entry.oddities.join(", ")))?;
    }
    for (number, fields) in &details.receptions {
        if let Some(reception) = store::decode_reception(fields) {
            print_reception(*number, &reception)?;
        }
    }
    list("same Message-ID, other bytes", &details.linked)?;
    let copies: Vec<u64> = details
        .copies
        .into_iter()
        .filter(|copy| *copy != number)
        .collect();
    list("copies that differ in line ends or trace fields", &copies)?;
    line(format_args!("received:  {}", moment(entry.received_at_us)))
}

fn list(what: &str, numbers: &[u64]) -> Result<(), Exit> {
    if numbers.is_empty() {
        return Ok(());
    }
    let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
    line(format_args!("{what}: {}", numbers.join(", ")))
}

fn print_reception(number: u64, reception: &Reception) -> Result<(), Exit> {
    line(format_args!(
        "reception: {number} by {:?}",
        reception.source
    ))?;
    if let Some(envelope) = &reception.envelope {
        line(format_args!(
            "  from     <{}> by {}",
            plain(&envelope.reverse_path),
            plain(&envelope.peer)
        ))?;
        for recipient in &envelope.recipients {
            line(format_args!("  to       <{}>", plain(&recipient.address)))?;
        }
    }
    for recipient in reception
        .journal
        .iter()
        .flat_map(|journal| &journal.envelope.recipients)
    {
        line(format_args!(
            "  journal  {:?} {}",
            recipient.kind,
            plain(&recipient.address)
        ))?;
    }
    if !reception.key.path.is_empty() {
        line(format_args!("  file     {}", plain(&reception.key.path)))?;
    }
    Ok(())
}
