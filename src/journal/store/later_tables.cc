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
  const bool has_effects = is_known("intentions");
  const bool has_spent_cached = is_known("spent_cached");
  if (has_effects && has_spent_cached) return;
  if (!has_spent_cached) add(kSpentCached);
  // The view of calls shows what these tables have. A view of the connection hides the file's.
  if (!only_for_connection) connection.Execute("DROP VIEW IF EXISTS calls");
  add(kCalls);
  if (!has_effects) add(kIntentions);
}

}  // namespace throng::journal
