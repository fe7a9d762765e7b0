//! Writes lines, and adds them up for the last one.

use std::io::{self, Write};

use ring::digest::{Context, SHA256};

use super::line::{self, RowCounts};
use super::reader::hex;
use super::table::Table;
use super::{ArchiveError, Contents, Header, LINE_BYTES_MAX};

/// An archive that is being written.
pub(super) struct Writer<W> {
    out: W,
    digest: Context,
    rows: RowCounts,
    header: Header,
}

impl<W: Write> Writer<W> {
    /// Begins with the header.
    pub(super) fn begin(out: W, header: Header) -> Result<Self, ArchiveError> {
        let line = serde_json::to_string(&header).map_err(|error| ArchiveError::Write(error.into()))?;
        let mut writer = Self { out, digest: Context::new(&SHA256), rows: RowCounts::default(), header };
        writer.line(&line)?;
        Ok(writer)
    }

    /// Adds a row, given as its line.
    pub(super) fn row(&mut self, table: Table, line: &str) -> Result<(), ArchiveError> {
        // What could not be read again is not written.
        if line.len() >= LINE_BYTES_MAX {
            let reason = format!("a row of {} takes more than {LINE_BYTES_MAX} bytes", table.name());
            return Err(ArchiveError::Write(io::Error::other(reason)));
        }
        self.rows.add(table);
        self.line(line)
    }

    /// Ends with the last line.
    pub(super) fn finish(mut self) -> Result<Contents, ArchiveError> {
        let sha256 = hex(&self.digest.clone().finish());
        let last = line::end(&self.rows, &sha256).map_err(|error| ArchiveError::Write(error.into()))?;
        self.line(&last)?;
        self.out.flush().map_err(ArchiveError::Write)?;
        Ok(Contents { tenant: self.header.tenant, rows: self.rows, sha256 })
    }

    fn line(&mut self, line: &str) -> Result<(), ArchiveError> {
        for part in [line, "\n"] {
            self.digest.update(part.as_bytes());
            self.out.write_all(part.as_bytes()).map_err(ArchiveError::Write)?;
        }
        Ok(())
    }
}
