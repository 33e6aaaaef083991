// Exports a journal as text, or as a file of plain tables, that other programs read.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "journal/journal.h"

namespace throng::journal {

// The tables, in export order: the views of docs/journal-format.md, and what happened in tables of its own.
const std::vector<std::string>& ExportTables();

using Sink = std::function<void(std::string_view text)>;

// Writes one JSON object per row, each on its own line; with_table: its first field, "table", names the
// table. Digests are hexadecimal. Throws kInvalid for an unknown table.
void ExportJsonLines(const Journal& journal, const std::string& table, bool with_table, const Sink& sink);
// RFC 4180, with a header line. Throws kInvalid for an unknown table.
void ExportCsv(const Journal& journal, const std::string& table, const Sink& sink);
// Makes an SQLite file in which all views are plain tables, for programs that know other functions than
// SQLite. Throws kInvalid if the file exists, kIo if it cannot be written.
void ExportSqlite(const Journal& journal, const std::string& path);

struct CallFilter {
  std::optional<int64_t> agent;
  int64_t from = 0;                                  // steps
  int64_t to = std::numeric_limits<int64_t>::max();  // excluded
  std::string function;                              // empty: all
};

// Visits the rows of the view `calls`, by step, agent and call, each as an object with its columns, and with
// the rows of the view `memories` that belong to it.
void ForEachCall(const Journal& journal, const CallFilter& filter,
                 const std::function<void(const nlohmann::ordered_json& call)>& visit);

}  // namespace throng::journal
