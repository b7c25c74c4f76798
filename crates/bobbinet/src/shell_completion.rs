//! The scripts by which shells complete what is typed: flags and commands by what `clap` writes, and the words of `bobbinet call` by
//! asking the program, which asks the nodes that run.
//!
//! Not by `clap_complete`'s own way to ask a program: bash cuts words at `=` and `:`, which stand in nearly every word here.

use std::io::{self, Write};

use clap::Command;
use clap_complete::{Shell, generate};

/// Completes the words of `bobbinet call`, and leaves the rest to what `clap` has written.
const BASH: &str = r#"
_bobbinet_call() {
    local line="${COMP_LINE:0:COMP_POINT}" words
    read -ra words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    if [[ "${words[1]}" == call && ${#words[@]} -gt 2 && "${words[-1]}" != -* ]]; then
        local current="${words[-1]}"
        local before="${current%"$2"}" IFS=$'\n'
        COMPREPLY=($(bobbinet complete-call -- "${words[@]:2}" 2>/dev/null))
        if [[ ${#COMPREPLY[@]} -gt 0 ]]; then
            # What bash takes for words of their own stays as it is.
            [[ "${COMPREPLY[0]}" == *[=.] ]] && compopt -o nospace 2>/dev/null
            COMPREPLY=("${COMPREPLY[@]#"$before"}")
            return
        fi
    fi
    _bobbinet "$@"
}
complete -F _bobbinet_call -o bashdefault -o default bobbinet
"#;

const ZSH: &str = r#"
_bobbinet_call() {
    if (( CURRENT > 2 )) && [[ "${words[2]}" == call && "${words[CURRENT]}" != -* ]]; then
        local -a found
        found=("${(@f)$(bobbinet complete-call -- "${(@)words[3,CURRENT]}" 2>/dev/null)}")
        if [[ -n "${found[1]}" ]]; then
            if [[ "${found[1]}" == *[=.] ]]; then compadd -S '' -- $found; else compadd -- $found; fi
            return
        fi
    fi
    _bobbinet "$@"
}
compdef _bobbinet_call bobbinet
"#;

const FISH: &str = r#"
complete -c bobbinet -n '__fish_seen_subcommand_from call' -f -a '(bobbinet complete-call -- (commandline -opc)[3..-1] (commandline -ct) 2>/dev/null)'
"#;

/// Writes the script of this shell.
pub(crate) fn write(shell: Shell, command: &mut Command, out: &mut impl Write) -> io::Result<()> {
    generate(shell, command, "bobbinet", out);
    // Others complete commands and flags.
    let own =
        [(Shell::Bash, BASH), (Shell::Zsh, ZSH), (Shell::Fish, FISH)].into_iter().find(|(known, _)| *known == shell);
    own.map_or(Ok(()), |(_, script)| out.write_all(script.as_bytes()))
}
