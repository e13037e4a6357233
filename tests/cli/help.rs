//! Help: every example parses as it stands, and every argument is explained.

use clap::{Arg, Command, CommandFactory, Parser};
use trailhound::cli::Cli;

fn all(command: &Command) -> Vec<Command> {
    let mut found = vec![command.clone()];
    found.extend(command.get_subcommands().flat_map(all));
    found
}

fn cli() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// The words of a line as a shell cuts them, up to a pipe or redirection.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for character in line.chars() {
        match (quote, character) {
            (None, '|' | '>') => break,
            (None, '\'' | '"') => (quote, begun) = (Some(character), true),
            (Some(open), _) if open == character => quote = None,
            (None, ' ') => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            _ => {
                word.push(character);
                begun = true;
            }
        }
    }
    assert_eq!(quote, None, "an open quote in {line}");
    if begun {
        words.push(word);
    }
    words
}

#[test]
fn the_arguments_are_consistent() {
    cli().debug_assert();
}

#[test]
fn every_example_parses() {
    let mut examples = 0;
    for command in all(&cli()) {
        let Some(help) = command.get_after_long_help() else {
            continue;
        };
        for line in help
            .to_string()
            .lines()
            .filter_map(|line| line.trim().strip_prefix("$ "))
        {
            assert!(line.starts_with("trailhound "), "{line}");
            if let Err(error) = Cli::try_parse_from(words(line)) {
                panic!("{line}\n{error}");
            }
            examples += 1;
        }
    }
    assert!(examples >= 12, "{examples} examples found");
}

#[test]
fn every_command_and_argument_is_explained() {
    for command in all(&cli()).iter().filter(|command| command.get_name() != "help") {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        let is_ours = |argument: &&Arg| !["help", "version"].contains(&argument.get_id().as_str());
        for argument in command.get_arguments().filter(is_ours) {
            assert!(
                argument.get_help().is_some(),
                "{} {}",
                command.get_name(),
                argument.get_id()
            );
        }
    }
}

#[test]
fn short_help_fits_a_window() {
    let desk = super::Desk::new();
    let run = desk.run(&["sql", "--help"]);
    assert_eq!(run.code, 0);
    for word in ["Examples:", "--from <TABLE=WHERE>", "--since <TIME>", "ndjson"] {
        assert!(run.out.contains(word), "no {word} in:\n{}", run.out);
    }
    for format in trailhound_ingest::formats::FORMATS {
        assert!(
            run.out.contains(format.name()),
            "--from does not say {}",
            format.name()
        );
    }
    assert!(desk.run(&["-h"]).out.lines().count() < 40);
    desk.run(&[]).refuses(2, &["Usage: trailhound"]);
    assert!(desk.run(&["--version"]).out.starts_with("trailhound "));
}

#[test]
fn the_example_without_input_runs() {
    let run = super::Desk::new().run(&["sql", "SELECT is_private_ip('10.0.0.7') AS private"]);
    assert_eq!(run.out, "{\"private\":true}\n");
}
