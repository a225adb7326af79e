//! Help, completions and manual pages.

use crate::support::{Run, Site};

/// The names of a command's commands, from its help.
fn commands(help: &Run) -> Vec<String> {
    let list = help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = list.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .filter(|name| name != "help")
        .collect()
}

#[test]
fn every_command_has_help_with_an_example_and_a_manual_page() {
    let site = Site::new();
    let help = site.run(&["--help"]).ok();
    assert!(help.stdout.contains("Exit codes:"));
    let mut left: Vec<Vec<String>> = commands(&help).into_iter().map(|name| vec![name]).collect();
    assert!(left.len() >= 16, "{left:?}");
    let mut leaves = 0;
    while let Some(command) = left.pop() {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        let help = site.run(&[&args[..], &["--help"]].concat()).ok();
        let below = commands(&help);
        left.extend(below.iter().map(|name| [&command[..], std::slice::from_ref(name)].concat()));
        leaves += 1;
        assert!(help.stdout.contains("Examples:"), "no example: {command:?}");
        assert!(help.stdout.contains(&format!("  honker {}", command.join(" "))), "no example: {command:?}");
        let page = site.run(&[&["man"], &args[..]].concat()).ok().stdout;
        assert!(page.contains(".SH NAME"), "{command:?}: {page}");
    }
    assert!(leaves >= 16);
    site.run(&["man", "nothing"]).fails(3);
    site.run(&["nothing"]).fails(2);
}

#[test]
fn completions_are_scripts_that_the_shell_accepts() {
    let site = Site::new();
    let script = site.run(&["completions", "bash"]).ok().stdout;
    std::fs::write(site.path("honker.bash"), script).expect("written");
    let check = format!("source '{}' && complete -p honker", site.path("honker.bash").display());
    let output = std::process::Command::new("bash").args(["-c", &check]).output().expect("bash runs");
    assert!(output.status.success(), "{output:?}");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(site.run(&["completions", shell]).ok().stdout.contains("enqueue"));
    }
}
