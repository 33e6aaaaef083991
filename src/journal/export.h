// Exports a journal's tables as text that other programs read.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "journal/journal.h"

namespace throng::journal {

// The tables, in export order.
const std::vector<std::string>& ExportTables();

using Sink = std::function<void(std::string_view text)>;

// Writes one JSON object per row, each on its own line; with_table: its first field, "table", names the
// table. Digests are hexadecimal. Throws kInvalid for an unknown table.
void ExportJsonLines(const Journal& journal, const std::string& table, bool with_table, const Sink& sink);
// RFC 4180, with a header line. Throws kInvalid for an unknown table.
void ExportCsv(const Journal& journal, const std::string& table, const Sink& sink);

}  // namespace throng::journal
