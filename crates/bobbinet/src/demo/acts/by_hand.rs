//! The last act: the log of the task in doubt, and the lines to do it all by hand.

use std::env;

use crate::{
    demo::{
        stage::Stage,
        tell::{Teller, broke, broken},
    },
    demo_servers::Name,
    failure::Failure,
};

/// Shows the log of a task, and the commands that do all of the demo by hand.
pub(super) async fn log(stage: &Stage, teller: &mut Teller, task: &str) -> Result<(), Failure> {
    teller.step("The log of that task says what was meant, what was lost and who decided (bobbinet task show)")?;
    let url = stage.url(Name::Notes);
    let mut command = stage.program();
    command.args(["task", "show", task, "-a", url, "--data-dir"]).arg(stage.data(Name::Notes));
    let shown = command.output().await.map_err(broken("running bobbinet task show"))?;
    let (log, error) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    if !shown.status.success() {
        return Err(broke(format!("bobbinet task show: {}", error.trim())));
    }
    teller.show("log", &log)?;
    teller.check("it is the log of that task", log.contains(task))?;
    teller.step("By hand, line by line")?;
    teller.show("lines", &lines(&program()))
}

/// This program as it was called, for lines that are typed where this one was.
fn program() -> String {
    env::args().next().filter(|name| !name.is_empty()).unwrap_or_else(|| "bobbinet".to_owned())
}

fn lines(bobbinet: &str) -> String {
    format!(
        r#"start() {{ {bobbinet} agent --name report --trust-hints --listen 127.0.0.1:0 --data-dir ./by-hand -- {bobbinet} demo-server report ./by-hand-files & }}
start
{bobbinet} card get report
{bobbinet} send -a report --async 'make_report topic=looms sections=60'
kill -9 $!        # any time within the next 15 seconds
start
{bobbinet} task list -a report
{bobbinet} task subscribe -a report ID
{bobbinet} task show -a report ID
kill $!; wait; rm -r ./by-hand ./by-hand-files"#
    )
}
