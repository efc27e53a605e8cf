//! The command line: every command, its arguments and its help, in one place.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use service::networks::Networks;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A mail archive that you plug in.
#[derive(Parser)]
#[command(name = "coffer", version, about, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Take mail and keep it, until stopped; makes the archive on first use
    Serve(ServeArgs),
    /// Bring in eml files, mbox files and Maildirs; run again to go on after a stop
    Import(ImportArgs),
    /// Find messages
    Search(SearchArgs),
    /// Give a message back, exactly as it came, on standard output
    Show(ShowArgs),
    /// Hand messages out: a folder of eml files, an mbox, or a zip with proofs
    Export(ExportArgs),
    /// Check that nothing was changed or lost: an archive, or an export.zip alone
    Verify(VerifyArgs),
    /// Make catalog and index again from the volumes
    Rebuild(DataArgs),
    /// Pack sealed volumes anew so that they take less room; a running serve does so by itself
    Recompress(RecompressArgs),
    /// Say how much there is
    Stats(StatsArgs),
    /// Print the signed checkpoint of the archive, to be kept outside
    Checkpoint(DataArgs),
    /// Print the key that checks checkpoints and exports, to be kept outside
    Key(DataArgs),
    /// Print the certificate that makes computers trust this box; name and fingerprint go to standard error.
    Certificate(DataArgs),
    /// Manage who may sign in by SMTP
    Account(AccountArgs),
    /// Help an operator of the page who cannot sign in any more
    Person(PersonArgs),
    /// Look for signed updates of this box, install them, or follow any repository of them
    Update(UpdateArgs),
    /// A worker of the box; its first process starts it
    #[command(hide = true)]
    Appliance(ApplianceArgs),
    /// A process of the box that speaks to the network and asks its keeper
    #[command(hide = true)]
    Edge(EdgeArgs),
    /// A process that has nothing and reads documents for the keeper
    #[command(hide = true)]
    Extractor(ExtractorArgs),
}

#[derive(ClapArgs)]
pub(crate) struct ExtractorArgs {
    /// The folder of the keeper's socket; without it the keeper is at standard input
    #[arg(long, value_name = "DIR")]
    pub(crate) keeper: Option<PathBuf>,
}

#[derive(ClapArgs)]
pub(crate) struct ApplianceArgs {
    /// Which one
    pub(crate) worker: String,
    /// Its place on the archive disk, if it has one
    pub(crate) place: Option<PathBuf>,
}

/// Where the archive is.
#[derive(ClapArgs)]
pub(crate) struct DataArgs {
    /// The archive's directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(ClapArgs)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// A second directory, on another disk: everything is on both before it is answered
    #[arg(long, value_name = "DIR")]
    pub(crate) copy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) doors: DoorArgs,
    /// Run on the box: its page may ask for disks
    #[arg(long, hide = true)]
    pub(crate) appliance: bool,
    /// A file with the claim code that a new archive takes over; the box has one before it has an archive
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) claim_code_file: Option<PathBuf>,
    /// A file that names the operator of the page who gets a new password, if it is there
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) new_password_for_file: Option<PathBuf>,
    /// A folder for the socket by which the box's edges reach the keeper
    #[arg(long, value_name = "DIR", hide = true, requires_all = ["mail_user", "page_user"])]
    pub(crate) edges: Option<PathBuf>,
    /// The user of the edge that takes mail
    #[arg(long, value_name = "UID", hide = true)]
    pub(crate) mail_user: Option<u32>,
    /// The user of the edge that has the page
    #[arg(long, value_name = "UID", hide = true)]
    pub(crate) page_user: Option<u32>,
    /// The user of the process that reads documents
    #[arg(long, value_name = "UID", hide = true)]
    pub(crate) extractor_user: Option<u32>,
    /// Leave sealed volumes alone, instead of packing them anew and reading them once a month while no mail comes
    #[arg(long)]
    pub(crate) no_upkeep: bool,
}

/// Where others reach an archive, and who of them may.
#[derive(ClapArgs)]
pub(crate) struct DoorArgs {
    /// Take mail by SMTP at this address and port (STARTTLS is offered); can be given again
    #[arg(long, value_name = "ADDR")]
    pub(crate) smtp: Vec<SocketAddr>,
    /// Take mail by SMTP under TLS from the first byte; can be given again
    #[arg(long, value_name = "ADDR")]
    pub(crate) smtps: Vec<SocketAddr>,
    /// Serve the page by HTTPS at this address and port; can be given again
    #[arg(long, value_name = "ADDR")]
    pub(crate) web: Vec<SocketAddr>,
    /// Send browsers that come without TLS, to this address and port, on to the page; can be given again
    #[arg(long, value_name = "ADDR", requires = "web")]
    pub(crate) web_redirect: Vec<SocketAddr>,
    /// The office's own mail server (HOST:PORT), which takes notices and status mails as long as the page names no other
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) notices: Option<String>,
    /// The address that they come from; coffer@ the host's name if left out
    #[arg(long, value_name = "ADDRESS", requires = "notices")]
    pub(crate) notices_from: Option<String>,
    /// Networks that may send without signing in, as 192.168.1.0/24; loopback always may
    #[arg(long, value_name = "CIDR")]
    pub(crate) allow: Vec<Networks>,
    /// Networks whose journal reports are unwrapped; loopback always is trusted
    #[arg(long, value_name = "CIDR")]
    pub(crate) journal_from: Vec<Networks>,
    /// Offer signing in (AUTH) under TLS; see `coffer account`
    #[arg(long)]
    pub(crate) auth: bool,
    /// The largest message that is taken, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 150, value_parser = clap::value_parser!(u64).range(1..=2048))]
    pub(crate) size_max: u64,
    /// The name this host gives itself in SMTP; the system's own if left out
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
}

/// Which part of an archive's doors a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EdgeName {
    /// Takes mail.
    Mail,
    /// Serves the page, writes exports and sends the archive's own mail.
    Page,
}

#[derive(ClapArgs)]
pub(crate) struct EdgeArgs {
    /// Which one
    pub(crate) edge: EdgeName,
    /// The folder of the keeper's socket
    #[arg(long, value_name = "DIR")]
    pub(crate) keeper: PathBuf,
    /// A folder of its own, for the socket of the page
    #[arg(long, value_name = "DIR")]
    pub(crate) own: PathBuf,
    #[command(flatten)]
    pub(crate) doors: DoorArgs,
}

#[derive(ClapArgs)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Files and folders: eml, mbox, Maildir; a pipe or `-` (standard input) holds an mbox or one message
    ///
    /// What comes through a pipe is not known when it comes again: an import of one that was broken off begins anew, and keeps
    /// each arrival again whose place in the pipe has changed.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Unwrap journal reports; otherwise they are kept as they are
    #[arg(long)]
    pub(crate) journal: bool,
    /// Read everything and say what is odd, but keep nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// What to find: words, "phrases", from: to: subject: before: after: has:attachment filename: larger: -not prefix*
    ///
    /// A query that begins with a hyphen goes behind `--`.
    #[arg(required = true, value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// Print one JSON object a message
    #[arg(long)]
    pub(crate) json: bool,
    /// How many to list, at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u64,
    /// How many to leave out at the start
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offset: u64,
    /// The best first, instead of the newest
    #[arg(long)]
    pub(crate) relevance: bool,
    /// Show where the words stand
    #[arg(long)]
    pub(crate) snippets: bool,
}

#[derive(ClapArgs)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// The message's number or SHA-256
    #[arg(value_name = "NUMBER|DIGEST")]
    pub(crate) which: String,
    /// Give the journal report of the arrival with this number instead
    #[arg(long)]
    pub(crate) report: bool,
    /// Say what is known of the message (arrivals, recipients, copies) instead of its bytes
    #[arg(long, conflicts_with = "report")]
    pub(crate) info: bool,
}

/// In which form messages are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A folder, one NUMBER.eml a message
    Eml,
    /// One file, mboxrd
    Mbox,
    /// One file with manifest, digests and proofs, which `coffer verify` checks alone
    Zip,
}

#[derive(ClapArgs)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Only messages that match; all without it
    #[arg(
        long,
        value_name = "QUERY",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub(crate) query: String,
    /// In which form
    #[arg(long, value_enum)]
    pub(crate) format: Format,
    /// Where to; it must not exist, or be an empty folder
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
}

#[derive(ClapArgs)]
pub(crate) struct VerifyArgs {
    /// The archive's directory
    #[arg(long, value_name = "DIR", required_unless_present = "export")]
    pub(crate) data: Option<PathBuf>,
    /// An export to check alone, without the archive
    #[arg(value_name = "EXPORT.zip", conflicts_with = "data")]
    pub(crate) export: Option<PathBuf>,
    /// The archive's key from outside (see `coffer key`); without it nobody vouches for the signer
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: Option<String>,
    /// A checkpoint that was kept outside (see `coffer checkpoint`)
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Mend what does not hold first, from another copy, and that copy likewise: the one in step of a running serve, or that of --copy
    #[arg(long, requires = "data")]
    pub(crate) mend: bool,
    /// The directory of another copy of the archive, for --mend
    #[arg(long, value_name = "DIR2", requires = "mend")]
    pub(crate) copy: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
pub(crate) struct RecompressArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Seal the volume that is being written first, so that it is packed anew, too
    #[arg(long)]
    pub(crate) seal: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
pub(crate) struct PersonArgs {
    #[command(subcommand)]
    pub(crate) command: PersonCommand,
}

#[derive(Subcommand)]
pub(crate) enum PersonCommand {
    /// Print a new password for an operator, who has to change it; what he may see stays closed until it is approved
    Reset(AccountName),
}

#[derive(ClapArgs)]
pub(crate) struct AccountArgs {
    #[command(subcommand)]
    pub(crate) command: AccountCommand,
}

#[derive(Subcommand)]
pub(crate) enum AccountCommand {
    /// Make an account of an SMTP sender or change its password, which is read from standard input
    Add(AccountName),
    /// Remove an account
    Remove(AccountName),
    /// List the accounts
    List(DataArgs),
}

#[derive(ClapArgs)]
pub(crate) struct AccountName {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Name of the account
    pub(crate) name: String,
}

#[derive(ClapArgs)]
pub(crate) struct UpdateArgs {
    #[command(subcommand)]
    pub(crate) command: UpdateCommand,
}

#[derive(Subcommand)]
pub(crate) enum UpdateCommand {
    /// Look for a newer version of this box now; ends with 1 when that is not possible
    Check,
    /// Install the newer version that is on offer now; the box starts again with it, on trial
    Install,
    /// Say which version runs, which one comes next, and what became of those before
    Status {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Follow a repository of The Update Framework (TUF), whoever runs it
    Tuf(TufArgs),
}

#[derive(ClapArgs)]
pub(crate) struct TufArgs {
    /// The folder of trusted metadata
    #[arg(long, value_name = "DIR")]
    pub(crate) metadata_dir: PathBuf,
    /// Where the repository's metadata lie, as https://… or http://…
    #[arg(long, value_name = "URL")]
    pub(crate) metadata_url: Option<String>,
    /// A target to download; can be given again
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) target_name: Vec<String>,
    /// Where the repository's targets lie, as https://… or http://…
    #[arg(long, value_name = "URL")]
    pub(crate) target_base_url: Option<String>,
    /// The folder that targets are downloaded to
    #[arg(long, value_name = "DIR")]
    pub(crate) target_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: TufCommand,
}

#[derive(Subcommand)]
pub(crate) enum TufCommand {
    /// Trust a root, to begin with; fetches nothing
    Init {
        /// The root metadata, from a source that is trusted
        #[arg(value_name = "ROOT_JSON")]
        root: PathBuf,
    },
    /// Bring the metadata up to date
    Refresh,
    /// Bring the metadata up to date, and download targets that are not there yet
    Download,
}
