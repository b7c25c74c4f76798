//! `bobbinet store`: looking at a node's data while the node is not running.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use bobbinet_store::{OpenError, STORE_FOLDER, TornTail};

use crate::{
    cli::Store,
    data_folder,
    failure::{Code, Failure},
    node::{of_store, store_options},
    output::{Documents, Output},
    remark::{Remark, remark},
};

/// `bobbinet store check` and `bobbinet store export`
pub(crate) fn run(output: Output, command: Store) -> Result<(), Failure> {
    match command {
        Store::Check(place) => check(output, &data_folder::of(place)),
        Store::Export(what) => export(&data_folder::of(what.place), what.salvage),
    }
}

fn check(output: Output, data: &Path) -> Result<(), Failure> {
    let folder = data.join(STORE_FOLDER);
    let report = bobbinet_store::check(store_options(data)).map_err(|error| unopened(&error, &folder))?;
    if output.is_json() {
        output.json(&serde_json::json!({
            "folder": folder, "ok": report.faults.is_empty(), "streams": report.streams, "records": report.records,
            "cells": report.cells, "blobs": report.blobs, "last": report.last, "faults": report.faults,
            "torn": report.torn.iter().map(|tear| serde_json::json!({
                "bytes": tear.bytes, "after": tear.after, "newest": tear.newest,
            })).collect::<Vec<_>>(),
        }))?;
    } else {
        output.field("Folder", folder.display())?;
        output.field("Streams", report.streams)?;
        output.field("Records", report.records)?;
        output.field("Cells", report.cells)?;
        output.field("Blobs", report.blobs)?;
        output.field("Last", report.last)?;
        report.torn.iter().try_for_each(|TornTail { bytes, after, .. }| {
            output.field(
                "Torn",
                format!("{bytes} bytes after group {after}, which could not be read when the store was opened"),
            )
        })?;
        report.faults.iter().try_for_each(|fault| output.field("Fault", fault))?;
        output.field("Faults", report.faults.len())?;
    }
    match report.faults.len() {
        0 => Ok(()),
        // The document has said it.
        count if output.is_json() => Err(Failure::told(Code::StoreDamaged, format!("the store has {count} faults"))),
        count => Err(Failure::new(Code::StoreDamaged, format!("the store has {count} faults"))
            .hint("make a copy of the folder; `bobbinet store export --salvage` saves what can be read")),
    }
}

fn export(data: &Path, is_salvage: bool) -> Result<(), Failure> {
    let folder = data.join(STORE_FOLDER);
    let mut out = Documents::new(BufWriter::new(io::stdout().lock()));
    let options = store_options(data);
    let written = match is_salvage {
        true => bobbinet_store::salvage(options, &mut out),
        false => bobbinet_store::export(options, &mut out),
    };
    let written = written.and_then(|counts| {
        out.flush()?;
        Ok(counts)
    });
    match written {
        Ok(counts) => {
            let (streams, records, cells) = (counts.streams, counts.records, counts.cells);
            remark(Remark::Note, format_args!("{streams} streams, {records} records, {cells} cells"));
            match counts.damaged {
                0 => Ok(()),
                count => Err(Failure::new(Code::StoreDamaged, format!("{count} things could not be read"))
                    .hint("each is named in a line `damaged` of the export")),
            }
        }
        Err(bobbinet_store::ExportError::Open(error)) => Err(unopened(&error, &folder)),
        Err(error @ bobbinet_store::ExportError::Read { .. }) => Err(Failure::of(Code::StoreDamaged, &error)
            .hint("with --salvage it goes on with what can be read, and says what cannot")),
        Err(bobbinet_store::ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failure::told(Code::Internal, "nobody reads standard output"))
        }
        Err(error @ bobbinet_store::ExportError::Write(_)) => Err(Failure::of(Code::Internal, &error)),
    }
}

fn unopened(error: &OpenError, folder: &Path) -> Failure {
    let is_none = matches!(error, OpenError::Io { .. }) && !folder.exists();
    if !is_none {
        return of_store(error);
    }
    Failure::new(Code::Internal, format!("there is no store at {}", folder.display()))
        .hint("name the node's data folder with --data-dir")
}
