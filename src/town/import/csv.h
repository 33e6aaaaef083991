// Reads tables of comma-separated values (RFC 4180): quotes, line breaks in quotes, CRLF. Semicolons and tabs
// as separators are told from the first line.
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
  std::vector<CsvRow> rows;  // each as wide as the header; empty lines are left out
};

// A quote that does not end, text after a closing quote, a row of another width and a header without names
// are problems of their lines.
CsvTable ParseCsv(const std::string& path, const std::string& text, Problems& problems);

}  // namespace throng::town
