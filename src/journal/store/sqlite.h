// Journals in SQLite files, in WAL mode.
#pragma once

#include <memory>
#include <string>

#include "journal/store/connection.h"

namespace throng::journal {

std::unique_ptr<Connection> OpenSqlite(const std::string& path, Access access);

// The name under which SQLite opens a file only to read. On a read-only disk, a file can be read only if no
// program has it open for writing.
std::string ReadOnlyUri(const std::string& path);

}  // namespace throng::journal
