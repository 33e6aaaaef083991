#include "journal/read/export.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "journal/store/database.h"
#include "journal/store/later_tables.h"
#include "journal/store/place.h"
#include "journal/store/sqlite.h"

namespace throng::journal {

namespace {

// Whatever holds digests as bytes is selected column by column.
const char* ColumnsOf(const std::string& table) {
  if (table == "commits") return "step, first, members, lower(hex(digest)) AS digest";
  if (table == "files") return "name, bytes, lower(hex(digest)) AS digest, content";
  return "*";
}

const char* OrderOf(const std::string& table) {
  if (table == "manifest" || table == "steps" || table == "files" || table == "price") return "1";
  if (table == "calls" || table == "effects") return "step, agent, call";
  if (table == "memories") return "step, agent, call, seq";
  if (table == "events") return "step, agent, seq";
  if (table == "guesses") return "session, step, agent, call, issued_s";
  return "1, 2 NULLS FIRST, 3 NULLS FIRST";
}

// Rows in canonical order, independent of the order of execution.
Statement SelectAll(const Journal& journal, const std::string& table) {
  const std::vector<std::string>& tables = ExportTables();
  if (std::find(tables.begin(), tables.end(), table) == tables.end()) {
    throw MakeError(ErrorCode::kInvalid, "journal {}: there is no table {:?}, allowed: {}", journal.Path(),
                    table, fmt::join(tables, ", "));
  }
  return Statement(
      journal.GetDatabase(),
      fmt::format("SELECT {} FROM {} ORDER BY {}", ColumnsOf(table), table, OrderOf(table)).c_str());
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

void AddColumns(const Statement& row, nlohmann::ordered_json& json) {
  for (int column = 0; column < row.NumColumns(); ++column) {
    nlohmann::ordered_json& field = json[row.ColumnName(column)];
    if (row.IsNull(column)) {
      field = nullptr;
    } else if (row.IsInt(column)) {
      field = row.Int(column);
    } else if (row.IsDouble(column)) {
      field = row.Double(column);
    } else {
      field = row.Text(column);
    }
  }
}

}  // namespace

const std::vector<std::string>& ExportTables() {
  static const std::vector<std::string> tables = {
      "manifest", "files",         "sessions", "agents", "calls",    "memories",
      "effects",  "commits",       "bodies",   "cells",  "data",     "events",
      "presence", "interventions", "steps",    "pauses", "progress", "guesses"};
  return tables;
}

void ExportJsonLines(const Journal& journal, const std::string& table, bool with_table, const Sink& sink) {
  Statement row = SelectAll(journal, table);
  while (row.Step()) {
    nlohmann::ordered_json json;
    if (with_table) json["table"] = table;
    AddColumns(row, json);
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
      line += CsvField(row.Text(column));
    }
    sink(line + "\r\n");
  }
}

void ExportSqlite(const Journal& journal, const std::string& path) {
  if (std::filesystem::exists(path)) {
    throw MakeError(ErrorCode::kInvalid, "{}: the file exists, allowed: a new one", path);
  }
  const std::string unfinished = path + ".part";
  std::filesystem::remove(unfinished);
  if (!std::ofstream(unfinished)) throw MakeError(ErrorCode::kIo, "{}: it cannot be written", path);
  std::string source = journal.Path();
  if (IsPostgres(source)) {
    source = path + ".copy";
    std::filesystem::remove(source);
    Journal::Copy(source, journal);
  }
  {
    Database database(unfinished, Access::kBeside);
    Statement attach(database, "ATTACH ? AS journal");
    attach.Bind(std::string_view(ReadOnlyUri(source))).Run();
    AddLaterTables(database.GetConnection(), "journal", true);
    database.Execute("PRAGMA synchronous=OFF; BEGIN");
    std::vector<std::string> tables = ExportTables();
    tables.insert(tables.end(),
                  {"conversations", "agent_usage", "function_usage", "agent_data", "model_data", "price"});
    for (const std::string& table : tables) {
      database.Execute(fmt::format("CREATE TABLE main.{0} AS SELECT {1} FROM {0} ORDER BY {2}", table,
                                   ColumnsOf(table), OrderOf(table)));
    }
    database.Execute("COMMIT");
  }
  if (source != journal.Path()) std::filesystem::remove(source);
  std::filesystem::rename(unfinished, path);
}

void ForEachCall(const Journal& journal, const CallFilter& filter,
                 const std::function<void(const nlohmann::ordered_json& call)>& visit) {
  Statement row(journal.GetDatabase(),
                fmt::format("SELECT * FROM calls WHERE step >= ? AND step < ?{}{} ORDER BY step, agent, call",
                            filter.agent.has_value() ? " AND agent = ?" : "",
                            filter.function.empty() ? "" : " AND function = ?")
                    .c_str());
  Statement memory(journal.GetDatabase(),
                   "SELECT seq, made, memory, text FROM memories WHERE step = ? AND agent = ? AND call = ? "
                   "ORDER BY seq");
  row.Bind(filter.from).Bind(filter.to);
  if (filter.agent.has_value()) row.Bind(*filter.agent);
  if (!filter.function.empty()) row.Bind(std::string_view(filter.function));
  while (row.Step()) {
    nlohmann::ordered_json call;
    AddColumns(row, call);
    memory.Bind(call["step"].get<int64_t>())
        .Bind(call["agent"].get<int64_t>())
        .Bind(call["call"].get<int64_t>());
    nlohmann::ordered_json& memories = call["memories"] = nlohmann::ordered_json::array();
    while (memory.Step()) AddColumns(memory, memories.emplace_back());
    visit(call);
  }
}

}  // namespace throng::journal
