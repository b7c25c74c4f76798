//! `bobbinet store`: looking at a node's data while the node is not running.

use std::io::{self, BufWriter, Write};

use crate::{
    cli::{DataDir, Store},
    failure::{Code, Failure},
    node::{STORE_FOLDER, of_store},
    output::Output,
};

/// `bobbinet store check` and `bobbinet store export`
pub(crate) fn run(output: Output, command: Store) -> Result<(), Failure> {
    match command {
        Store::Check(place) => check(output, &place),
        Store::Export(place) => export(&place),
    }
}

fn check(output: Output, place: &DataDir) -> Result<(), Failure> {
    let folder = place.data_dir.join(STORE_FOLDER);
    let report = bobbinet_store::check(&folder).map_err(|error| hinted(of_store(&error), &folder))?;
    if output.is_json() {
        output.json(&serde_json::json!({
            "folder": folder, "ok": report.faults.is_empty(), "streams": report.streams, "records": report.records,
            "cells": report.cells, "blobs": report.blobs, "last": report.last, "faults": report.faults,
        }))?;
    } else {
        output.field("Folder", folder.display())?;
        output.field("Streams", report.streams)?;
        output.field("Records", report.records)?;
        output.field("Cells", report.cells)?;
        output.field("Blobs", report.blobs)?;
        output.field("Last", report.last)?;
        report.faults.iter().try_for_each(|fault| output.field("Fault", fault))?;
        output.field("Faults", report.faults.len())?;
    }
    match report.faults.len() {
        0 => Ok(()),
        // The document has said it.
        count if output.is_json() => Err(Failure::told(Code::StoreDamaged, format!("the store has {count} faults"))),
        count => Err(Failure::new(Code::StoreDamaged, format!("the store has {count} faults"))
            .hint("make a copy of the folder; `bobbinet store export` saves what can be read")),
    }
}

fn export(place: &DataDir) -> Result<(), Failure> {
    let folder = place.data_dir.join(STORE_FOLDER);
    let mut out = BufWriter::new(io::stdout().lock());
    let written = bobbinet_store::export(&folder, &mut out).and_then(|counts| {
        out.flush()?;
        Ok(counts)
    });
    match written {
        Ok(counts) => {
            anstream::eprintln!("{} streams, {} records, {} cells", counts.streams, counts.records, counts.cells);
            Ok(())
        }
        Err(bobbinet_store::ExportError::Open(error)) => Err(hinted(of_store(&error), &folder)),
        Err(error @ bobbinet_store::ExportError::Read { .. }) => Err(Failure::of(Code::StoreDamaged, &error)),
        Err(bobbinet_store::ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failure::told(Code::Internal, "nobody reads standard output"))
        }
        Err(error @ bobbinet_store::ExportError::Write(_)) => Err(Failure::of(Code::Internal, &error)),
    }
}

fn hinted(failure: Failure, folder: &std::path::Path) -> Failure {
    match folder.exists() {
        true => failure,
        false => Failure::new(Code::Internal, format!("there is no store at {}", folder.display()))
            .hint("name the node's data folder with --data-dir"),
    }
}
