#include "journal/export.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "journal/sqlite.h"

namespace throng::journal {

namespace {

// Rows in canonical order, independent of the order of execution.
Statement SelectAll(const Journal& journal, const std::string& table) {
  const std::vector<std::string>& tables = ExportTables();
  if (std::find(tables.begin(), tables.end(), table) == tables.end()) {
    throw MakeError(ErrorCode::kInvalid, "journal {}: there is no table {:?}, allowed: {}", journal.Path(),
                    table, fmt::join(tables, ", "));
  }
  return Statement(journal.GetDatabase(), fmt::format("SELECT * FROM {} ORDER BY 1, 2{}", table,
                                                      table == "manifest" || table == "steps" ? "" : ", 3")
                                              .c_str());
}

std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string TextOf(const Statement& row, int column) {
  return row.IsBlob(column) ? row.GetDigest(column).Hex() : row.Text(column);
}

}  // namespace

const std::vector<std::string>& ExportTables() {
  static const std::vector<std::string> tables = {"manifest", "agents",        "sessions", "completions",
                                                  "commits",  "bodies",        "cells",    "events",
                                                  "presence", "interventions", "steps"};
  return tables;
}

void ExportJsonLines(const Journal& journal, const std::string& table, bool with_table, const Sink& sink) {
  Statement row = SelectAll(journal, table);
  while (row.Step()) {
    nlohmann::ordered_json json;
    if (with_table) json["table"] = table;
    for (int column = 0; column < row.NumColumns(); ++column) {
      nlohmann::ordered_json& field = json[row.ColumnName(column)];
      if (row.IsInt(column)) {
        field = row.Int(column);
      } else if (row.IsDouble(column)) {
        field = row.Double(column);
      } else {
        field = TextOf(row, column);
      }
    }
    // An answer may end in the middle of a character.
    sink(json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n');
  }
}

void ExportCsv(const Journal& journal, const std::string& table, const Sink& sink) {
  Statement row = SelectAll(journal, table);
  std::string line;
  for (int column = 0; column < row.NumColumns(); ++column) {
    line += (column > 0 ? "," : "") + row.ColumnName(column);
  }
  sink(line + "\r\n");
  while (row.Step()) {
    line.clear();
    for (int column = 0; column < row.NumColumns(); ++column) {
      if (column > 0) line += ',';
      line += CsvField(TextOf(row, column));
    }
    sink(line + "\r\n");
  }
}

}  // namespace throng::journal
