// Reads tables of comma-separated values (RFC 4180): quotes, line breaks in quotes, CRLF. Semicolons and tabs
// as separators are told from the first line, which may also name one, as Excel reads it ("sep=;").
#pragma once

#include <string>
#include <vector>

#include "town/content/problems.h"

namespace throng::town {

struct CsvRow {
  int line;  // of the file, where it begins
  std::vector<std::string> cells;
};

struct CsvTable {
  std::vector<std::string> header;
  std::vector<CsvRow> rows;  // each as wide as the header; those without a value are left out
};

// A quote that does not end, text after a closing quote, a row of another width, one more than `max_rows` and
// a header without names are problems of their lines; the other rows are in the table.
CsvTable ParseCsv(const std::string& path, const std::string& text, size_t max_rows, Problems& problems);

}  // namespace throng::town
