// A journal's tables as text that other programs read.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "journal/journal.h"

namespace throng::journal {

// The tables in the order in which they are exported.
const std::vector<std::string>& ExportTables();

using Sink = std::function<void(std::string_view text)>;

// One JSON object per line and row; with_table: its first field, "table", says which. Digests are
// hexadecimal.
void ExportJsonLines(const Journal& journal, const std::string& table, bool with_table, const Sink& sink);
// RFC 4180, with a header line. Throw kInvalid for a table that there is not.
void ExportCsv(const Journal& journal, const std::string& table, const Sink& sink);

}  // namespace throng::journal
