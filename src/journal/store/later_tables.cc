#include "journal/store/later_tables.h"

#include <fmt/format.h>

#include "journal/store/schema.h"

namespace throng::journal {

void AddLaterTables(Connection& connection, const char* schema, bool only_for_connection) {
  const auto is_known = [&](const char* name) { return connection.HasTable(schema, name); };
  const auto add = [&](const char* sql) {
    connection.Define(fmt::format(fmt::runtime(sql), only_for_connection ? "TEMP" : ""));
  };
  if (!is_known("memories")) add(kMemories);
  if (!is_known("constraints")) add(kConstraints);
  if (!is_known("snapshots")) add(kSnapshots);
  if (!is_known("pauses")) add(kPauses);
  if (!is_known("progress")) add(kMoments);
  if (!is_known("in_flight")) add(kInFlight);
  if (is_known("intentions")) return;
  // With them, the view of calls got what it shows of effects. A view of the connection hides the file's.
  if (!only_for_connection) connection.Execute("DROP VIEW IF EXISTS calls");
  add(kCalls);
  add(kIntentions);
}

}  // namespace throng::journal
