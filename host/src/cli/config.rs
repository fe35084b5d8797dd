//! `skep.toml`: what flags and `SKEP_*` variables do not say.
//!
//! What the file says becomes the default of an option, so that all else about the
//! option, and which of them goes before which, is said once, where it is declared.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::builder::ArgPredicate;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use rustix::process::geteuid;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Cli, failure::Failure, output};

/// The file's name, in the working directory and below the user's configuration.
const NAME: &str = "skep.toml";

/// The largest file: it holds some dozens of lines.
const MAX_BYTES: u64 = 64 << 10;

/// The verbs that have a table of their own.
const TABLES: [&str; 2] = ["serve", "worker"];

/// Options whose values are nobody else's business.
const SECRETS: [&str; 2] = ["token", "callback-secret"];

/// A file that was read.
struct File {
    path: PathBuf,
    text: String,
}

/// An option that a file sets.
struct Setting {
    /// The table, or none for an option of all verbs.
    table: Option<&'static str>,
    /// The option's id and name.
    id: String,
    name: String,
    values: Vec<String>,
    /// Whether it takes no value on the command line.
    is_flag: bool,
    line: usize,
}

/// What the command line says together with the file, or the answer of clap to it.
pub(super) fn parse() -> Result<Result<Cli, clap::Error>, Failure> {
    let command = Cli::command();
    let matches = match command.clone().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return Ok(Err(error)),
    };
    // A child process is told all that it needs.
    let verb = matches.subcommand_name().unwrap_or_default().to_owned();
    let file = match verb.as_str() {
        "compile-component" => None,
        _ => File::find(&matches)?,
    };
    let matches = match file {
        Some(file) => file.apply(command, &verb)?.try_get_matches(),
        None => Ok(matches),
    };
    Ok(matches.and_then(|matches| Cli::from_arg_matches(&matches)))
}

/// The file that is read unless one is named, if there is one.
pub(super) fn usual() -> Option<PathBuf> {
    let from = |name: &str, below: &str| {
        let value = std::env::var_os(name).filter(|value| Path::new(value).is_absolute())?;
        Some(Path::new(&value).join(below).join("skep").join(NAME))
    };
    let users = from("XDG_CONFIG_HOME", "").or_else(|| from("HOME", ".config"));
    let here = PathBuf::from(NAME);
    [Some(here), users]
        .into_iter()
        .flatten()
        .find(|path| path.exists())
}

impl File {
    /// The file that holds: the one that is named, the one of the working directory, or
    /// the user's.
    fn find(matches: &ArgMatches) -> Result<Option<Self>, Failure> {
        let named = matches.get_one::<PathBuf>("config").cloned();
        let is_named = named.is_some();
        let Some(path) = named.or_else(usual) else {
            return Ok(None);
        };
        let read = Self::read(path, is_named)?;
        Ok(Some(read))
    }

    fn read(path: PathBuf, is_named: bool) -> Result<Self, Failure> {
        let shown = path.display();
        let unread = |error| Failure::usage(format!("{shown}: {error}"));
        let metadata = fs::metadata(&path).map_err(unread)?;
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            return Err(Failure::usage(format!(
                "{shown} is not a file of at most {MAX_BYTES} bytes"
            )));
        }
        // It says which server a token goes to: in a directory of all, such as /tmp, it
        // may be a stranger's.
        let owner = metadata.uid();
        let is_strange = owner != geteuid().as_raw() && owner != 0;
        if !is_named && (is_strange || metadata.mode() & 0o002 != 0) {
            return Err(Failure::usage(format!(
                "{shown} belongs to another user, or all may write to it, so that it is not read; if you trust it, name it with --config"
            )));
        }
        let text = fs::read_to_string(&path).map_err(unread)?;
        let holds_secret = |line: &str| {
            let line = line.trim_start();
            SECRETS.iter().any(|name| line.starts_with(name))
        };
        if metadata.mode() & 0o077 != 0 && text.lines().any(holds_secret) {
            output::note(&format!(
                "warning: {shown} has a secret in it, and other users may read it; mend that with: chmod 600 {shown}"
            ));
        }
        Ok(Self { path, text })
    }

    /// A command whose options have the file's values as defaults.
    fn apply(&self, mut command: Command, verb: &str) -> Result<Command, Failure> {
        let settings = self.settings(&command)?;
        for setting in &settings {
            self.check(&command, setting)?;
        }
        // What `serve` is told is what `doctor` is to look at.
        let table = if verb == "doctor" { "serve" } else { verb };
        for setting in settings {
            let target = match setting.table {
                None => None,
                Some(name) if name == table => Some(verb),
                Some(_) => continue,
            };
            let has = |command: &Command| {
                let mut arguments = command.get_arguments();
                arguments.any(|arg| arg.get_id().as_str() == setting.id)
            };
            command = match target {
                None => set(command, setting),
                Some(verb) if command.find_subcommand(verb).is_some_and(has) => {
                    command.mut_subcommand(verb, |command| set(command, setting))
                }
                Some(_) => command,
            };
        }
        Ok(command)
    }

    /// Reads the file.
    fn settings(&self, command: &Command) -> Result<Vec<Setting>, Failure> {
        let parsed = DeTable::parse(&self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.wrong(self.line(at), error.message())
        })?;
        let mut settings = Vec::new();
        for (key, value) in parsed.get_ref() {
            let name = key.get_ref();
            let table = TABLES.into_iter().find(|table| table == name);
            match (table, value.get_ref()) {
                (Some(table), DeValue::Table(inner)) => {
                    let verb = command.find_subcommand(table).unwrap_or(command);
                    for (key, value) in inner {
                        settings.push(self.setting(Some(table), verb, key, value)?);
                    }
                }
                _ => settings.push(self.setting(None, command, key, value)?),
            }
        }
        Ok(settings)
    }

    fn setting(
        &self,
        table: Option<&'static str>,
        command: &Command,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Setting, Failure> {
        let name = key.get_ref().to_string();
        let line = self.line(key.span().start);
        let found = options(command).find(|(known, _)| *known == name);
        let Some((_, arg)) = found else {
            let known = options(command).map(|(name, _)| name);
            let tables = TABLES.into_iter().filter(|_| table.is_none());
            return Err(self.wrong(
                line,
                &unknown(&name, &known.chain(tables).collect::<Vec<_>>()),
            ));
        };
        let values = values(value.get_ref(), arg)
            .ok_or_else(|| self.wrong(line, &format!("{name} is to be {}", kind(arg))))?;
        Ok(Setting {
            table,
            id: arg.get_id().to_string(),
            name,
            values,
            is_flag: matches!(arg.get_action(), ArgAction::SetTrue),
            line,
        })
    }

    /// Whether an option takes what the file says, in the words of the option.
    fn check(&self, command: &Command, setting: &Setting) -> Result<(), Failure> {
        let table = setting.table.unwrap_or("serve");
        for value in setting.values.iter().filter(|_| !setting.is_flag) {
            let given = format!("--{}={value}", setting.name);
            let tried = command
                .clone()
                .try_get_matches_from(["skep", table, &given]);
            let Err(error) = tried else {
                continue;
            };
            let is_value = matches!(
                error.kind(),
                ErrorKind::InvalidValue | ErrorKind::ValueValidation
            );
            let about = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(arg)) => arg.as_str(),
                _ => "",
            };
            let is_about = about.split([' ', '=']).next() == Some(&format!("--{}", setting.name));
            if is_value && is_about {
                let text = error.to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                let text = text.split("\n\nFor more").next().unwrap_or_default();
                return Err(self.wrong(setting.line, text));
            }
        }
        Ok(())
    }

    fn wrong(&self, line: usize, what: &str) -> Failure {
        Failure::usage(format!("{}, line {line}: {what}", self.path.display()))
    }

    /// The line of a place in the text, from 1.
    fn line(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        1 + before.bytes().filter(|byte| *byte == b'\n').count()
    }
}

/// The options of a command that a file may set: those that people know, but for those
/// that answer at once and the one that names the file.
fn options(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    command.get_arguments().filter_map(|arg| {
        let name = arg.get_long()?;
        let is_set = matches!(
            arg.get_action(),
            ArgAction::Set | ArgAction::Append | ArgAction::SetTrue
        );
        (is_set && !arg.is_hide_set() && name != "config").then_some((name, arg))
    })
}

/// The values of an option, if they are of its kind.
fn values(value: &DeValue<'_>, arg: &Arg) -> Option<Vec<String>> {
    let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
    let many = arg.get_value_delimiter().is_some();
    match value {
        DeValue::Boolean(on) => is_flag.then(|| vec![on.to_string()]),
        DeValue::String(text) => (!is_flag).then(|| vec![text.to_string()]),
        DeValue::Integer(number) if !is_flag && number.radix() == 10 => {
            Some(vec![number.as_str().to_owned()])
        }
        DeValue::Array(all) if many => {
            let text = |one: &Spanned<DeValue<'_>>| match one.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            };
            all.iter().map(text).collect()
        }
        _ => None,
    }
}

/// What an option's value is in a file.
fn kind(arg: &Arg) -> &'static str {
    match (arg.get_action(), arg.get_value_delimiter()) {
        (ArgAction::SetTrue, _) => "true or false",
        (_, Some(_)) => "a text in quotes, or a list of them",
        _ => "a text in quotes, or a whole number",
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let wanted = name.to_ascii_lowercase().replace('_', "-");
    let distance = |known: &&&str| strsim::osa_distance(&wanted, known);
    // A third of the letters may be wrong; one always may.
    let bound = (wanted.len() / 3).max(1);
    let near = known.iter().min_by_key(distance);
    let near = near.filter(|known| distance(known) <= bound);
    let meant = near.map_or_else(|| ".".to_owned(), |near| format!("; did you mean {near}?"));
    let name: String = name.chars().take(64).collect();
    format!(
        "there is no option {name:?}{meant} Possible are: {}",
        known.join(", ")
    )
}

/// Gives an option its default.
fn set(command: Command, setting: Setting) -> Command {
    let arg = command
        .get_arguments()
        .find(|arg| arg.get_id().as_str() == setting.id);
    // A flag of the command line goes before one of the file that contradicts it.
    let against: Vec<_> = arg
        .filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue))
        .map(|arg| command.get_arg_conflicts_with(arg))
        .unwrap_or_default()
        .into_iter()
        .map(|arg| arg.get_id().clone())
        .collect();
    command.mut_arg(setting.id, |arg| {
        let arg = against.into_iter().fold(arg, |arg, other| {
            arg.default_value_if(other, ArgPredicate::IsPresent, Some("false"))
        });
        arg.default_values(setting.values)
    })
}
